//! A deployment that admits by TDX quote: real daemons that ask a quote helper, and servers that judge what they show by
//! their policy. Nobody here has Intel's keys, so the servers take the signature of every quote for good; the rest is real.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use zeroize::Zeroizing;
use zipnet_aggregator::Aggregator;
use zipnet_committee::server::{Attested, Server, ServerConfig};
use zipnet_dcnet::descriptor::{Admission, Descriptor};
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::params::Params;
use zipnet_network::NodeConfig;
use zipnet_network::universe::{Bootstrap, EmbeddedRelay};
use zipnet_proto::v1::StatusResponse;
use zipnet_store::MemStore;
use zipnet_tdx::quote::{Quote, QuoteSource, ReportData, ServerKeys, SourceError, helper};
use zipnet_tdx::verify::{Authenticate, Denied, Gate, Genuine, Policy, Release, TcbStatus};
use zipnet_tests::{Daemon, until};
use zipnetd::client::{Client, ClientConfig, Judge};
use zipnetd::control::backend::{Backend as _, Caller};

const SERVERS: usize = 3;
const INSTANCE: &str = "attested.test";
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// A real quote of version 4: its `MR_TD` is at byte 184, its report data at byte 568.
const QUOTE: &[u8] = include_bytes!("../../../tdx/tests/data/v4.quote");
const WAIT: Duration = Duration::from_mins(2);

/// The platform: quotes of a guest whose `MR_TD` is this byte.
#[derive(Clone, Copy)]
struct Platform(u8);

impl QuoteSource for Platform {
    fn quote(&self, data: &ReportData) -> Result<Vec<u8>, SourceError> {
        let mut quote = QUOTE.to_vec();
        quote[184..232].fill(self.0);
        quote[568..632].copy_from_slice(&data.bytes());
        Ok(quote)
    }
}

impl Platform {
    /// Its quote helper at a socket of this folder. Ends with the test's process.
    fn helper(self, dir: &Path) -> PathBuf {
        let path = dir.join(format!("quote-{}.sock", self.0));
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A daemon that goes away in the middle is no matter.
                let _ = helper::serve(&mut stream.unwrap(), &self);
            }
        });
        path
    }
}

struct Believes;

impl Authenticate for Believes {
    fn authenticate(&self, quote: &[u8], _: u64) -> Result<Genuine, Denied> {
        let contents = Quote::parse(quote)?.contents();
        let (advisories, fmspc) = (Vec::new(), String::new());
        Ok(Genuine { contents, tcb: TcbStatus::UpToDate, advisories, fmspc, collateral_until: u64::MAX })
    }
}

/// A server's policy: releases by the byte that their `MR_TD` is made of, and which of them is withdrawn.
fn gate(releases: &[u8], withdrawn: Option<u8>) -> Gate<Believes> {
    let release = |n: &u8| {
        let mut quote = QUOTE.to_vec();
        quote[184..232].fill(*n);
        let measurements = Believes.authenticate(&quote, 0).unwrap().measurements();
        Release { name: format!("release {n}"), measurements, withdrawn: withdrawn == Some(*n) }
    };
    let releases = releases.iter().map(release).collect();
    Gate::new(Believes, Policy { tcb: vec![TcbStatus::UpToDate], reattest_hours: 24, releases })
}

/// Servers and an aggregator in this process.
struct Committee {
    dir: TempDir,
    runtime: Runtime,
    relay: EmbeddedRelay,
    servers: Vec<Server>,
    admissions: Vec<Arc<Attested<Believes>>>,
    aggregator: Aggregator,
    bootstrap: Bootstrap,
    pinned: String,
}

impl Committee {
    fn start(releases: &[u8]) -> Self {
        Self::of(Admission::Tdx, releases)
    }

