//! What servers and aggregators have in common: links that others dial, and a place in the universe that says where.

use std::net::SocketAddr;
use std::sync::Arc;

use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::DeploymentId;

use crate::links::{LinkError, Links, LinksConfig, Role};
use crate::universe::{Announcement, Bootstrap, Relay, Universe, UniverseConfig, UniverseError};

/// Where a node listens, and how it finds the others.
#[derive(Clone, Debug)]
pub struct NodeConfig {
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

/// A node that does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The links could not be bound.
    #[error("binding the links: {0}")]
    Links(#[from] LinkError),
    /// The universe could not be joined.
    #[error("joining the universe: {0}")]
    Universe(#[from] UniverseError),
}

/// A node's place. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    /// Its links; they accept from [`Links::serve`] on.
    pub links: Links,
    /// The universe, in which it announces them.
    pub universe: Arc<Universe>,
}

impl Node {
    /// Binds the links and begins to join the universe.
    ///
    /// # Errors
    /// [`NodeError`], for example when an address is in use.
    pub async fn start(
        identity: &Arc<Identity>,
        role: Role,
        deployment: DeploymentId,
        config: NodeConfig,
    ) -> Result<Self, NodeError> {
        let NodeConfig { listen, announce, universe_listen, universe, bootstrap, relay } = config;
        let listen = Some(listen);
        let links =
            Links::bind(LinksConfig { identity: identity.clone(), role, deployment, listen, announce })
                .await?;
        let announcement = Announcement {
            bundle: identity.server_bundle(),
            link: links.link_addr(),
            deployment: Some(deployment),
        };
        let universe = Universe::start(UniverseConfig {
            identity: identity.clone(),
            universe,
            bootstrap,
            relay,
            listen: universe_listen,
            announcement,
        })?;
        Ok(Self { links, universe: Arc::new(universe) })
    }

    /// Where others find this node: `PEERID@IP:PORT`, once it is in the universe.
    pub fn bootstrap(&self) -> Option<Bootstrap> {
        self.universe.local_addr()
    }

    /// Leaves cleanly, within a few seconds.
    pub async fn stop(&self) {
        self.links.close().await;
        self.universe.leave().await;
    }
}
