use std::net::{Ipv4Addr, SocketAddr};

use tokio::time::timeout;
use zipnet_dcnet::params::Params;
use zipnet_network::universe::Relay;
use zipnet_store::MemStore;

use super::*;
use crate::core::Open;
use zipnet_tdx::quote::NoTee;

/// A committee of one, whose log commits what it writes without anybody else, on a relay that is not there.
pub(super) fn config(store: Arc<MemStore>) -> ServerConfig {
    let identity = Arc::new(Identity::from_seed(Zeroizing::new([7; 32])));
    let descriptor = Descriptor::new("test", Params::dev(1), vec![identity.peer_id()]).unwrap();
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let node = NodeConfig {
        listen: loopback,
        announce: Vec::new(),
        universe_listen: Some(loopback),
        universe: "test".to_owned(),
        bootstrap: Vec::new(),
        relay: "http://127.0.0.1:1".parse::<Relay>().unwrap(),
    };
    let admission = Arc::new(Open);
    let quotes = Arc::new(NoTee);
    ServerConfig { identity, descriptor, store, node, aggregators: Vec::new(), admission, quotes }
}

async fn server(store: Arc<MemStore>) -> Server {
    Server::start(config(store)).await.unwrap()
}

#[tokio::test]
async fn a_server_that_would_admit_anybody_to_an_attested_deployment_does_not_start() {
    let mut config = config(Arc::new(MemStore::new()));
    config.descriptor.admission = Kind::Tdx;
    let error = Server::start(config).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, StartError::Admission { wanted: "tdx", found: "open" }), "{error}");
    assert_eq!(error.exit(), Exit::Usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_disk_fails_says_so_and_ends() {
    let store = Arc::new(MemStore::new());
    let server = server(store.clone()).await;
    assert!(timeout(Duration::ZERO, server.failed()).await.is_err(), "a healthy one does not");
    store.fail_at(1);
    // Whatever is written next: this entry, or what the server itself has to log.
    let _ = server.shared.log.propose(b"x".to_vec()).await;
    let reason = timeout(Duration::from_secs(30), server.failed()).await.unwrap();
    assert!(matches!(reason, Gone::Store(_) | Gone::Log(_)), "{reason}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wedged_core_stops_the_pulse_and_a_healthy_one_goes_on() {
    let server = server(Arc::new(MemStore::new())).await;
    let pulse = server.pulse();
    let turned = async |from: u64| {
        while pulse.turns() <= from {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(30), turned(2)).await.unwrap();
    assert!(pulse.line().contains("0 of 1 servers, no aggregator reachable"), "{}", pulse.line());
    let shared = server.shared.clone();
    let wedged = tokio::task::spawn_blocking(move || {
        let core = shared.core();
        // The turn that was under way may still be counted.
        std::thread::sleep(Duration::from_millis(100));
        let before = shared.turns.load(std::sync::atomic::Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(300));
        let after = shared.turns.load(std::sync::atomic::Ordering::Relaxed);
        drop(core);
        (before, after)
    });
    let (before, after) = wedged.await.unwrap();
    assert!(after <= before + 1, "{after} after {before}: it turns without its core");
    timeout(Duration::from_secs(30), turned(after)).await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregator_that_leaves_is_answered_when_the_policy_is_without_it() {
    let aggregator = Identity::from_seed(Zeroizing::new([8; 32]));
    let aggregators = vec![aggregator.peer_id()];
    let config = ServerConfig { aggregators, ..config(Arc::new(MemStore::new())) };
    let server = Server::start(config).await.unwrap();
    let policy = || server.shared.applied().state.server(&server.shared.me).unwrap().aggregators.clone();
    let until = async |expected: &[PeerId]| {
        while policy() != expected {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(30), until(&[aggregator.peer_id()])).await.unwrap();
    let from = |who: &Identity| zipnet_network::links::Remote {
        peer_id: who.peer_id(),
        bundle: who.server_bundle(),
        role: Role::Aggregator,
        addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
    };
    let service = service::Service(server.shared.clone());
    let say = async |who: &Identity, presence: zipnet_network::Presence| {
        let body = zipnet_dcnet::signed::encode(&presence);
        service.answer(from(who), zipnet_network::links::Kind::Status, body).await
    };
    assert_eq!(say(&aggregator, zipnet_network::Presence::Leaving).await.unwrap(), Vec::<u8>::new());
    assert_eq!(policy(), [], "the answer comes after the policy");
    let stranger = Identity::from_seed(Zeroizing::new([9; 32]));
    let refused = say(&stranger, zipnet_network::Presence::Leaving).await.unwrap_err();
    assert_eq!(refused.code, zipnet_dcnet::wire::refusal::FORBIDDEN);
    say(&aggregator, zipnet_network::Presence::Here).await.unwrap();
    timeout(Duration::from_secs(30), until(&[aggregator.peer_id()])).await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_alone_leaves_without_waiting_for_anybody() {
    let server = server(Arc::new(MemStore::new())).await;
    timeout(Duration::from_secs(4), server.leave()).await.expect("it waits for another leader");
    assert!(server.shared.core().is_leaving());
    server.stop().await;
}
