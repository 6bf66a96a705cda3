//! A committee and its aggregator as processes.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use zipnet_network::universe::EmbeddedRelay;

use crate::{Daemon, Process, bin};

/// What kind of deployment.
pub struct DeploymentConfig<'a> {
    /// The instance name.
    pub instance: &'a str,
    /// How many servers.
    pub servers: usize,
    /// Parameters that differ from `zipnetctl descriptor new`'s, as `name=value`.
    pub params: &'a [&'a str],
}

/// A running deployment. Everything it wrote is gone with it.
pub struct Deployment {
    instance: String,
    id: String,
    servers: Vec<Process>,
    server_ids: Vec<String>,
    aggregator: Option<Process>,
    aggregator_id: String,
    universe: SocketAddr,
    bootstrap: String,
    relay: String,
    dir: TempDir,
    _relay: EmbeddedRelay,
    _runtime: Runtime,
}

/// A port that nobody uses right now, for UDP and TCP.
///
/// # Panics
/// When there is none.
fn free_addr() -> SocketAddr {
    for _ in 0..100 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let addr = udp.local_addr().expect("a bound socket has an address");
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
    panic!("no free port on loopback");
}

fn output(command: &mut Command) -> String {
    let out = command.output().expect("the command starts");
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?} failed: {errors}");
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

impl Deployment {
    /// Makes keys and descriptor as an operator would, and starts the processes.
    ///
    /// # Panics
    /// When a step fails.
    pub fn start(config: &DeploymentConfig<'_>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let runtime = Runtime::new().expect("a runtime can be made");
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let embedded = runtime.block_on(EmbeddedRelay::start(loopback)).expect("the relay starts");
        let relay = embedded.url().to_string();
        let keygen = |binary: &str, name: &str| {
            output(Command::new(bin(binary)).arg("keygen").arg("--state-dir").arg(dir.path().join(name)))
        };
        let names: Vec<_> = (0..config.servers).map(|i| format!("server-{i}")).collect();
        let ids: Vec<_> = names.iter().map(|name| keygen("zipnet-server", name)).collect();
        let aggregator_id = keygen("zipnet-aggregator", "aggregator");
        let file = dir.path().join("descriptor.json");
        let mut new = Command::new(bin("zipnetctl"));
        new.args(["descriptor", "new", "--instance", config.instance, "-o"]).arg(&file);
        for id in &ids {
            new.args(["--server", id]);
        }
        for param in config.params {
            new.args(["--param", param]);
        }
        let id = output(&mut new);
        let universe = free_addr();
        let bootstrap = format!("{}@{universe}", ids[0]);
        let mut this = Self {
            instance: config.instance.to_owned(),
            id,
            servers: Vec::new(),
            server_ids: ids,
            aggregator: None,
            aggregator_id,
            universe,
            bootstrap,
            relay,
            dir,
            _relay: embedded,
            _runtime: runtime,
        };
        for i in 0..names.len() {
            let server = this.start_server(i);
            this.servers.push(server);
        }
        this.aggregator = Some(this.start_aggregator());
        this
    }

    fn start_server(&self, i: usize) -> Process {
        let name = format!("server-{i}");
        let mut command = self.role("zipnet-server", &name);
        command.args(["--aggregator", &self.aggregator_id]);
        if i == 0 {
            command.args(["--universe-listen", &self.universe.to_string()]);
        }
        Process::start(self.dir.path(), &name, &mut command)
    }

    fn start_aggregator(&self) -> Process {
        let mut command = self.role("zipnet-aggregator", "aggregator");
        Process::start(self.dir.path(), "aggregator", &mut command)
    }

    /// Stops a server as an operator does, and starts it again.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn restart_server(&mut self, i: usize) {
        assert!(self.servers[i].stop().success(), "server {i}");
        self.start_again(i);
    }

    /// Starts a server that has ended.
    pub fn start_again(&mut self, i: usize) {
        self.servers[i] = self.start_server(i);
    }

    /// The peer id of a server.
    pub fn peer_id(&self, i: usize) -> String {
        self.server_ids[i].clone()
    }

    /// The same with the aggregator.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn restart_aggregator(&mut self) {
        if let Some(aggregator) = &mut self.aggregator {
            assert!(aggregator.stop().success(), "the aggregator");
        }
        self.aggregator = Some(self.start_aggregator());
    }

    fn role(&self, binary: &str, name: &str) -> Command {
        let mut command = Command::new(bin(binary));
        command
            .arg("--state-dir")
            .arg(self.dir.path().join(name))
            .arg("--descriptor")
            .arg(self.descriptor())
            .args(["--listen", "127.0.0.1:0", "--bootstrap", &self.bootstrap])
            .args(["--relay", &self.relay, "--universe", "test.universe"])
            .env("RUST_LOG", "info");
        command
    }

    /// Starts a daemon that belongs to this deployment and pins it.
    pub fn daemon(&self, name: &str) -> Daemon {
        let mut daemon = self.daemon_of(name, &self.pinned());
        daemon.start();
        daemon
    }

    /// A daemon of whatever instance, in this deployment's universe. Does not run yet.
    pub fn daemon_of(&self, name: &str, instance: &str) -> Daemon {
        let mut daemon = Daemon::new(&self.path().join(name), name);
        daemon.set("ZIPNET_INSTANCE", instance);
        daemon.set("ZIPNET_BOOTSTRAP", &self.bootstrap);
        daemon.set("ZIPNET_RELAY", &self.relay);
        daemon.set("ZIPNET_UNIVERSE", "test.universe");
        daemon
    }

    /// The instance, pinned: `name#id`.
    pub fn pinned(&self) -> String {
        format!("{}#{}", self.instance, self.id)
    }

    /// The descriptor's file.
    pub fn descriptor(&self) -> PathBuf {
        self.path().join("descriptor.json")
    }

    /// The folder of everything.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The servers and the aggregator.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.servers.iter().chain(&self.aggregator)
    }

    /// A healthy run: the daemons stop as they should, and nobody has logged a warning or an error.
    ///
    /// # Panics
    /// When somebody complains.
    pub fn ends_without_complaints(&self, daemons: &mut [Daemon]) {
        for daemon in daemons {
            assert!(daemon.process().stop().success());
            let complaints = daemon.process().complaints();
            assert!(complaints.is_empty(), "a daemon complains: {complaints:#?}");
        }
        for process in self.processes() {
            let complaints = process.complaints();
            assert!(complaints.is_empty(), "a healthy run complains: {complaints:#?}");
        }
    }

    /// The servers.
    pub fn servers(&mut self) -> &mut [Process] {
        &mut self.servers
    }
}
