//! The universe on one host: an embedded relay and nodes on loopback.
#![allow(clippy::unwrap_used, missing_docs)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};
use zeroize::Zeroizing;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{DeploymentId, PeerId};
use zipnet_network::QUIET_LOG_DIRECTIVES;
use zipnet_network::links::LinkAddr;
use zipnet_network::universe::{
    Announcement, Bootstrap, EmbeddedRelay, MAX_ANSWER, Relay, State, Universe, UniverseConfig, UniverseError,
};

/// Longer than anything here takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_mins(1);

/// Collects what a healthy run may not log.
struct Complaints;

fn complaints() -> &'static Mutex<Vec<String>> {
    static LINES: OnceLock<Mutex<Vec<String>>> = OnceLock::new();
    LINES.get_or_init(|| {
        let filter = EnvFilter::new(format!("info,{QUIET_LOG_DIRECTIVES}"));
        tracing_subscriber::registry().with(Complaints.with_filter(filter)).init();
        Mutex::default()
    })
}

impl<S: tracing::Subscriber> Layer<S> for Complaints {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                use std::fmt::Write;
                let _ = write!(self.0, " {field}={value:?}");
            }
        }
        // Other crates have nothing to say at INFO either; this one says little.
        if *event.metadata().level() <= tracing::Level::INFO {
            let mut text = Text(format!("{} {}:", event.metadata().level(), event.metadata().target()));
            event.record(&mut text);
            complaints().lock().unwrap().push(text.0);
        }
    }
}

fn identity(n: u8) -> Arc<Identity> {
    Arc::new(Identity::from_seed(Zeroizing::new([n; 32])))
}

fn peer(n: u8) -> PeerId {
    identity(n).peer_id()
}

fn announcement(n: u8) -> Announcement {
    let bundle = identity(n).server_bundle();
    let link = LinkAddr {
        peer_id: bundle.peer_id,
        link_pk: bundle.link_pk,
        addrs: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, u16::from(n)))],
    };
    Announcement { bundle, link: Some(link), deployment: Some(DeploymentId([n; 32])) }
}

fn config(n: u8, relay: &EmbeddedRelay, bootstrap: Vec<Bootstrap>) -> UniverseConfig {
    UniverseConfig {
        identity: identity(n),
        universe: "zipnet.test".to_owned(),
        bootstrap,
        relay: relay.relay(),
        listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        announcement: announcement(n),
    }
}

async fn relay() -> EmbeddedRelay {
    complaints();
    EmbeddedRelay::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap()
}

async fn knows(universe: &Universe, others: &[u8]) {
    let mut peers = universe.watch_peers();
    let all = peers.wait_for(|peers| others.iter().all(|n| peers.get(&peer(*n)) == Some(&announcement(*n))));
    tokio::time::timeout(PATIENCE, all).await.expect("peers are not seen").unwrap();
}

