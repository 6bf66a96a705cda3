//! A deployment whose servers, aggregators and daemons have a host each.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

use crate::audit::Chain;
use crate::hosts::{Host, Hosts};
use crate::{Daemon, Node, bin, until};

/// Generous: nothing here depends on how fast the machine is.
const WITHIN: Duration = Duration::from_mins(4);
const LINKS: u16 = 4700;
const UNIVERSE: u16 = 4701;
const RELAY: u16 = 3340;

/// What kind of fleet.
pub struct FleetConfig<'a> {
    /// The instance name.
    pub instance: &'a str,
    /// How many servers.
    pub servers: usize,
    /// How many aggregators.
    pub aggregators: usize,
    /// How many daemons.
    pub clients: usize,
    /// Parameters that differ from `zipnetctl descriptor new`'s, as `name=value`.
    pub params: &'a [&'a str],
    /// The server with this number keeps its state on a file system of so many MiB.
    pub small_disk: Option<(usize, u32)>,
}

/// A daemon on a host.
pub struct Client {
    /// The daemon.
    pub daemon: Daemon,
    /// Where it runs.
    pub host: Host,
}

impl Client {
    /// Starts it (again).
    pub fn start(&mut self) {
        self.daemon.start_by(self.host.command(bin("zipnetd")));
    }
}

/// A running fleet.
pub struct Fleet {
    /// The servers, in the order of their hosts.
    pub servers: Vec<Node>,
    /// The aggregators.
    pub aggregators: Vec<Node>,
    /// The daemons.
    pub clients: Vec<Client>,
    /// The relay.
    pub relay: Node,
    instance: String,
    descriptor: PathBuf,
    id: String,
    /// The log of before, which the servers may have dropped since.
    pub(crate) remembered: Mutex<Chain>,
    /// What is between them, and what they keep. Last, so that it outlives the processes.
    pub hosts: Hosts,
}

impl Fleet {
    /// Makes keys and descriptor as operators would, starts everything, and waits until all daemons are registered with
    /// all servers.
    ///
    /// # Panics
    /// When a step fails.
    pub fn start(config: &FleetConfig<'_>) -> Self {
        let mut hosts = Hosts::new();
        let dir = hosts.dir().to_owned();
        let mut relay = Node::new(&dir, "relay", hosts.add(), "relay", String::new());
        relay.args(&[&format!("{}:{RELAY}", relay.host().addr())]);
        relay.start();
        if let Some((which, size)) = config.small_disk {
            small_disk(&dir.join(format!("server-{which}")), size);
        }
        let mut this = Self {
            servers: Vec::new(),
            aggregators: Vec::new(),
            clients: Vec::new(),
            relay,
            instance: config.instance.to_owned(),
            descriptor: PathBuf::new(),
            id: String::new(),
            remembered: Mutex::default(),
            hosts,
        };
        this.servers =
            (0..config.servers).map(|i| this.node("zipnet-server", &format!("server-{i}"))).collect();
        let aggregators = 0..config.aggregators;
        this.aggregators =
            aggregators.map(|i| this.node("zipnet-aggregator", &format!("aggregator-{i}"))).collect();
        this.describe("descriptor", config.params, None);
        this.configure();
        this.servers.iter_mut().chain(&mut this.aggregators).for_each(Node::start);
        for i in 0..config.clients {
            let mut client = this.client(&format!("client-{i}"));
            client.start();
            this.clients.push(client);
        }
        this.wait_all();
        this
    }

    /// A node with a new key, on a host of its own, that does not run yet.
    pub fn node(&mut self, binary: &str, name: &str) -> Node {
        let dir = self.hosts.dir().to_owned();
        let id = output(Command::new(bin(binary)).arg("keygen").arg("--state-dir").arg(dir.join(name)));
        Node::new(&dir, name, self.hosts.add(), binary, id)
    }

    /// Makes a descriptor of the present servers in `<name>.json`, and makes it the fleet's. Gives its id.
    ///
    /// # Panics
    /// When it cannot be.
    pub fn describe(&mut self, name: &str, params: &[&str], predecessor: Option<&str>) -> String {
        self.descriptor = self.hosts.dir().join(format!("{name}.json"));
        let mut new = Command::new(bin("zipnetctl"));
        new.args(["descriptor", "new", "--instance", &self.instance, "-o"]).arg(&self.descriptor);
        for server in &self.servers {
            new.args(["--server", server.peer_id()]);
        }
        for param in params {
            new.args(["--param", param]);
        }
        if let Some(id) = predecessor {
            new.args(["--predecessor", id]);
        }
        self.id = output(&mut new);
        self.id.clone()
    }