    /// Its servers run on platform 1, and show it if they are asked.
    fn of(admission: Admission, releases: &[u8]) -> Self {
        let runtime = Runtime::new().unwrap();
        let identity = |n: u8| Arc::new(Identity::from_seed(Zeroizing::new([n; 32])));
        let identities: Vec<_> = (1..=SERVERS as u8).map(identity).collect();
        let folder = identity(100);
        let peers = identities.iter().map(|identity| identity.peer_id()).collect();
        let open = Descriptor::new(INSTANCE, Params::dev(SERVERS as u32), peers).unwrap();
        let descriptor = Descriptor { admission, ..open };
        let relay = runtime.block_on(EmbeddedRelay::start(LOOPBACK)).unwrap();
        let node = |bootstrap: Vec<Bootstrap>| NodeConfig {
            listen: LOOPBACK,
            announce: Vec::new(),
            universe_listen: Some(LOOPBACK),
            universe: INSTANCE.to_owned(),
            bootstrap,
            relay: relay.relay(),
        };
        let (mut servers, mut admissions, mut known) = (Vec::new(), Vec::new(), Vec::new());
        for identity in identities {
            let admission = Arc::new(Attested::new(descriptor.id(), gate(releases, None)));
            admissions.push(admission.clone());
            let config = ServerConfig {
                identity,
                descriptor: descriptor.clone(),
                store: Arc::new(MemStore::new()),
                node: node(known.clone()),
                aggregators: vec![folder.peer_id()],
                admission,
                quotes: Arc::new(Platform(1)),
            };
            servers.push(runtime.block_on(Server::start(config)).unwrap());
            let first = || servers[0].bootstrap().ok_or("it did not enter the universe");
            known = vec![until(WAIT, "the first server to enter the universe", first)];
        }
        let start = Aggregator::start(folder, descriptor.clone(), node(known.clone()));
        let aggregator = runtime.block_on(start).unwrap();
        let pinned = format!("{INSTANCE}#{}", descriptor.id());
        let dir = TempDir::new().unwrap();
        Self { dir, runtime, relay, servers, admissions, aggregator, bootstrap: known[0], pinned }
    }

    /// A daemon that asks at this socket for quotes.
    fn daemon(&self, name: &str, quotes: &Path) -> Daemon {
        let dir = self.dir.path().join(name);
        let mut daemon = Daemon::new(&dir, name);
        let settings = [
            ("ZIPNET_INSTANCE", self.pinned.clone()),
            ("ZIPNET_UNIVERSE", INSTANCE.to_owned()),
            ("ZIPNET_BOOTSTRAP", self.bootstrap.to_string()),
            ("ZIPNET_RELAY", self.relay.relay().to_string()),
            ("ZIPNET_LISTEN", LOOPBACK.to_string()),
            ("ZIPNET_QUOTE_SOCKET", quotes.display().to_string()),
        ];
        for (key, value) in &settings {
            daemon.set(key, value);
        }
        daemon.start();
        daemon
    }

    fn stop(self) {
        let Self { runtime, servers, aggregator, .. } = self;
        runtime.block_on(async {
            aggregator.stop().await;
            for server in servers {
                server.stop().await;
            }
        });
    }
}

/// The client ids of daemons differ; each is registered in the round that its status tells.
fn registered(daemon: &Daemon) -> bool {
    daemon.status().is_ok_and(|status| status["registered"] == true)
}

/// Sends a text with one daemon and reads it with another.
fn passes(from: &Daemon, to: &Daemon, text: &str) {
    from.send(text).unwrap();
    until(WAIT, "the message to be read", || {
        let log = to.read()?;
        ensure!(log.iter().any(|message| message.payload == text), "{} others", log.len());
        Ok(())
    });
}

#[test]
fn who_shows_a_quote_of_an_admitted_release_takes_part_until_that_is_withdrawn() {
    let committee = Committee::start(&[1, 2]);
    let helper = |release| Platform(release).helper(committee.dir.path());
    let first = helper(1);
    let mut daemons: Vec<Daemon> = (0..4).map(|n| committee.daemon(&format!("one-{n}"), &first)).collect();
    daemons.push(committee.daemon("two", &helper(2)));
    // A build that nobody admits, and a host without quotes.
    let mut unknown = committee.daemon("unknown", &helper(3));
    let nowhere = committee.dir.path().join("no-helper.sock");
    let mut without = committee.daemon("without", &nowhere);
    for daemon in &daemons {
        daemon.wait_registered(WAIT);
    }
    passes(&daemons[0], &daemons[4], "hello");
    let says = |daemon: &mut Daemon, word: &str| {
        until(WAIT, word, || {
            let log = daemon.process().log();
            ensure!(log.contains(word), "{log}");
            Ok(())
        });
        assert!(!registered(daemon));
    };
    says(&mut without, &nowhere.display().to_string());
    says(&mut unknown, "MR_TD");
    unknown.process().stop();

    // One server withdraws a release: its clients are out, the others go on.
    committee.admissions[1].replace(gate(&[1, 2], Some(2)));
    says(&mut daemons[4], "release 2 was withdrawn");
    passes(&daemons[0], &daemons[1], "without the second release");

    // The helper comes, and the release is admitted again: nobody has to do anything at the daemons.
    let late = UnixListener::bind(&nowhere).unwrap();
    thread::spawn(move || {
        for stream in late.incoming() {
            let _ = helper::serve(&mut stream.unwrap(), &Platform(1));
        }
    });
    committee.admissions[1].replace(gate(&[1, 2], None));
    for daemon in [&daemons[4], &without] {
        daemon.wait_registered(WAIT);
    }
    passes(&daemons[4], &without, "all again");
    daemons.push(without);
    for mut daemon in daemons {
        assert!(daemon.process().stop().success());
    }
    assert!(fs::exists(&nowhere).unwrap());
    committee.stop();
}

