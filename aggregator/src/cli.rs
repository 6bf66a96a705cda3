//! The command line of `zipnet-aggregator`.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tokio::time::timeout;
use zipnet_role::{Because, Command, Ended, Exit, Failure, RoleArgs, STOP, Start};

use crate::{Aggregator, LEAVE, metrics};

/// An aggregator of a zipnet deployment.
#[derive(Parser)]
#[command(name = "zipnet-aggregator", version, after_help = zipnet_role::AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    role: RoleArgs,
}

/// The definition of the command line, for the manual page and the reference.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Does what the arguments say. Here and not in the binary, so that what it runs is compiled once with this crate.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    zipnet_role::start("zipnet-aggregator", cli.role, cli.command.as_ref(), run)
}

async fn run(start: Start) -> Result<Ended, Failure> {
    let Start { identity, setup, mut life } = start;
    zipnet_role::metrics::serve(setup.metrics, &metrics::METRICS).because(Exit::Address)?;
    let aggregator =
        Aggregator::start(identity, setup.descriptor, setup.node).await.because(Exit::Address)?;
    let (pulse, status) = (aggregator.pulse(), aggregator.pulse());
    life.ready(move || pulse.turns(), move || status.line());
    life.signals.next().await;
    let end = async {
        aggregator.leave().await;
        let _ = timeout(STOP, aggregator.stop()).await;
    };
    Ok(life.end(LEAVE, end).await)
}