    /// Tells all servers and aggregators, from their next start on, the present descriptor and who there is.
    pub fn configure(&mut self) {
        let (bootstrap, relay) = (self.bootstrap(), self.relay_url());
        let aggregators: Vec<_> = self.aggregators.iter().map(|a| a.peer_id().to_owned()).collect();
        let descriptor = self.descriptor.display().to_string();
        for node in self.servers.iter_mut().chain(&mut self.aggregators) {
            let addr = node.host().addr();
            let state = node.state_dir().display().to_string();
            node.set("ZIPNET_STATE_DIR", &state);
            node.set("ZIPNET_DESCRIPTOR", &descriptor);
            node.set("ZIPNET_LISTEN", &format!("{addr}:{LINKS}"));
            node.set("ZIPNET_UNIVERSE_LISTEN", &format!("{addr}:{UNIVERSE}"));
            node.set("ZIPNET_UNIVERSE", "test.universe");
            node.set("ZIPNET_BOOTSTRAP", &bootstrap);
            node.set("ZIPNET_RELAY", &relay);
            node.set("ZIPNET_AGGREGATORS", &aggregators.join(","));
        }
    }

    /// A daemon of this fleet, on a host of its own, that does not run yet.
    pub fn client(&mut self, name: &str) -> Client {
        let mut daemon = Daemon::new(&self.hosts.dir().join(name), name);
        daemon.set("ZIPNET_INSTANCE", &self.pinned());
        daemon.set("ZIPNET_BOOTSTRAP", &self.bootstrap());
        daemon.set("ZIPNET_RELAY", &self.relay_url());
        daemon.set("ZIPNET_UNIVERSE", "test.universe");
        Client { daemon, host: self.hosts.add() }
    }

    /// The instance, pinned: `name#id`.
    pub fn pinned(&self) -> String {
        format!("{}#{}", self.instance, self.id)
    }

    /// The deployment's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The descriptor's file.
    pub fn descriptor(&self) -> &Path {
        &self.descriptor
    }

    fn relay_url(&self) -> String {
        format!("http://{}:{RELAY}", self.relay.host().addr())
    }

    /// All servers: any of them will do.
    fn bootstrap(&self) -> String {
        let one = |s: &Node| format!("{}@{}:{UNIVERSE}", s.peer_id(), s.host().addr());
        self.servers.iter().map(one).collect::<Vec<_>>().join(",")
    }

    /// Where a server accepts links.
    pub fn links(server: &Node) -> String {
        format!("{}:{LINKS}", server.host().addr())
    }

    /// Waits until every daemon is ready, in rounds with all servers.
    pub fn wait_all(&self) {
        let servers = self.servers.len();
        for client in &self.clients {
            client.daemon.wait_status(WITHIN, "ready with all servers", |s| {
                s["state"] == "ready" && s["servers"].as_array().is_some_and(|named| named.len() == servers)
            });
        }
    }

    /// Which server leads: the one that tells the others most. Looks for some rounds.
    ///
    /// # Panics
    /// When nobody tells anything.
    pub fn leader(&self) -> usize {
        let told = |from: &Node| -> u64 {
            let others = self.servers.iter().filter(|to| to.name() != from.name());
            others.map(|to| self.hosts.bytes(from.host(), to.host())).sum()
        };
        let before: Vec<u64> = self.servers.iter().map(told).collect();
        until(WITHIN, "a leader to show", || {
            sleep(Duration::from_secs(1));
            let since: Vec<u64> = self.servers.iter().zip(&before).map(|(s, b)| told(s) - b).collect();
            let leader = (0..since.len()).max_by_key(|i| since[*i]).expect("there are servers");
            // The leader sends every entry to everybody, the others their part of it to the leader.
            let next = since.iter().enumerate().filter(|(i, _)| *i != leader).map(|(_, n)| *n).max();
            let clear = since[leader] > 500_000 && next.is_some_and(|next| since[leader] > next * 3 / 2);
            if clear { Ok(leader) } else { Err(format!("bytes to other servers: {since:?}")) }
        })
    }
}

/// What a command prints.
///
/// # Panics
/// When it fails.
fn output(command: &mut Command) -> String {
    let out = command.output().expect("the command starts");
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?} failed: {errors}");
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// A file system of so many MiB at a folder that is made for it. [`Hosts`] unmounts it.
fn small_disk(dir: &Path, size: u32) {
    std::fs::create_dir_all(dir).expect("the folder can be made");
    output(
        Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}m"), "zipnet-faults"]).arg(dir),
    );
}
