//! The command line of `zipnet-server`: one server of a committee.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use clap::{CommandFactory, Parser};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use zipnet_dcnet::ids::PeerId;
use zipnet_role::{Because, Command, Ended, Exit, Failure, Manager, RoleArgs, Signals};
use zipnet_store::SledStore;

use crate::metrics;
use crate::server::{LEAVE, Server, ServerConfig};

/// What stopping takes at most, after [`Server::leave`].
const STOP: Duration = Duration::from_secs(20);
/// What tasks left behind get to end.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// A committee server of a zipnet deployment.
#[derive(Parser)]
#[command(name = "zipnet-server", version, after_help = zipnet_role::AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    role: RoleArgs,
    /// The aggregators that this server takes envelopes from.
    #[arg(long = "aggregator", env = "ZIPNET_AGGREGATORS", value_name = "PEERID", value_delimiter = ',')]
    aggregators: Vec<PeerId>,
}

/// The definition of the command line, for the manual page and the reference.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Does what the arguments say. Here and not in the binary, so that what it runs is compiled once with this crate.
pub fn main() -> ExitCode {
    zipnet_role::exit("zipnet-server", start(Cli::parse()))
}

fn start(cli: Cli) -> Result<Ended, Failure> {
    let key = cli.role.key_file().because(Exit::Usage)?;
    if let Some(command) = &cli.command {
        return command.run(&key).map(|()| Ended::Done).because(Exit::Usage);
    }
    let runtime = Runtime::new().because(Exit::Failed)?;
    let ended = runtime.block_on(run(cli));
    runtime.shutdown_timeout(SHUTDOWN);
    ended
}

async fn run(cli: Cli) -> Result<Ended, Failure> {
    zipnet_role::init_log(std::env::var("RUST_LOG").ok().as_deref()).because(Exit::Usage)?;
    let mut signals = Signals::new().because(Exit::Failed)?;
    let manager = Manager::new(&|name| std::env::var_os(name), std::process::id());
    let identity = cli.role.key_file().and_then(|file| Ok(zipnet_role::load_key(&file)?));
    let identity = Arc::new(identity.because(Exit::Usage)?);
    let setup = cli.role.setup().because(Exit::Usage)?;
    if cli.aggregators.is_empty() {
        let text =
            "--aggregator PEERID (or ZIPNET_AGGREGATORS) is missing: without one no round can be folded";
        return Err(Failure::new(Exit::Usage, anyhow!(text)));
    }
    zipnet_role::metrics::serve(setup.metrics, &metrics::METRICS).because(Exit::Address)?;
    let folder = setup.state_dir.join("log");
    let store = Arc::new(SledStore::open(&folder).because(Exit::Store)?);
    let server = Server::start(ServerConfig {
        identity,
        descriptor: setup.descriptor,
        store,
        node: setup.node,
        aggregators: cli.aggregators,
    })
    .await
    .map_err(|error| Failure::new(error.exit(), error))?;
    manager.ready();
    let (pulse, status) = (server.pulse(), server.pulse());
    tokio::spawn(manager.clone().feed(move || pulse.turns()));
    tokio::spawn(manager.clone().tell_status(move || status.line()));
    if setup.metrics.is_some() {
        tokio::spawn(metrics::keep_store_size(folder));
    }
    let failure = tokio::select! {
        _ = signals.next() => None,
        reason = server.failed() => Some(reason),
    };
    manager.stopping(LEAVE + STOP);
    let end = async {
        if failure.is_none() {
            server.leave().await;
        }
        let _ = timeout(STOP, server.stop()).await;
    };
    tokio::select! {
        () = end => {}
        // Somebody is in a hurry.
        number = signals.next() => return Ok(Ended::Signal(number)),
    }
    match failure {
        None => Ok(Ended::Done),
        Some(reason) => Err(Failure::new(Exit::Failed, anyhow!("the server cannot go on: {reason}"))),
    }
}
