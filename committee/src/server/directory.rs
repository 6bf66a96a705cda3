//! Who is where: links to the other servers and to this server's aggregators, at the addresses that the universe tells.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use zipnet_dcnet::ids::{DeploymentId, PeerId};
use zipnet_network::links::{Kind, Link, LinkAddr, Links};
use zipnet_network::universe::Universe;

use super::lock;
use crate::raft::{Peers, RaftKind};

/// How often the universe is looked at.
const REFRESH: Duration = Duration::from_millis(500);

/// See the module.
pub(crate) struct Directory {
    links: Links,
    servers: Vec<PeerId>,
    aggregators: Vec<PeerId>,
    known: Mutex<BTreeMap<PeerId, Link>>,
}

impl Directory {
    pub(super) fn new(links: Links, servers: Vec<PeerId>, aggregators: Vec<PeerId>) -> Self {
        Self { links, servers, aggregators, known: Mutex::new(BTreeMap::new()) }
    }

    /// The link to a peer whose address is known.
    pub(crate) fn link(&self, peer: &PeerId) -> Option<Link> {
        lock(&self.known).get(peer).cloned()
    }

    /// Whether the connection to this peer is up.
    pub(super) fn is_up(&self, peer: &PeerId) -> bool {
        lock(&self.known).get(peer).is_some_and(Link::is_up)
    }

    /// This server's aggregators.
    pub(super) fn aggregators(&self) -> &[PeerId] {
        &self.aggregators
    }

    /// All known addresses.
    pub(super) fn addresses(&self) -> Vec<LinkAddr> {
        lock(&self.known).values().map(Link::addr).collect()
    }

    /// Whether this peer has business with this server. Anybody can announce a deployment: whoever did would fill the
    /// directory, and with it the answers to `describe`.
    fn concerns(&self, peer: &PeerId) -> bool {
        *peer != self.links.peer_id() && (self.servers.contains(peer) || self.aggregators.contains(peer))
    }

    /// Notes where a peer is now.
    fn note(&self, addr: LinkAddr) {
        let mut known = lock(&self.known);
        match known.get(&addr.peer_id) {
            Some(link) => {
                // The only error is another peer's address, and the map is by peer.
                let _ = link.set_addr(addr);
            }
            None => {
                known.insert(addr.peer_id, self.links.link(addr));
            }
        }
    }

    /// Has all links kept up, used or not: a server that cannot reach an aggregator should know before it leads.
    async fn keep_up(&self) {
        let links: Vec<_> = lock(&self.known).values().filter(|link| !link.is_up()).cloned().collect();
        for link in links {
            // Not waited for: from the first wish on, the link dials by itself.
            let _ = link.ready(Duration::ZERO).await;
        }
    }
}

/// Keeps the directory up to date with the announcements of this deployment's nodes until `stop`.
pub(super) async fn follow(
    directory: Arc<Directory>,
    universe: Arc<Universe>,
    deployment: DeploymentId,
    stop: CancellationToken,
) {
    let mut tick = tokio::time::interval(REFRESH);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        for (peer, announcement) in &*universe.peers() {
            match &announcement.link {
                Some(link) if announcement.deployment == Some(deployment) && directory.concerns(peer) => {
                    directory.note(link.clone());
                }
                _ => {}
            }
        }
        directory.keep_up().await;
    }
}

impl Peers for Directory {
    fn call(
        &self,
        to: PeerId,
        kind: RaftKind,
        body: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        let kind = match kind {
            RaftKind::Append => Kind::RaftAppend,
            RaftKind::Vote => Kind::RaftVote,
            RaftKind::Snapshot => Kind::RaftSnapshot,
        };
        Box::pin(async move {
            let link = self.link(&to).ok_or_else(|| format!("no address of server {to} is known yet"))?;
            link.call(kind, body, timeout).await.map_err(|e| e.to_string())
        })
    }
}
