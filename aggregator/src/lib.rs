//! The aggregator of zipnet: folds the envelopes of a round and gives the fold to the committee's leader. It holds no
//! key that could unmask anybody; it is trusted for liveness only.

pub mod cli;
pub mod folding;
mod follow;
mod service;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::identity::Identity;
use zipnet_network::links::Role;
use zipnet_network::universe::Bootstrap;
use zipnet_network::{Node, NodeConfig, NodeError};

use folding::Folding;

/// A running aggregator.
pub struct Aggregator {
    node: Node,
    stop: CancellationToken,
    task: JoinHandle<()>,
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
        let task = follow::follow(folding, node.clone(), stop.clone());
        Ok(Self { node, stop: stop.clone(), task: tokio::spawn(task) })
    }

    /// Where others find this aggregator: `PEERID@IP:PORT`, once it is in the universe.
    pub fn bootstrap(&self) -> Option<Bootstrap> {
        self.node.bootstrap()
    }

    /// Stops cleanly, within a few seconds.
    pub async fn stop(self) {
        const GRACE: Duration = Duration::from_secs(5);
        self.stop.cancel();
        let _ = tokio::time::timeout(GRACE, self.task).await;
        self.node.stop().await;
    }
}
