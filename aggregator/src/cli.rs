//! The command line of `zipnet-aggregator`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use zipnet_role::{Because, Command, Ended, Exit, Failure, Manager, RoleArgs, Signals};

use crate::{Aggregator, LEAVE, metrics};

/// What stopping takes at most, after [`Aggregator::leave`].
const STOP: Duration = Duration::from_secs(20);
/// What tasks left behind get to end.
const SHUTDOWN: Duration = Duration::from_secs(2);

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
    zipnet_role::exit("zipnet-aggregator", start(Cli::parse()))
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
    zipnet_role::metrics::serve(setup.metrics, &metrics::METRICS).because(Exit::Address)?;
    let aggregator =
        Aggregator::start(identity, setup.descriptor, setup.node).await.because(Exit::Address)?;
    manager.ready();
    let (pulse, status) = (aggregator.pulse(), aggregator.pulse());
    tokio::spawn(manager.clone().feed(move || pulse.turns()));
    tokio::spawn(manager.clone().tell_status(move || status.line()));
    signals.next().await;
    manager.stopping(LEAVE + STOP);
    let end = async {
        aggregator.leave().await;
        let _ = timeout(STOP, aggregator.stop()).await;
    };
    tokio::select! {
        () = end => Ok(Ended::Done),
        // Somebody is in a hurry.
        number = signals.next() => Ok(Ended::Signal(number)),
    }
}
