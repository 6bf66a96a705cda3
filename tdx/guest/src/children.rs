//! The daemon, its quote helper, and the programs that an agent's author added to the image.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::baked::{Baked, Program, SERVERS};
use crate::boot::COLLATERAL;
use crate::host::Host;
use crate::host_socket;
use crate::quotes::Quotes;
use crate::say;

/// The daemon's user.
pub(crate) const DAEMON: u32 = 1000;
/// The user of the programs beside it, which is not the daemon's: they reach its socket and not its memory or its files.
pub(crate) const PROGRAMS: u32 = 1001;
/// The group of both, whose members may use the socket.
pub(crate) const GROUP: u32 = 1000;

pub(crate) const SOCKET: &str = "/run/zipnet/zipnetd.sock";
/// Where it asks for quotes.
const QUOTES: &str = "/run/zipnet/quote.sock";
/// Makes them.
const HELPER: &str = "/sbin/zipnet-quote";
/// How often to look whether the daemon listens, asks for a quote, or has ended.
const LOOK: Duration = Duration::from_millis(100);

/// Where the daemon keeps its identity and its queue.
pub(crate) struct State<'a> {
    /// The host's disk.
    pub(crate) device: PathBuf,
    /// Who keeps the key.
    pub(crate) broker: &'a str,
}

/// Starts everything, and waits until the daemon ends. Says how.
pub(crate) fn run(
    instance: &str,
    host: &Host,
    baked: &Baked,
    state: Option<State<'_>>,
) -> Result<String, String> {
    let mut quotes = Quotes::listen(Path::new(QUOTES), DAEMON, Path::new(HELPER))?;
    let mut daemon = command("/sbin/zipnetd", DAEMON);
    daemon.args([
        "--instance",
        instance,
        "--state-dir",
        "/var/lib/zipnet",
        "--socket",
        SOCKET,
        "--quote-socket",
        QUOTES,
        "--log",
        "info",
    ]);
    if let Some(State { device, broker }) = state {
        // There is nobody in the guest to make an identity by hand.
        daemon.arg("--sealed-identity").arg(device).args(["--key-broker", broker, "--init-identity"]);
    }
    if baked.server_policy {
        daemon.args(["--server-policy", &format!("/{SERVERS}"), "--server-collateral", COLLATERAL]);
    }
    if let Some(bootstrap) = &host.bootstrap {
        daemon.args(["--bootstrap", bootstrap]);
    }
    if let Some(relay) = &host.relay {
        daemon.args(["--relay", relay]);
    }
    if let Some(universe) = &host.universe {
        daemon.args(["--universe", universe]);
    }
    if let Some(cadence) = host.cadence {
        daemon.args(["--cadence", &cadence.to_string()]);
    }
    let daemon = daemon.spawn().map_err(|error| format!("zipnetd does not start: {error}"))?.id();
    let mut waiting = &baked.programs[..];
    let mut host_socket = baked.host_socket;
    // The first process inherits all others, so it takes note of whoever ends. Only this thread starts and awaits: a program that
    // fails to start is awaited where it is started, too.
    loop {
        if (!waiting.is_empty() || host_socket.is_some()) && fs::exists(SOCKET).unwrap_or(false) {
            std::mem::take(&mut waiting).iter().for_each(beside);
            if let Some(port) = host_socket.take() {
                for_host(port);
            }
        }
        quotes.serve();
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => thread::sleep(LOOK),
            Ok(status) => match status.pid().map(|pid| pid.as_raw().cast_unsigned()) {
                Some(child) if child == daemon => return Ok(how(status)),
                // A program that ends when its message is published: nothing of it is said, for the same reason as below.
                Some(child) => quotes.ended(child),
                None => {}
            },
            Err(Errno::EINTR) => {}
            Err(error) => return Err(format!("waiting for zipnetd: {error}")),
        }
    }
}

/// Starts a program. What it prints is dropped: the console is the host's, and a line at the right moment tells who wrote what.
fn beside(program: &Program) {
    let path = &program.path;
    let mut command = command(&format!("/{path}"), PROGRAMS);
    command.args(&program.arguments).env("ZIPNET_SOCKET", SOCKET).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(_) => say(&format!("{path} runs")),
        Err(error) => say(&format!("{path} does not start: {error}")),
    }
}

/// Starts the way in for programs on the host.
fn for_host(port: u16) {
    let mut command = command("/init", PROGRAMS);
    match command.args([host_socket::ARGUMENT, &port.to_string()]).spawn() {
        Ok(_) => say(&format!(
            "programs on the host reach the daemon at port {port}: THE HOST READS THEIR MESSAGES"
        )),
        Err(error) => say(&format!("the way in for programs on the host does not start: {error}")),
    }
}

fn command(path: &str, user: u32) -> Command {
    let mut command = Command::new(path);
    command.env_clear().current_dir("/").stdin(Stdio::null()).uid(user).gid(GROUP);
    command
}

fn how(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, code) => format!("code {code}"),
        WaitStatus::Signaled(_, signal, _) => format!("{signal}"),
        other => format!("{other:?}"),
    }
}
