//! The accepting side: takes connections, checks who they are, keeps them within the limits, serves their streams.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use iroh::Endpoint;
use iroh::endpoint::{Connection, Incoming, IncomingAddr};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use zipnet_dcnet::ids::PeerId;

use super::hello::{self, Hello, Me};
use super::limits::{self, Limits};
use super::{Remote, Service, service};

/// Why a connection is closed, for the other side's log.
#[derive(Clone, Copy)]
pub(super) enum Close {
    /// Regular end.
    Bye = 0,
    /// The hello was refused.
    Hello = 1,
    /// A newer connection of the same peer took its place.
    Replaced = 2,
}

impl Close {
    pub(super) fn on(self, conn: &Connection) {
        let text: &[u8] = match self {
            Self::Bye => b"bye",
            Self::Hello => b"the hello was refused",
            Self::Replaced => b"replaced by a newer connection",
        };
        conn.close((self as u32).into(), text);
    }
}

/// All that the tasks of an acceptor share.
pub(super) struct Acceptor {
    pub me: Arc<Me>,
    pub service: Arc<dyn Service>,
    pub limits: Limits,
    pub closed: CancellationToken,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    table: Mutex<Table>,
}

/// The authenticated connections by peer, oldest first, and each peer's allowance of requests.
#[derive(Default)]
struct Table {
    connections: BTreeMap<PeerId, VecDeque<Connection>>,
    /// Outlives the connections while requests are under way, so that reconnecting gives no fresh allowance.
    requests: BTreeMap<PeerId, Weak<Semaphore>>,
}

impl Acceptor {
    pub(super) fn new(
        me: Arc<Me>,
        service: Arc<dyn Service>,
        limits: Limits,
        closed: CancellationToken,
    ) -> Self {
        Self {
            me,
            service,
            limits,
            closed,
            handshakes: Arc::new(Semaphore::new(limits.handshakes)),
            connections: Arc::new(Semaphore::new(limits.connections)),
            table: Mutex::default(),
        }
    }

    /// Takes connections until the endpoint is closed.
    pub(super) async fn run(self: Arc<Self>, endpoint: Endpoint) {
        let own = *endpoint.id().as_bytes();
        while let Some(incoming) = endpoint.accept().await {
            let Ok(slot) = self.connections.clone().try_acquire_owned() else {
                debug!("connection refused: too many");
                incoming.refuse();
                continue;
            };
            let handshake = tokio::select! {
                handshake = self.handshakes.clone().acquire_owned() => handshake,
                () = self.closed.cancelled() => return,
            };
            let handshake = handshake.expect("invariant: nobody closes this semaphore");
            let acceptor = self.clone();
            tokio::spawn(async move {
                let _slot = slot;
                // Boxed: the handshake's state must not stay part of a task that lives as long as the connection.
                let welcomed = Box::pin(acceptor.welcome(incoming, &own)).await;
                drop(handshake);
                match welcomed {
                    Ok((conn, remote)) => acceptor.hold(conn, remote).await,
                    Err(error) => debug!(%error, "connection not accepted"),
                }
            });
        }
    }

    /// The handshake, within its deadline. The error is for the log: nobody has said yet who they are.
    async fn welcome(&self, incoming: Incoming, own: &[u8; 32]) -> Result<(Connection, Remote), String> {
        let IncomingAddr::Ip(addr) = incoming.remote_addr() else {
            return Err("not an IP connection".to_owned());
        };
        let handshake = async {
            let conn = incoming.await.map_err(|error| error.to_string())?;
            match hello::accept(&self.me, &conn, own, &self.limits).await {
                Ok(Hello { role, bundle, .. }) => {
                    limits::grant(&conn, role);
                    Ok((conn, Remote { peer_id: bundle.peer_id, bundle, role, addr }))
                }
                Err(error) => {
                    Close::Hello.on(&conn);
                    let reason = error.reason();
                    metrics::counter!(super::HELLOS_REFUSED, "reason" => reason).increment(1);
                    Err(error.to_string())
                }
            }
        };
        let welcomed = timeout(self.limits.hello, handshake).await;
        welcomed
            .unwrap_or_else(|_| Err("no hello in time".to_owned()))
            .map_err(|why| format!("{addr}: {why}"))
    }

    /// Serves the streams of a connection until it ends.
    async fn hold(self: Arc<Self>, conn: Connection, remote: Remote) {
        let remote = Arc::new(remote);
        let requests = self.enter(&conn, remote.peer_id);
        debug!(peer = %remote.peer_id.short(), role = ?remote.role, addr = %remote.addr, "link up");
        loop {
            let stream = tokio::select! {
                stream = conn.accept_bi() => stream,
                () = self.closed.cancelled() => break,
            };
            let (send, recv) = match stream {
                Ok(stream) => stream,
                Err(reason) => {
                    debug!(peer = %remote.peer_id.short(), %reason, "link down");
                    break;
                }
            };
            let permit = requests.clone().try_acquire_owned().ok();
            let (service, remote, limits) = (self.service.clone(), remote.clone(), self.limits);
            tokio::spawn(async move {
                service::serve(service, remote, send, recv, limits, permit.is_some()).await;
                drop(permit);
            });
        }
        self.leave(&conn, remote.peer_id);
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a connection; closes the peer's oldest ones beyond the limit.
    fn enter(&self, conn: &Connection, peer: PeerId) -> Arc<Semaphore> {
        let mut table = self.table();
        let of_peer = table.connections.entry(peer).or_default();
        of_peer.push_back(conn.clone());
        while of_peer.len() > self.limits.per_peer {
            if let Some(oldest) = of_peer.pop_front() {
                Close::Replaced.on(&oldest);
            }
        }
        let old = table.requests.get(&peer).and_then(Weak::upgrade);
        old.unwrap_or_else(|| {
            let new = Arc::new(Semaphore::new(self.limits.requests_per_peer));
            table.requests.insert(peer, Arc::downgrade(&new));
            new
        })
    }

    fn leave(&self, conn: &Connection, peer: PeerId) {
        let mut table = self.table();
        if let Some(of_peer) = table.connections.get_mut(&peer) {
            of_peer.retain(|other| other.stable_id() != conn.stable_id());
            if of_peer.is_empty() {
                table.connections.remove(&peer);
            }
        }
        // Allowances of peers that are gone, with nothing under way, are forgotten now and then.
        if table.requests.len() > 2 * table.connections.len() + 64 {
            table.requests.retain(|_, requests| requests.strong_count() > 0);
        }
    }
}
