//! `zipnetd --dev`: a whole network in one process, on loopback, without internet.

mod network;
mod show;

use tracing::info;

use crate::config::{Config, Real, StateDir};
use crate::daemon::{self, Code, Signals};
use crate::failure::{Failure, SIGNALLED};
use crate::identity::Kept;
use crate::telemetry::LogControl;

use network::Network;

/// The instance of every dev network.
const INSTANCE: &str = "dev";

/// Runs the network and a daemon in it until a signal. With a state folder all of it, the servers' keys and logs too,
/// is there again at the next start; without, it is gone at the end.
pub(crate) async fn run(
    config: &Config,
    uid: u32,
    log: LogControl,
    signals: &mut Signals,
) -> Result<Code, Failure> {
    let (dir, _temporary) = match &config.state_dir {
        StateDir::At(dir) => (dir.clone(), None),
        StateDir::Temporary => {
            let temporary = tempfile::Builder::new().prefix("zipnet-dev-").tempdir();
            let temporary = temporary.map_err(|source| Failure::System {
                action: "make a temporary folder for the state",
                source,
            })?;
            (temporary.path().to_owned(), Some(temporary))
        }
    };
    let network = tokio::select! {
        network = Network::start(&dir) => network?,
        _ = signals.next() => return Ok(0),
    };
    let code = tokio::select! {
        code = with(config, &network.real, &dir, uid, log, signals) => code,
        failure = network.failed() => Err(failure),
    };
    info!("stopping the network");
    tokio::select! {
        () = network.stop() => code,
        second = signals.next() => code.map(|_| SIGNALLED + second),
    }
}

async fn with(
    config: &Config,
    real: &Real,
    dir: &std::path::Path,
    uid: u32,
    log: LogControl,
    signals: &mut Signals,
) -> Result<Code, Failure> {
    let client = daemon::client_config(config, real, dir, uid, daemon::store::open_plain(dir).await?);
    let socket = config.socket.clone();
    let shown = |handle| tokio::spawn(show::show(handle, socket));
    daemon::serve(config, client, Kept::none(), uid, log, signals, shown).await
}
