//! The command line of `zipnet-server`: one server of a committee.

use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use zipnet_dcnet::ids::PeerId;
use zipnet_role::{Command, RoleArgs};
use zipnet_store::SledStore;

use crate::server::{Server, ServerConfig};

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
///
/// # Errors
/// What is wrong with the arguments, or why the server ended.
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
    anyhow::ensure!(
        !cli.aggregators.is_empty(),
        "--aggregator PEERID (or ZIPNET_AGGREGATORS) is missing: without one no round can be folded"
    );
    zipnet_role::init_metrics(setup.metrics)?;
    let store = Arc::new(SledStore::open(&setup.state_dir.join("log"))?);
    let server = Server::start(ServerConfig {
        identity,
        descriptor: setup.descriptor,
        store,
        node: setup.node,
        aggregators: cli.aggregators,
    })
    .await?;
    let failure = tokio::select! {
        signal = zipnet_role::shutdown_signal() => { signal?; None }
        reason = server.failed() => Some(reason),
    };
    let _ = tokio::time::timeout(Duration::from_secs(20), server.stop()).await;
    match failure {
        None => Ok(()),
        Some(reason) => anyhow::bail!("the server cannot go on: {reason}"),
    }
}
