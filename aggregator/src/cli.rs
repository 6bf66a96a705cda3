//! The command line of `zipnet-aggregator`.

use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use zipnet_role::{Command, RoleArgs};

use crate::Aggregator;

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
///
/// # Errors
/// What is wrong with the arguments, or why the aggregator ended.
pub fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let key = cli.role.key_file()?;
    match cli.command {
        Some(command) => command.run(&key),
        None => tokio::runtime::Runtime::new()?.block_on(run(cli)),
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    zipnet_role::init_log(std::env::var("RUST_LOG").ok().as_deref())?;
    let identity = Arc::new(zipnet_role::load_key(&cli.role.key_file()?)?);
    let setup = cli.role.setup()?;
    zipnet_role::init_metrics(setup.metrics)?;
    let aggregator = Aggregator::start(identity, setup.descriptor, setup.node).await?;
    zipnet_role::shutdown_signal().await?;
    let _ = tokio::time::timeout(Duration::from_secs(20), aggregator.stop()).await;
    Ok(())
}
