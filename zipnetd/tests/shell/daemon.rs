//! The real binary, without a network: nobody serves its instance, and its relay is a closed port.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::signed::encode;
use zipnet_proto::Client;
use zipnet_proto::v1::StatusResponse;
use zipnet_store::{Batch, MIN_SEALED_BYTES, SealedStore, SledStore, Store, allocate};
use zipnet_tdx::seal::{Kek, KeyFile};
use zipnetd::metrics::METRICS;

/// Nothing here takes this long on the slowest machine.
const LONG: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(20);

/// The binary with nothing around it but what a test gives it.
pub(super) fn zipnetd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zipnetd"));
    command.env_clear().stdin(Stdio::null());
    command
}

pub(super) fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

/// A daemon with a folder of its own, killed with its test.
pub(super) struct Daemon {
    pub(super) dir: tempfile::TempDir,
    child: Option<Child>,
}

impl Daemon {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), child: None }
    }

    pub(super) fn file(&self) -> PathBuf {
        self.dir.path().join("zipnetd.toml")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join("zipnetd.sock")
    }

    /// The file that makes it run without a network, and `more`.
    pub(super) fn configure(&self, more: &str) {
        let dir = self.dir.path().display();
        let text = format!(
            "instance = 'acme'\nrelay = 'http://127.0.0.1:9'\nsocket = '{dir}/zipnetd.sock'\nstate_dir = '{dir}/state'\n{more}"
        );
        fs::write(self.file(), text).unwrap();
    }

    /// Its deployment is known, as if it had been found in an earlier run: there is a core, and it can linger.
    pub(super) fn know_the_deployment(&self) {
        let folder = self.dir.path().join("state/client");
        fs::create_dir_all(&folder).unwrap();
        Self::know(&SledStore::open(&folder).unwrap());
    }

    /// The same in a sealed store, whose key comes from the key file `key`, which is made if it is not there.
    pub(super) fn know_the_deployment_sealed(&self, key: &Path) {
        let folder = self.dir.path().join("state");
        fs::create_dir_all(&folder).unwrap();
        if !key.exists() {
            KeyFile::create(key, &[5; 32].into()).unwrap();
        }
        let path = folder.join("client.sealed");
        allocate(&path, MIN_SEALED_BYTES).unwrap();
        let kek = Kek::new(&fs::read(key).unwrap().try_into().unwrap());
        let beat = Duration::from_millis(1);
        Self::know(&SealedStore::open(&path, &kek.store_key(), beat, Box::new(|| [1; 16])).unwrap());
    }

    fn know(store: &dyn Store) {
        let servers = (1..=3).map(|n| PeerId([n; 32])).collect();
        let descriptor = Descriptor::new("acme", Params::standard(3), servers).unwrap();
        let mut batch = Batch::new();
        batch.put("client", b"instance", "acme");
        batch.put("client", b"descriptor", encode(&descriptor));
        futures::executor::block_on(store.commit(batch)).unwrap();
    }

    pub(super) fn start(&mut self) {
        self.spawn(&mut zipnetd());
        self.logs("control socket");
    }

    /// Starts `command`, which is the binary, maybe with something around it.
    pub(super) fn spawn(&mut self, command: &mut Command) {
        let log = fs::File::create(self.dir.path().join("log")).unwrap();
        let child = command.arg("--config").arg(self.file()).stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.unwrap());
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Waits until the log has it.
    pub(super) fn logs(&self, text: &str) {
        until(|| self.log().contains(text), || format!("`{text}` in the log:\n{}", self.log()));
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.as_ref().unwrap().id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Waits for its end; its exit code.
    pub(super) fn code(&mut self) -> Option<i32> {
        let mut ended = None;
        let child = self.child.as_mut().unwrap();
        until(
            || {
                ended = child.try_wait().unwrap();
                ended.is_some()
            },
            || "the daemon's end".to_owned(),
        );
        ended.unwrap().code()
    }
}

/// What is exported at `addr`.
fn exported(addr: SocketAddr) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(super) fn until(mut done: impl FnMut() -> bool, what: impl Fn() -> String) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LONG, "waited {LONG:?} for {}", what());
        std::thread::sleep(PAUSE);
    }
}

/// Asks at its socket, which makes HTTP/2 say something at DEBUG and TRACE.
pub(super) fn status(socket: &Path) -> StatusResponse {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Client::connect(socket).await.unwrap().status().await.unwrap() })
}

