//! The aggregator of zipnet: folds the envelopes of a round and gives the fold to the committee's leader. It holds no
//! key that could unmask anybody; it is trusted for liveness only.

pub mod cli;
pub mod folding;
mod follow;
#[doc(hidden)]
pub mod fuzz;
pub mod metrics;
mod presence;
mod service;

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::identity::Identity;
use zipnet_network::links::Role;
use zipnet_network::universe::Bootstrap;
use zipnet_network::{Node, NodeConfig, NodeError};

use folding::Folding;
pub use presence::LEAVE;

/// A look at an aggregator that does not keep it alive.
#[derive(Clone)]
pub struct Pulse(Weak<Folding>);

impl Pulse {
    /// Moves at least every 10 seconds while the aggregator is well.
    pub fn turns(&self) -> u64 {
        self.0.upgrade().map_or(0, |folding| folding.turns())
    }

    /// A line for `systemctl status`.
    pub fn line(&self) -> String {
        self.0.upgrade().map_or_else(|| "stopped".to_owned(), |folding| folding.line())
    }
}

/// A running aggregator.
pub struct Aggregator {
    folding: Arc<Folding>,
    node: Node,
    stop: CancellationToken,
    /// Ends that it tells the servers that it is here.
    here: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Aggregator {
    /// Starts the aggregator; returns when it accepts links.
    ///
    /// # Errors
    /// [`NodeError`] says what is in the way.
    pub async fn start(
        identity: Arc<Identity>,
        descriptor: Descriptor,
        config: NodeConfig,
    ) -> Result<Self, NodeError> {
        let deployment = descriptor.id();
        let node = Node::start(&identity, Role::Aggregator, deployment, config).await?;
        tracing::info!(peer = %identity.peer_id(), instance = %descriptor.instance, %deployment, "aggregator up");
        let folding = Arc::new(Folding::new(identity, descriptor));
        node.links.serve(Arc::new(service::Service(folding.clone())));
        let stop = CancellationToken::new();
        metrics::begin();
        let servers = folding.descriptor().servers.clone();
        let here = stop.child_token();
        let tasks = vec![
            tokio::spawn(follow::follow(folding.clone(), node.clone(), stop.clone())),
            tokio::spawn(presence::say_here(node.clone(), servers, here.clone())),
        ];
        Ok(Self { folding, node, stop, here, tasks })
    }

    /// A look at how it is doing.
    pub fn pulse(&self) -> Pulse {
        Pulse(Arc::downgrade(&self.folding))
    }

    /// Where others find this aggregator: `PEERID@IP:PORT`, once it is in the universe.
    pub fn bootstrap(&self) -> Option<Bootstrap> {
        self.node.bootstrap()
    }

    /// Tells the servers that this aggregator stops, and waits until no round needs it. Takes [`LEAVE`] at most.
    pub async fn leave(&self) {
        self.here.cancel();
        presence::leave(&self.node, &self.folding.descriptor().servers).await;
    }

    /// Stops cleanly, within a few seconds.
    pub async fn stop(self) {
        const GRACE: Duration = Duration::from_secs(5);
        self.stop.cancel();
        for task in self.tasks {
            let _ = tokio::time::timeout(GRACE, task).await;
        }
        self.node.stop().await;
    }
}
