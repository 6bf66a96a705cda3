//! The aggregator of zipnet: folds the envelopes of a round and gives the fold to the committee's leader. It holds no
//! key that could unmask anybody; it is trusted for liveness only.

pub mod cli;
mod folding;
mod follow;
mod service;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::identity::Identity;
use zipnet_network::links::{LinkError, Links, LinksConfig, Role};
use zipnet_network::universe::{Announcement, Bootstrap, Relay, Universe, UniverseConfig, UniverseError};

use folding::Folding;

/// What an aggregator needs.
pub struct AggregatorConfig {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// The deployment.
    pub descriptor: Descriptor,
    /// Where to accept links.
    pub listen: SocketAddr,
    /// Addresses to announce instead of those of the interfaces.
    pub announce: Vec<SocketAddr>,
    /// Where the universe's endpoint listens; `None`: all interfaces, a free port.
    pub universe_listen: Option<SocketAddr>,
    /// The universe's name.
    pub universe: String,
    /// Peers to find the universe through.
    pub bootstrap: Vec<Bootstrap>,
    /// The relay.
    pub relay: Relay,
}

/// An aggregator that does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The links could not be bound.
    #[error("binding the links: {0}")]
    Links(#[from] LinkError),
    /// The universe could not be joined.
    #[error("joining the universe: {0}")]
    Universe(#[from] UniverseError),
}

/// A running aggregator.
pub struct Aggregator {
    links: Links,
    universe: Arc<Universe>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Aggregator {
    /// Starts the aggregator; returns when it accepts links.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way.
    pub async fn start(config: AggregatorConfig) -> Result<Self, StartError> {
        let AggregatorConfig { identity, descriptor, .. } = config;
        let deployment = descriptor.id();
        let links = Links::bind(LinksConfig {
            identity: identity.clone(),
            role: Role::Aggregator,
            deployment,
            listen: Some(config.listen),
            announce: config.announce,
        })
        .await?;
        let announcement = Announcement {
            bundle: identity.server_bundle(),
            link: links.link_addr(),
            deployment: Some(deployment),
        };
        let universe = Arc::new(Universe::start(UniverseConfig {
            identity: identity.clone(),
            universe: config.universe,
            bootstrap: config.bootstrap,
            relay: config.relay,
            listen: config.universe_listen,
            announcement,
        })?);
        tracing::info!(peer = %identity.peer_id(), instance = %descriptor.instance, %deployment, "aggregator up");
        let folding = Arc::new(Folding::new(identity, descriptor));
        links.serve(Arc::new(service::Service(folding.clone())));
        let stop = CancellationToken::new();
        let task = follow::follow(folding, links.clone(), universe.clone(), stop.clone());
        Ok(Self { links, universe, stop: stop.clone(), task: tokio::spawn(task) })
    }

    /// Where others find this aggregator: `PEERID@IP:PORT`, once it is in the universe.
    pub fn bootstrap(&self) -> Option<Bootstrap> {
        self.universe.local_addr()
    }

    /// Stops cleanly, within a few seconds.
    pub async fn stop(self) {
        const GRACE: Duration = Duration::from_secs(5);
        self.stop.cancel();
        let _ = tokio::time::timeout(GRACE, self.task).await;
        self.links.close().await;
        self.universe.leave().await;
    }
}
