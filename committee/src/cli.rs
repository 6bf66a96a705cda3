//! The command line of `zipnet-server`: one server of a committee.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use clap::{CommandFactory, Parser};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tracing::info;
use zipnet_dcnet::descriptor::{self, Descriptor};
use zipnet_dcnet::ids::PeerId;
use zipnet_role::{Because, Command, Ended, Exit, Failure, RoleArgs, STOP, Start};
use zipnet_store::SledStore;
use zipnet_tdx::quote::QuoteSource;
use zipnet_tdx::quote::helper::{self, Helper};

use crate::core::{Admission, Open};
use crate::metrics;
use crate::server::{Attested, Files, LEAVE, Server, ServerConfig, keep_up};

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
    /// For a deployment with `admission = tdx`: the releases of the guest that are admitted, TOML. Read again at SIGHUP.
    #[arg(long, env = "ZIPNET_TDX_POLICY", value_name = "FILE")]
    tdx_policy: Option<PathBuf>,
    /// For the same: what Intel says about the platforms of clients, JSON. Read again at SIGHUP.
    #[arg(long, env = "ZIPNET_TDX_COLLATERAL", value_name = "FILE")]
    tdx_collateral: Option<PathBuf>,
    /// For a deployment with `admission = mutual`: where the helper listens that makes this server's own quote.
    #[arg(long, env = "ZIPNET_QUOTE_SOCKET", value_name = "PATH", default_value = helper::SOCKET)]
    quote_socket: PathBuf,
}

/// The definition of the command line, for the manual page and the reference.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Does what the arguments say. Here and not in the binary, so that what it runs is compiled once with this crate.
pub fn main() -> ExitCode {
    let Cli { command, role, aggregators, tdx_policy, tdx_collateral, quote_socket } = Cli::parse();
    let tdx = (tdx_policy, tdx_collateral);
    let quotes = Arc::new(Helper::new(&quote_socket));
    zipnet_role::start("zipnet-server", role, command.as_ref(), |start| run(start, aggregators, tdx, quotes))
}

/// Admission as the deployment says; for quotes by these files, policy and collateral, which are read again at each
/// `hangup`.
fn admission(
    descriptor: &Descriptor,
    tdx: (Option<PathBuf>, Option<PathBuf>),
    mut hangup: Signal,
) -> anyhow::Result<Arc<dyn Admission>> {
    match (descriptor.admission, tdx) {
        (descriptor::Admission::Open, (None, None)) => {
            tokio::spawn(async move {
                while hangup.recv().await.is_some() {
                    info!("there is nothing to read again: this deployment admits anybody");
                }
            });
            Ok(Arc::new(Open))
        }
        (descriptor::Admission::Open, _) => bail!(
            "--tdx-policy and --tdx-collateral are set, but this deployment admits anybody (admission = open)"
        ),
        (_, (Some(policy), Some(collateral))) => {
            let files = Files { policy, collateral };
            let (attested, until) = Attested::load(descriptor.id(), &files)?;
            let attested = Arc::new(attested);
            tokio::spawn(keep_up(attested.clone(), files, until, hangup));
            Ok(attested)
        }
        (_, _) => bail!(
            "this deployment admits by TDX quote: --tdx-policy FILE and --tdx-collateral FILE (or ZIPNET_TDX_POLICY and \
             ZIPNET_TDX_COLLATERAL) are needed; see docs/tdx/operators.md"
        ),
    }
}

async fn run(
    start: Start,
    aggregators: Vec<PeerId>,
    tdx: (Option<PathBuf>, Option<PathBuf>),
    quotes: Arc<dyn QuoteSource>,
) -> Result<Ended, Failure> {
    let Start { identity, setup, mut life } = start;
    if aggregators.is_empty() {
        let text =
            "--aggregator PEERID (or ZIPNET_AGGREGATORS) is missing: without one no round can be folded";
        return Err(Failure::new(Exit::Usage, anyhow!(text)));
    }
    let hangup = signal(SignalKind::hangup()).because(Exit::Failed)?;
    let admission = admission(&setup.descriptor, tdx, hangup).because(Exit::Usage)?;
    zipnet_role::metrics::serve(setup.metrics, &metrics::METRICS).because(Exit::Address)?;
    let folder = setup.state_dir.join("log");
    let store = Arc::new(SledStore::open(&folder).because(Exit::Store)?);
    let server = Server::start(ServerConfig {
        identity,
        descriptor: setup.descriptor,
        store,
        node: setup.node,
        aggregators,
        admission,
        quotes,
    })
    .await
    .map_err(|error| Failure::new(error.exit(), error))?;
    let (pulse, status) = (server.pulse(), server.pulse());
    life.ready(move || pulse.turns(), move || status.line());
    if setup.metrics.is_some() {
        tokio::spawn(metrics::keep_store_size(folder));
    }
    let failure = tokio::select! {
        _ = life.signals.next() => None,
        reason = server.failed() => Some(reason),
    };
    let end = async {
        if failure.is_none() {
            server.leave().await;
        }
        let _ = timeout(STOP, server.stop()).await;
    };
    let ended = life.end(LEAVE, end).await;
    match failure {
        Some(reason) if ended == Ended::Done => {
            Err(Failure::new(reason.exit(), anyhow!("the server cannot go on: {reason}")))
        }
        _ => Ok(ended),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use zipnet_dcnet::ids::PeerId;
    use zipnet_dcnet::params::Params;

    use super::*;

    #[tokio::test]
    async fn a_server_admits_as_its_deployment_says_or_does_not_start() {
        let open = Descriptor::new("test", Params::dev(1), vec![PeerId([1; 32])]).unwrap();
        let tdx = Descriptor { admission: descriptor::Admission::Tdx, ..open.clone() };
        let file = || Some(PathBuf::from("/nowhere"));
        let admission =
            |descriptor: &Descriptor, tdx| admission(descriptor, tdx, signal(SignalKind::hangup()).unwrap());
        let no =
            |descriptor: &Descriptor, tdx| admission(descriptor, tdx).map(|_| ()).unwrap_err().to_string();
        assert_eq!(admission(&open, (None, None)).unwrap().kind(), descriptor::Admission::Open);
        assert!(no(&open, (file(), None)).contains("admits anybody"));
        for half in [(None, None), (file(), None), (None, file())] {
            assert!(no(&tdx, half).contains("are needed"));
        }
        assert!(no(&tdx, (file(), file())).contains("/nowhere"));
    }
}
