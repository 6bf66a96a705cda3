//! The command line of `zipnet-server`: one server of a committee.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::anyhow;
use clap::{CommandFactory, Parser};
use tokio::time::timeout;
use zipnet_dcnet::ids::PeerId;
use zipnet_role::{Because, Command, Ended, Exit, Failure, RoleArgs, STOP, Start};
use zipnet_store::SledStore;

use crate::metrics;
use crate::server::{LEAVE, Server, ServerConfig};

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
    let Cli { command, role, aggregators } = Cli::parse();
    zipnet_role::start("zipnet-server", role, command.as_ref(), |start| run(start, aggregators))
}

async fn run(start: Start, aggregators: Vec<PeerId>) -> Result<Ended, Failure> {
    let Start { identity, setup, mut life } = start;
    if aggregators.is_empty() {
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
        aggregators,
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
