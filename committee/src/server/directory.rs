//! Who is where: links to the other servers and to aggregators, at the addresses that the universe tells.

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
    known: Mutex<BTreeMap<PeerId, Link>>,
}

impl Directory {
    pub(super) fn new(links: Links) -> Self {
        Self { links, known: Mutex::new(BTreeMap::new()) }
    }

    /// The link to a peer whose address is known.
    pub(crate) fn link(&self, peer: &PeerId) -> Option<Link> {
        lock(&self.known).get(peer).cloned()
    }

    /// All known addresses.
    pub(super) fn addresses(&self) -> Vec<LinkAddr> {
        lock(&self.known).values().map(Link::addr).collect()
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
}

/// Keeps the directory up to date with the announcements of this deployment's nodes until `stop`.
pub(super) async fn follow(
    directory: Arc<Directory>,
    universe: Arc<Universe>,
    deployment: DeploymentId,
    stop: CancellationToken,
) {
    let mut tick = tokio::time::interval(REFRESH);
    let me = directory.links.peer_id();
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        for (peer, announcement) in &*universe.peers() {
            match &announcement.link {
                Some(link) if *peer != me && announcement.deployment == Some(deployment) => {
                    directory.note(link.clone());
                }
                _ => {}
            }
        }
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
