//! What both server binaries do before they differ, and after.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use zipnet_dcnet::identity::Identity;

use crate::args::{Command, RoleArgs, Setup};
use crate::exit::{Because, Ended, Exit, Failure, exit};
use crate::keyfile;
use crate::notify::Manager;
use crate::process::{Signals, init_log};

/// What stopping a node takes at most, after it has left in good order.
pub const STOP: Duration = Duration::from_secs(20);
/// What tasks left behind get to end.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// A node that is about to run.
pub struct Start {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// What it runs with.
    pub setup: Setup,
    /// How it goes on.
    pub life: Life,
}

/// Whom a running node listens to and reports to.
pub struct Life {
    /// Who asks it to stop.
    pub signals: Signals,
    manager: Manager,
}

/// Does what the arguments of `program` say: `command`, or `run` until it ends. Gives the exit code, and says on
/// standard error why it failed.
pub fn start<R>(
    program: &str,
    role: RoleArgs,
    command: Option<&Command>,
    run: impl FnOnce(Start) -> R,
) -> ExitCode
where
    R: Future<Output = Result<Ended, Failure>>,
{
    exit(program, begin(role, command, run))
}

fn begin<R>(role: RoleArgs, command: Option<&Command>, run: impl FnOnce(Start) -> R) -> Result<Ended, Failure>
where
    R: Future<Output = Result<Ended, Failure>>,
{
    let key = role.key_file().because(Exit::Usage)?;
    if let Some(command) = command {
        return command.run(&key).map(|()| Ended::Done).because(Exit::Usage);
    }
    let runtime = Runtime::new().because(Exit::Failed)?;
    let ended = runtime.block_on(async { run(Start::new(role, &key)?).await });
    runtime.shutdown_timeout(SHUTDOWN);
    ended
}

impl Start {
    fn new(role: RoleArgs, key: &Path) -> Result<Self, Failure> {
        init_log(std::env::var("RUST_LOG").ok().as_deref()).because(Exit::Usage)?;
        let signals = Signals::new().because(Exit::Failed)?;
        let manager = Manager::new(&|name| std::env::var_os(name), std::process::id());
        let identity = Arc::new(keyfile::load(key).because(Exit::Usage)?);
        let setup = role.setup().because(Exit::Usage)?;
        Ok(Self { identity, setup, life: Life { signals, manager } })
    }
}

impl Life {
    /// The node accepts links. From now on the service manager is told `line`, and that it lives while `turns` counts.
    pub fn ready(
        &self,
        turns: impl Fn() -> u64 + Send + 'static,
        line: impl Fn() -> String + Send + 'static,
    ) {
        self.manager.ready();
        tokio::spawn(self.manager.clone().feed(turns));
        tokio::spawn(self.manager.clone().tell_status(line));
    }

    /// The end: what `end` does, after leaving for at most `leaving`, within [`STOP`]. At once by another signal: somebody
    /// is in a hurry.
    pub async fn end(mut self, leaving: Duration, end: impl Future<Output = ()>) -> Ended {
        self.manager.stopping(leaving + STOP);
        tokio::select! {
            () = end => Ended::Done,
            number = self.signals.next() => Ended::Signal(number),
        }
    }
}