#[test]
fn print_config_starts_nothing() {
    let daemon = Daemon::new();
    daemon.configure("message = 'secret'\n");
    let output = run(zipnetd().arg("--print-config").arg("--config").arg(daemon.file()));
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("acme  ") && text.contains("6 bytes  ") && !text.contains("secret"), "{text}");
    assert!(output.stderr.is_empty());
    assert_eq!(fs::read_dir(daemon.dir.path()).unwrap().count(), 1, "neither socket nor state was made");

    daemon.configure("cadence = 0\n");
    let output = run(zipnetd().arg("--print-config").arg("--config").arg(daemon.file()));
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().ends_with("`0` is not a number from 1 on\n"));
}

#[test]
fn sighup_reloads_log_and_cadence_and_nothing_else() {
    let mut daemon = Daemon::new();
    daemon.know_the_deployment();
    daemon.configure("cadence = 1\nlog = 'info'\n");
    daemon.start();
    assert_eq!(status(&daemon.socket()).cadence, 1);
    assert!(!daemon.log().contains("DEBUG"), "{}", daemon.log());

    daemon.configure("cadence = 3\nlog = 'h2=debug,info'\nuniverse = 'elsewhere'\nmessage = 'secret'\n");
    daemon.signal(Signal::SIGHUP);
    daemon.logs("reloaded cadence=3 log=\"h2=debug,info\"");
    daemon.logs("WARN changed, and needs a restart: universe, message");
    assert_eq!(status(&daemon.socket()).cadence, 3);
    daemon.logs("DEBUG");

    daemon.configure("cadence = 0\nlog = 'trace'\n");
    daemon.signal(Signal::SIGHUP);
    daemon.logs("ERROR not reloaded, nothing changed: `cadence` in ");
    assert_eq!(status(&daemon.socket()).cadence, 3);
    assert!(!daemon.log().contains("TRACE"), "a broken file changes nothing");

    daemon.configure("cadence = 5\n");
    daemon.signal(Signal::SIGHUP);
    daemon.logs("reloaded cadence=5 log=\"info\"");
    assert!(!daemon.log().contains("secret"));
    assert_eq!(status(&daemon.socket()).cadence, 5);
}

#[test]
fn a_cadence_of_before_the_deployment_is_known_is_kept_too() {
    let mut daemon = Daemon::new();
    daemon.configure("");
    daemon.start();
    daemon.configure("cadence = 2\n");
    daemon.signal(Signal::SIGHUP);
    daemon.logs("reloaded cadence=2");
    // During a stop it is dealt with, and neither ends the daemon nor keeps it.
    daemon.signal(Signal::SIGTERM);
    daemon.signal(Signal::SIGHUP);
    assert_eq!(daemon.code(), Some(0), "{}", daemon.log());
}

#[test]
fn without_a_deployment_a_signal_ends_it_at_once() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut daemon = Daemon::new();
        daemon.configure("");
        daemon.start();
        daemon.signal(signal);
        assert_eq!(daemon.code(), Some(0), "{}", daemon.log());
        assert!(!daemon.socket().exists(), "the socket is removed");
    }
}

#[test]
fn the_first_signal_covers_on_and_the_second_ends_it() {
    for (second, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let mut daemon = Daemon::new();
        daemon.know_the_deployment();
        daemon.configure("");
        daemon.start();
        daemon.signal(Signal::SIGTERM);
        daemon.logs("a second signal ends it now");
        // Still there: it answers.
        status(&daemon.socket());
        daemon.signal(second);
        assert_eq!(daemon.code(), Some(code), "{}", daemon.log());
        daemon.logs("ending now; what was accepted is kept");
    }
}

#[test]
fn the_queue_shows_in_the_metrics_only_when_asked_for() {
    let names = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("zipnet_"));
        lines
            .map(|line| line.split(['{', ' ']).next().unwrap().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    for private in [false, true] {
        // Free a moment ago; whoever takes it meanwhile fails this test.
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut daemon = Daemon::new();
        daemon.know_the_deployment();
        daemon.configure(&format!("metrics = '{addr}'\nprivate_metrics = {private}\n"));
        daemon.start();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut client = Client::connect(&daemon.socket()).await.unwrap();
            client.send(b"x".to_vec(), None, None).await.unwrap();
        });
        let expected = METRICS.iter().filter(|metric| private || !metric.private);
        let expected = expected.map(|metric| metric.name.to_owned()).collect();
        let mut text = String::new();
        let queued = "zipnet_queue_messages{state=\"queued\"} 1";
        until(
            || {
                text = exported(addr);
                names(&text) == expected && (!private || text.contains(queued))
            },
            || format!("{expected:?}"),
        );
        assert_eq!(daemon.log().contains("WARN private metrics"), private, "{}", daemon.log());
        assert!(text.contains("zipnet_client_registered 0"), "{text}");
    }
}