fn healthy() {
    let complaints = complaints().lock().unwrap();
    assert!(complaints.is_empty(), "a healthy run complained:\n{}", complaints.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_find_and_describe_each_other_and_leave_quietly() {
    let relay = relay().await;
    let first = Universe::join(config(1, &relay, vec![]), PATIENCE).await.unwrap();
    let entry = first.local_addr().unwrap();
    assert_eq!(entry.peer_id, peer(1));
    assert!(entry.addr.unwrap().ip().is_loopback());
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    first.serve_describe(
        "acme.mainnet",
        Arc::new(move || {
            counter.fetch_add(1, Ordering::SeqCst);
            vec![7; MAX_ANSWER]
        }),
    );

    // Both know nothing but PEERID@IP:PORT.
    let entry: Bootstrap = entry.to_string().parse().unwrap();
    let second = Universe::join(config(2, &relay, vec![entry]), PATIENCE).await.unwrap();
    let third = Universe::join(config(3, &relay, vec![entry]), PATIENCE).await.unwrap();
    let described = second.describe("acme.mainnet", PATIENCE, Some).await.unwrap();
    assert_eq!((described.from, described.bytes), (peer(1), vec![7; MAX_ANSWER]));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    knows(&first, &[2, 3]).await;
    knows(&second, &[1, 3]).await;
    knows(&third, &[1, 2]).await;

    // Several serve a name: the asker picks. What does not fit is no answer.
    second.serve_describe("two", Arc::new(|| vec![2]));
    third.serve_describe("two", Arc::new(|| vec![3]));
    first.serve_describe("two", Arc::new(|| vec![1; MAX_ANSWER + 1]));
    let picked = first.describe("two", PATIENCE, |answer| (answer.bytes == [3]).then_some(answer.from)).await;
    assert_eq!(picked, Ok(peer(3)));
    let none = third.describe("two", Duration::from_secs(3), |_| None::<()>).await;
    assert!(matches!(none, Err(UniverseError::NoneAccepted { answers: 1, .. })), "{none:?}");

    // A changed announcement is seen.
    let mut changed = announcement(2);
    changed.deployment = None;
    second.announce(changed.clone());
    let mut peers = third.watch_peers();
    let seen = peers.wait_for(|peers| peers.get(&peer(2)) == Some(&changed));
    tokio::time::timeout(PATIENCE, seen).await.unwrap().unwrap();

    // One that leaves is forgotten by the others.
    third.leave().await;
    assert_eq!(*third.state().borrow(), State::Left);
    assert_eq!(third.describe("two", PATIENCE, Some).await, Err(UniverseError::Left));
    let mut peers = first.watch_peers();
    let gone = peers.wait_for(|peers| !peers.contains_key(&peer(3)));
    tokio::time::timeout(PATIENCE, gone).await.unwrap().unwrap();
    tokio::join!(first.leave(), second.leave());
    relay.stop().await;
    healthy();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bootstrap_peer_that_starts_late_is_found() {
    let relay = relay().await;
    // Its address is known before it is there.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    drop(socket);
    let entry = Bootstrap { peer_id: peer(4), addr: Some(addr) };
    let early = Universe::join(config(5, &relay, vec![entry]), PATIENCE).await.unwrap();
    let late = UniverseConfig { listen: Some(addr), ..config(4, &relay, vec![entry]) };
    let late = Universe::join(late, PATIENCE).await.unwrap();
    knows(&early, &[4]).await;
    knows(&late, &[5]).await;
    tokio::join!(early.leave(), late.leave());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_peer_id_is_reached_through_the_relay() {
    let relay = relay().await;
    let one = Universe::join(config(6, &relay, vec![]), PATIENCE).await.unwrap();
    let bare = Bootstrap { peer_id: peer(6), addr: None };
    let two = Universe::join(config(7, &relay, vec![bare]), PATIENCE).await.unwrap();
    knows(&two, &[6]).await;
    tokio::join!(one.leave(), two.leave());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_nobody_serves_is_a_connect_timeout() {
    let relay = relay().await;
    let universe = Universe::join(config(8, &relay, vec![]), PATIENCE).await.unwrap();
    let after = Duration::from_millis(500);
    let error = universe.describe("acme.mainet", after, Some).await.unwrap_err();
    assert_eq!(error, UniverseError::ConnectTimeout { instance: "acme.mainet".to_owned(), after });
    universe.leave().await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_relay_joining_fails_with_its_name_and_a_taken_address_at_once() {
    let relay = relay().await;
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody: Relay = format!("http://{}", socket.local_addr().unwrap()).parse().unwrap();
    drop(socket);
    let alone = UniverseConfig { relay: nobody.clone(), ..config(9, &relay, vec![]) };
    let Err(error) = Universe::join(alone, Duration::from_secs(1)).await else { panic!("joined nobody") };
    assert!(
        matches!(&error, UniverseError::NoRelay { relay, .. } if *relay == nobody.to_string()),
        "{error}"
    );

    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let refused = UniverseConfig { listen: Some(listen), ..config(9, &relay, vec![]) };
    let Err(error) = Universe::join(refused, PATIENCE).await else { panic!("bound twice") };
    assert!(matches!(&error, UniverseError::Bind { addr, .. } if *addr == listen.to_string()), "{error}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_fails_is_built_anew_and_serves_as_before() {
    let relay = relay().await;
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let patient = UniverseConfig { listen: Some(listen), ..config(10, &relay, vec![]) };
    let patient = Universe::start(patient).unwrap();
    patient.serve_describe("acme", Arc::new(|| vec![1]));
    let mut states = patient.state();
    let down = states.wait_for(|state| matches!(state, State::Down(UniverseError::Bind { .. })));
    tokio::time::timeout(PATIENCE, down).await.unwrap().unwrap();
    assert_eq!(patient.local_addr(), None);
    drop(taken);
    let up = states.wait_for(|state| matches!(state, State::Up(_)));
    tokio::time::timeout(PATIENCE, up).await.unwrap().unwrap();
    let entry = patient.local_addr().unwrap();
    assert_eq!(entry, Bootstrap { peer_id: peer(10), addr: Some(listen) });
    let other = Universe::join(config(11, &relay, vec![entry]), PATIENCE).await.unwrap();
    assert_eq!(other.describe("acme", PATIENCE, |answer| Some(answer.bytes)).await, Ok(vec![1]));
    tokio::join!(patient.leave(), other.leave());
    relay.stop().await;
}
