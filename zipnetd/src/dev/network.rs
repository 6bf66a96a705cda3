//! Relay, servers, aggregator and cover clients of a dev network.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, select_all, try_join_all};
use tokio::time::{sleep, timeout};
use zipnet_aggregator::Aggregator;
use zipnet_committee::core::Open;
use zipnet_committee::server::{Server, ServerConfig};
use zipnet_dcnet::descriptor::{Descriptor, InstanceRef};
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::params::Params;
use zipnet_network::NodeConfig;
use zipnet_network::universe::{Bootstrap, EmbeddedRelay};
use zipnet_store::MemStore;
use zipnet_tdx::quote::NoTee;

use super::INSTANCE;
use crate::client::{Client, ClientConfig};
use crate::config::Real;
use crate::daemon::store::{make_folder, open_store};
use crate::failure::Failure;

/// Servers of the committee.
const SERVERS: usize = 3;
/// Clients that only cover: with the daemon's own, enough to hide among (`min_anonymity` of the dev parameters, and one
/// that may be late).
const COVER_CLIENTS: usize = 4;
/// The universe; nobody else is on the relay of this process.
const UNIVERSE: &str = "zipnet.dev";
/// How long the first server may take to enter the universe.
const ENTER_TIMEOUT: Duration = Duration::from_secs(20);
/// How often it is looked at meanwhile.
const ENTER_POLL: Duration = Duration::from_millis(20);
/// How long a cover client may take to end.
const CLIENT_END: Duration = Duration::from_secs(10);

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The network, the daemon aside.
pub(super) struct Network {
    relay: EmbeddedRelay,
    servers: Vec<Server>,
    aggregator: Aggregator,
    cover: Vec<Client>,
    /// How to take part.
    pub real: Real,
}

fn failed(what: &str) -> impl Fn(String) -> Failure + '_ {
    move |why| Failure::Dev(format!("{what}: {why}"))
}

/// The identity kept in `dir`; made at the first start.
fn identity(dir: &Path) -> Result<Arc<Identity>, Failure> {
    make_folder(dir)?;
    let key = zipnet_role::load_or_create_key(&dir.join("key"));
    key.map(Arc::new).map_err(|e| failed("a key")(e.to_string()))
}

impl Network {
    /// Starts everything with its state in folders of `dir`.
    pub(super) async fn start(dir: &Path) -> Result<Self, Failure> {
        let relay = EmbeddedRelay::start(LOOPBACK).await.map_err(|e| failed("the relay")(e.to_string()))?;
        let homes: Vec<_> = (1..=SERVERS).map(|n| dir.join(format!("server-{n}"))).collect();
        let identities = homes.iter().map(|home| identity(home)).collect::<Result<Vec<_>, _>>()?;
        let folder = identity(&dir.join("aggregator"))?;
        let peers = identities.iter().map(|identity| identity.peer_id()).collect();
        let descriptor = Descriptor::new(INSTANCE, Params::dev(SERVERS as u32), peers)
            .map_err(|e| failed("the descriptor")(e.to_string()))?;
        let server = async |n: usize, bootstrap: Vec<Bootstrap>| {
            let config = ServerConfig {
                identity: identities[n].clone(),
                descriptor: descriptor.clone(),
                store: open_store(homes[n].join("store")).await?,
                node: node(&relay, bootstrap),
                aggregators: vec![folder.peer_id()],
                quotes: Arc::new(NoTee),
                admission: Arc::new(Open),
            };
            Server::start(config).await.map_err(|e| failed("a server")(e.to_string()))
        };
        // The others find the universe through the first one, by its address. (mosaik asks DNS servers for the peer id
        // all the same, until its look-ups are switched off: docs/threat-model.md.)
        let mut servers = vec![server(0, Vec::new()).await?];
        let entry = entry(&servers[0]).await?;
        servers.extend(try_join_all((1..SERVERS).map(|n| server(n, vec![entry]))).await?);
        let aggregator = Aggregator::start(folder, descriptor.clone(), node(&relay, vec![entry])).await;
        let aggregator = aggregator.map_err(|e| failed("the aggregator")(e.to_string()))?;
        let real = Real {
            instance: InstanceRef { name: INSTANCE.to_owned(), pin: Some(descriptor.id()) },
            universe: UNIVERSE.to_owned(),
            bootstrap: vec![entry],
            listen: Some(LOOPBACK),
            relay: relay.relay(),
        };
        let mut cover = Vec::new();
        for n in 1..=COVER_CLIENTS {
            // Always the same ones: after a restart the committee waits for those it knows.
            let identity = identity(&dir.join(format!("cover-{n}")))?;
            cover.push(Client::start(cover_client(&real, identity)).await?);
        }
        Ok(Self { relay, servers, aggregator, cover, real })
    }

    /// Resolves with the reason when a server can no longer go on, for example when its disk failed.
    pub(super) async fn failed(&self) -> Failure {
        let (reason, n, _) = select_all(self.servers.iter().map(|server| Box::pin(server.failed()))).await;
        failed(&format!("server {}", n + 1))(reason.to_string())
    }

    /// Stops everything, within some seconds.
    pub(super) async fn stop(self) {
        let clients = self.cover.into_iter().map(|mut client| async move {
            client.end();
            let _ = timeout(CLIENT_END, client.ended()).await;
        });
        let servers = self.servers.into_iter().map(Server::stop);
        tokio::join!(join_all(clients), join_all(servers), self.aggregator.stop());
        self.relay.stop().await;
    }
}

/// On loopback alone.
fn node(relay: &EmbeddedRelay, bootstrap: Vec<Bootstrap>) -> NodeConfig {
    NodeConfig {
        listen: LOOPBACK,
        announce: Vec::new(),
        universe_listen: Some(LOOPBACK),
        universe: UNIVERSE.to_owned(),
        bootstrap,
        relay: relay.relay(),
    }
}

/// Where a server is in the universe, as soon as it is there.
async fn entry(server: &Server) -> Result<Bootstrap, Failure> {
    let entered = async {
        loop {
            if let Some(addr) = server.bootstrap() {
                return addr;
            }
            sleep(ENTER_POLL).await;
        }
    };
    let entered = timeout(ENTER_TIMEOUT, entered).await;
    entered.map_err(|_| failed("the first server")("it did not enter the universe".to_owned()))
}

/// Its store is in memory: it has nothing to keep.
fn cover_client(real: &Real, identity: Arc<Identity>) -> ClientConfig {
    ClientConfig {
        identity,
        sealed: None,
        instance: real.instance.clone(),
        universe: real.universe.clone(),
        bootstrap: real.bootstrap.clone(),
        relay: real.relay.clone(),
        listen: real.listen,
        store: Arc::new(MemStore::new()),
        state_dir: "memory".into(),
        standing: None,
        cadence: 1,
        uid: 0,
        public: false,
        quotes: Arc::new(NoTee),
        judge: None,
    }
}
