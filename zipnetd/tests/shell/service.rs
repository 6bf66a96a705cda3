//! The real binary and its service manager: what it is told, and a socket that the manager listens at.

use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use zipnet_proto::Client;

use super::daemon::{Daemon, status, until, zipnetd};

/// A service manager that listens to what it is told.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn new(socket: UnixDatagram) -> Self {
        socket.set_nonblocking(true).unwrap();
        Self { socket, heard: Vec::new() }
    }

    /// Everything it was told so far, line by line.
    fn heard(&mut self) -> &[String] {
        let mut bytes = [0; 4_096];
        while let Ok(len) = self.socket.recv(&mut bytes) {
            let text = String::from_utf8(bytes[..len].to_vec()).unwrap();
            self.heard.extend(text.lines().map(str::to_owned));
        }
        &self.heard
    }

    fn count(&mut self, start: &str) -> usize {
        self.heard().iter().filter(|line| line.starts_with(start)).count()
    }

    /// Waits until it was told this so many times.
    fn hears(&mut self, start: &str, times: usize) {
        until(|| self.count(start) >= times, || format!("`{start}` {times} times"));
    }
}

fn send(daemon: &Daemon) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = Client::connect(&daemon.socket()).await.unwrap();
        client.send(b"x".to_vec(), None, None).await.unwrap();
    });
}

#[test]
fn the_manager_hears_that_it_is_ready_alive_reloading_and_stopping_and_nothing_of_the_queue() {
    let mut daemon = Daemon::new();
    daemon.know_the_deployment();
    daemon.configure("");
    let path = daemon.dir.path().join("notify");
    let mut manager = Manager::new(UnixDatagram::bind(&path).unwrap());
    daemon.spawn(zipnetd().env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000000"));
    // Without a network: that may take long to come.
    manager.hears("READY=1", 1);
    status(&daemon.socket());
    manager.hears("STATUS=connecting: ", 1);
    manager.hears("WATCHDOG=1", 1);
    send(&daemon);
    let fed = manager.count("WATCHDOG=1");
    // Longer than between two looks at the status.
    manager.hears("WATCHDOG=1", fed + 14);
    assert_eq!(manager.count("STATUS="), 1, "a message is no reason to say anything: {:?}", manager.heard);

    daemon.signal(Signal::SIGHUP);
    manager.hears("READY=1", 2);
    let heard: Vec<&String> = manager.heard().iter().filter(|line| !line.starts_with("WATCHDOG")).collect();
    assert_eq!(heard[heard.len() - 2..], ["RELOADING=1", "READY=1"]);

    daemon.signal(Signal::SIGTERM);
    manager.hears("STOPPING=1", 1);
    let extend = "EXTEND_TIMEOUT_USEC=";
    manager.hears(extend, 1);
    let usec: u64 =
        manager.heard().iter().find_map(|line| line.strip_prefix(extend)).unwrap().parse().unwrap();
    let unit = include_str!("../../../systemd/zipnetd.service");
    assert!(unit.contains("\nTimeoutStopSec=4min\n"));
    assert!((100_000_000..240_000_000).contains(&usec), "the unit's time is enough at standard parameters");
    // A reload while it ends is nobody's business, and the loop that covers on is still watched.
    daemon.signal(Signal::SIGHUP);
    let fed = manager.count("WATCHDOG=1");
    manager.hears("WATCHDOG=1", fed + 2);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.code(), Some(143));
    assert_eq!((manager.count("READY=1"), manager.count("STOPPING=1")), (2, 1));
    let known = ["READY=1", "WATCHDOG=1", "RELOADING=1", "STOPPING=1", "STATUS=", extend];
    for line in manager.heard() {
        assert!(known.iter().any(|start| line.starts_with(start)) && !line.contains("queue"), "{line}");
    }
}

#[test]
fn an_abstract_name_is_told_too_and_somebody_elses_watchdog_is_not_fed() {
    let mut daemon = Daemon::new();
    daemon.configure("");
    let name = format!("zipnet-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let mut manager = Manager::new(UnixDatagram::bind_addr(&address).unwrap());
    let mut command = zipnetd();
    command.env("NOTIFY_SOCKET", format!("@{name}")).env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    daemon.spawn(&mut command);
    manager.hears("STATUS=connecting: looking for the instance", 1);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.code(), Some(0), "{}", daemon.log());
    manager.hears("STOPPING=1", 1);
    assert_eq!((manager.count("READY=1"), manager.count("WATCHDOG=1")), (1, 0));
}

/// The binary, which finds `descriptor` as its third, as a service manager passes sockets.
fn activated(descriptor: impl Into<OwnedFd>, sockets: u32) -> Command {
    let mut command = Command::new("/bin/sh");
    let script = format!("exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS={sockets} exec \"$0\" \"$@\"");
    command.env_clear().args(["-c", &script, env!("CARGO_BIN_EXE_zipnetd")]);
    command.stdin(Stdio::from(descriptor.into()));
    command
}

#[test]
fn callers_of_the_managers_socket_wait_while_the_daemon_is_away() {
    let mut daemon = Daemon::new();
    daemon.configure("");
    // Not where the configuration says: that is not used.
    let path = daemon.dir.path().join("managers.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let meta = std::fs::metadata(&path).unwrap();
    for _ in 0..2 {
        let waiting = path.clone();
        let caller = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let connected = tokio::time::timeout(Duration::from_mins(1), async {
                    loop {
                        // One attempt waits some seconds; what it must not be is refused.
                        match Client::connect(&waiting).await {
                            Ok(mut client) => return client.status().await.unwrap(),
                            Err(error) => assert!(!error.to_string().contains("refused"), "{error}"),
                        }
                    }
                });
                connected.await.unwrap()
            })
        });
        daemon.spawn(&mut activated(listener.try_clone().unwrap(), 1));
        daemon.logs("passed=true");
        assert_eq!(caller.join().unwrap().instance, "acme");
        assert!(!daemon.socket().exists(), "it binds none of its own");
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.code(), Some(0), "{}", daemon.log());
        let now = std::fs::metadata(&path).unwrap();
        assert_eq!((now.ino(), now.mode()), (meta.ino(), meta.mode()), "the file is the manager's");
    }
}

#[test]
fn what_is_no_single_socket_to_listen_at_is_refused() {
    let listener = || {
        let address = SocketAddr::from_abstract_name(format!("zipnet-{}", std::process::id())).unwrap();
        OwnedFd::from(UnixListener::bind_addr(&address).unwrap())
    };
    let (stream, _other) = UnixStream::pair().unwrap();
    let datagram = UnixDatagram::unbound().unwrap();
    for (descriptor, sockets, problem) in [
        (listener(), 2, "2 sockets, and only one can be the control socket"),
        (stream.into(), 1, "a connection instead of a listening socket"),
        (datagram.into(), 1, "fd 3 is not a valid unix stream socket"),
        (std::fs::File::open("/dev/null").unwrap().into(), 1, "fd 3 is not a socket"),
    ] {
        let mut daemon = Daemon::new();
        daemon.configure("");
        daemon.spawn(&mut activated(descriptor, sockets));
        assert_eq!(daemon.code(), Some(7));
        let expected = format!("the service manager passed {problem}");
        assert!(daemon.log().contains(&expected), "{} lacks {expected}", daemon.log());
    }
}

#[test]
fn sockets_that_were_passed_to_another_process_are_not_taken() {
    let mut daemon = Daemon::new();
    daemon.configure("");
    let mut command = zipnetd();
    command.env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    daemon.spawn(&mut command);
    daemon.logs("passed=false");
    status(&daemon.socket());
}