/// By a policy of the client's own; every signature is good.
struct Judges(Gate<Believes>);

impl Judge for Judges {
    fn judge(&self, quote: &[u8], keys: &ServerKeys) -> Result<String, String> {
        self.0.vet(quote, keys, 0).map_err(|denied| denied.to_string())
    }
}

impl Committee {
    /// A client in this process that admits servers of these releases.
    fn client(&self, n: u8, releases: &[u8]) -> Client {
        let config = ClientConfig {
            identity: Arc::new(Identity::from_seed(Zeroizing::new([n; 32]))),
            sealed: None,
            instance: self.pinned.parse().unwrap(),
            universe: INSTANCE.to_owned(),
            bootstrap: vec![self.bootstrap],
            relay: self.relay.relay(),
            listen: Some(LOOPBACK),
            store: Arc::new(MemStore::new()),
            state_dir: "memory".into(),
            standing: None,
            cadence: 1,
            uid: 0,
            public: false,
            quotes: Arc::new(Platform(1)),
            judge: Some(Arc::new(Judges(gate(releases, None)))),
        };
        self.runtime.block_on(Client::start(config)).unwrap()
    }

    fn status(&self, client: &Client) -> StatusResponse {
        self.runtime.block_on(client.handle().status(Caller { uid: 0, sees_all: true })).unwrap()
    }
}

#[test]
fn a_client_registers_only_with_servers_whose_release_it_admits() {
    let committee = Committee::of(Admission::Mutual, &[1]);
    let clients: Vec<Client> = (50..54).map(|n| committee.client(n, &[1])).collect();
    let strict = committee.client(60, &[2]);
    until(WAIT, "the clients to be registered", || {
        for client in &clients {
            let status = committee.status(client);
            ensure!(status.registered, "{status:?}");
        }
        Ok(())
    });
    assert!(!committee.status(&strict).registered, "its policy has another release");

    // The real daemon, which takes no signature for good: without a policy it ends, with one it refuses what the servers show.
    let quotes = Platform(1).helper(committee.dir.path());
    let mut daemon = committee.daemon("without", &quotes);
    let ended = until(WAIT, "the daemon to end", || daemon.process().ended().ok_or("it runs"));
    assert_eq!(ended.code(), Some(2), "{}", daemon.process().log());
    assert!(daemon.process().log().contains("set ZIPNET_SERVER_POLICY"), "{}", daemon.process().log());
    let file = |name: &str, text: &str| {
        let path = committee.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (m, collateral) = ("01".repeat(48), include_str!("../../../tdx/tests/data/v4.collateral.json"));
    let release = format!("[[release]]\nname = \"1\"\nmrtd = \"{m}\"\nrtmr1 = \"{m}\"\nrtmr2 = \"{m}\"\n");
    daemon.set("ZIPNET_SERVER_POLICY", &file("policy.toml", &release));
    daemon.set("ZIPNET_SERVER_COLLATERAL", &file("collateral.json", collateral));
    daemon.start();
    until(WAIT, "it to refuse the servers", || {
        let log = daemon.process().log();
        ensure!(log.contains("its quote is refused"), "{log}");
        Ok(())
    });
    assert!(!registered(&daemon));
    assert!(daemon.process().stop().success());
    for mut client in clients.into_iter().chain([strict]) {
        client.end();
        committee.runtime.block_on(client.ended()).unwrap();
    }
    committee.stop();
}
