use std::net::{Ipv4Addr, SocketAddr};

use tokio::time::timeout;
use zipnet_dcnet::params::Params;
use zipnet_network::universe::Relay;
use zipnet_store::MemStore;

use super::*;

/// A committee of one, whose log commits what it writes without anybody else, on a relay that is not there.
async fn server(store: Arc<MemStore>) -> Server {
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
    let config = ServerConfig { identity, descriptor, store, node, aggregators: Vec::new() };
    Server::start(config).await.unwrap()
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
    assert!(reason.contains("store failed") || reason.contains("log stopped"), "{reason}");
    server.stop().await;
}
