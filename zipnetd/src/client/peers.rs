//! The nodes of the deployment and the links to them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use rand::seq::IndexedRandom;
use tracing::debug;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::header::MAX_AGGREGATORS;
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::signed::encode;
use zipnet_dcnet::wire::{RecordsCall, RecordsReply};
use zipnet_network::links::{Kind, Link, LinkAddr, Links};

use super::read::Source;
use super::verify::Giver;

/// How long a server may take for a piece of the log.
const RECORDS_TIMEOUT: Duration = Duration::from_secs(10);
/// The first dial; the link goes on by itself afterwards.
const FIRST_DIAL: Duration = Duration::from_secs(5);

/// Links to the servers of a deployment and to whatever aggregators are known.
pub(crate) struct Peers {
    links: Links,
    servers: Vec<PeerId>,
    known: Mutex<BTreeMap<PeerId, Link>>,
}

impl Peers {
    pub(crate) fn new(links: Links, descriptor: &Descriptor) -> Arc<Self> {
        Arc::new(Self { links, servers: descriptor.servers.clone(), known: Mutex::default() })
    }

    /// An address that somebody gave. Wrong ones cost a failed dial: links prove who answers.
    pub(crate) fn learn(&self, addr: LinkAddr) {
        let mut known = self.lock();
        if let Some(link) = known.get(&addr.peer_id) {
            if let Err(error) = link.set_addr(addr) {
                debug!(%error, "address not used");
            }
            return;
        }
        let server = self.servers.contains(&addr.peer_id);
        let aggregators = known.keys().filter(|peer| !self.servers.contains(peer)).count();
        if !server && aggregators >= MAX_AGGREGATORS {
            debug!(peer = %addr.peer_id.short(), "more aggregators than a header can name; not used");
            return;
        }
        let link = self.links.link(addr);
        known.insert(link.peer_id(), link.clone());
        // A link is dialled when it is first used, and kept up from then on.
        tokio::spawn(async move {
            if let Err(error) = link.ready(FIRST_DIAL).await {
                debug!(%error, "link not up yet");
            }
        });
    }

    /// The link to a node; `None` while nobody told where it is.
    pub(crate) fn link(&self, peer: &PeerId) -> Option<Link> {
        self.lock().get(peer).cloned()
    }

    /// Which links are up, and by which connection.
    pub(crate) fn states(&self) -> Vec<(PeerId, Option<u64>)> {
        self.lock().iter().map(|(peer, link)| (*peer, link.connection())).collect()
    }

    /// Whether it is known where all of these are.
    pub(crate) fn knows<'a>(&self, peers: impl IntoIterator<Item = &'a PeerId>) -> bool {
        let known = self.lock();
        peers.into_iter().all(|peer| known.contains_key(peer))
    }

    /// Whether some server is reachable.
    pub(crate) fn any_server_up(&self) -> bool {
        let known = self.lock();
        self.servers.iter().any(|server| known.get(server).is_some_and(Link::is_up))
    }

    /// Some server, any of those that are up; another one than `not` if there is another.
    pub(crate) fn pick_server(&self, not: &[PeerId]) -> Option<Link> {
        let known = self.lock();
        let servers: Vec<&Link> = self.servers.iter().filter_map(|server| known.get(server)).collect();
        let pick = |fits: &dyn Fn(&Link) -> bool| {
            let fitting: Vec<&&Link> = servers.iter().filter(|link| fits(link)).collect();
            fitting.choose(&mut rand::rng()).map(|link| (**link).clone())
        };
        let other = |link: &Link| !not.contains(&link.peer_id());
        pick(&|link| link.is_up() && other(link))
            .or_else(|| pick(&|link| link.is_up()))
            .or_else(|| pick(&other))
            .or_else(|| pick(&|_| true))
    }

    /// Closes all links.
    pub(crate) async fn close(&self) {
        self.links.close().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PeerId, Link>> {
        // No panic can leave a map of links half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log of one server.
pub(crate) struct OneServer(pub(crate) Link);

impl Giver for OneServer {
    fn records(&self, call: RecordsCall) -> BoxFuture<'_, Result<RecordsReply, String>> {
        Box::pin(async move {
            let answer = self.0.call(Kind::Records, encode(&call), RECORDS_TIMEOUT).await;
            let bytes = answer.map_err(|e| e.to_string())?;
            borsh::from_slice(&bytes).map_err(|e| format!("malformed: {e}"))
        })
    }
}

impl Source for Peers {
    fn records(
        &self,
        call: RecordsCall,
        wish: Option<PeerId>,
        not: &[PeerId],
    ) -> BoxFuture<'_, Option<(PeerId, RecordsReply)>> {
        let link = wish.and_then(|server| self.link(&server)).or_else(|| self.pick_server(not));
        Box::pin(async move {
            let link = link?;
            let server = link.peer_id();
            match OneServer(link).records(call).await {
                Ok(reply) => Some((server, reply)),
                Err(error) => {
                    debug!(server = %server.short(), error, "no records");
                    None
                }
            }
        })
    }
}
