//! A link: a handle to a connection that is dialled on demand and then kept, through losses, while the handle lives.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use iroh::endpoint::Connection;
use iroh::{EndpointAddr, EndpointId, TransportAddr};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;
use zipnet_dcnet::ids::PeerId;

use super::acceptor::Close;
use super::exchange::{self, Exchange, FrameStream};
use super::hello;
use super::kind::Shape;
use super::limits::{self, BACKOFF_MAX, BACKOFF_MIN, DIAL_TIMEOUT, OPEN_TIMEOUT};
use super::service::check_len;
use super::{Kind, LinkAddr, LinkError, Local, Remote};

/// A supervised connection to one peer. Cheap to clone; calls share the connection. When the last clone
/// and the last stream are dropped the connection is closed.
#[derive(Clone)]
pub struct Link {
    shared: Arc<Shared>,
    stop: Arc<DropGuard>,
}

/// What handles and supervisor share.
struct Shared {
    local: Arc<Local>,
    peer: PeerId,
    addr: watch::Sender<LinkAddr>,
    state: watch::Sender<State>,
    /// Somebody has used the link: from then on it is kept up.
    wanted: watch::Sender<bool>,
    /// A call ran out of time and not one packet came in meanwhile.
    suspect: Notify,
}

#[derive(Clone, Default)]
struct State {
    up: Option<Up>,
    /// Finished dials, to tell a fresh failure from an old one.
    dials: u64,
    failure: Option<LinkError>,
    closed: bool,
}

#[derive(Clone)]
struct Up {
    conn: Connection,
    remote: Arc<Remote>,
}

impl Link {
    pub(super) fn new(local: Arc<Local>, addr: LinkAddr) -> Self {
        let stop = local.closed.child_token();
        let shared = Arc::new(Shared {
            local,
            peer: addr.peer_id,
            addr: watch::Sender::new(addr),
            state: watch::Sender::default(),
            wanted: watch::Sender::new(false),
            suspect: Notify::new(),
        });
        tokio::spawn(shared.clone().supervise(stop.clone()));
        Self { shared, stop: Arc::new(stop.drop_guard()) }
    }

    /// Who is at the other end.
    pub fn peer_id(&self) -> PeerId {
        self.shared.peer
    }

    /// Where it is dialled.
    pub fn addr(&self) -> LinkAddr {
        self.shared.addr.borrow().clone()
    }

    /// Moves the link to another address of the same peer. A connection that is up stays; one that is down is dialled
    /// there at once.
    ///
    /// # Errors
    /// [`LinkError::WrongPeer`] for the address of another peer.
    pub fn set_addr(&self, addr: LinkAddr) -> Result<(), LinkError> {
        if addr.peer_id != self.shared.peer {
            return Err(LinkError::WrongPeer { wanted: self.shared.peer, found: addr.peer_id });
        }
        self.shared.addr.send_if_modified(|old| {
            let changed = *old != addr;
            *old = addr;
            changed
        });
        Ok(())
    }

    /// Whether the connection is up, as far as known.
    pub fn is_up(&self) -> bool {
        self.shared.state.borrow().up.is_some()
    }

    /// The number of the connection that is up, as far as known: each that is made has a higher one.
    pub fn connection(&self) -> Option<u64> {
        let state = self.shared.state.borrow();
        state.up.as_ref().map(|_| state.dials)
    }

    /// The authenticated other side, while the connection is up.
    pub fn remote(&self) -> Option<Remote> {
        self.shared.state.borrow().up.as_ref().map(|up| (*up.remote).clone())
    }

    /// Waits until the connection is up; dials if nobody has yet.
    ///
    /// # Errors
    /// At once what only a change elsewhere can mend ([`LinkError::is_transient`] is false), otherwise
    /// [`LinkError::Unreachable`] with the last failure after `within`.
    pub async fn ready(&self, within: Duration) -> Result<Remote, LinkError> {
        Ok((*self.up(Instant::now() + within).await?.remote).clone())
    }

    /// Asks and waits for the answer, `within` in all, the dialling included. Never repeated once sent.
    ///
    /// # Errors
    /// Those of [`Link::ready`]; [`LinkError::Timeout`] and [`LinkError::Lost`] leave open whether the call took
    /// effect; [`LinkError::Refused`] and [`LinkError::TooLong`] do not.
    pub async fn call(
        &self,
        kind: Kind,
        body: impl Into<Bytes>,
        within: Duration,
    ) -> Result<Vec<u8>, LinkError> {
        let body = body.into();
        let peer = self.shared.peer;
        check(kind, Shape::Call, body.len())?;
        let deadline = Instant::now() + within;
        loop {
            let up = self.up(deadline).await?;
            let before = received(&up.conn);
            match timeout_at(deadline, exchange::call(&up.conn, peer, kind, body.clone())).await {
                Ok(Ok(Exchange::Done(answer))) => return Ok(answer),
                // The connection had gone before anything was sent: wait for the next one.
                Ok(Ok(Exchange::NotSent)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    if received(&up.conn) == before {
                        self.shared.suspect.notify_one();
                    }
                    return Err(LinkError::Timeout { peer, kind, after: within });
                }
            }
        }
    }

    /// Opens a stream of frames; waits up to [`OPEN_TIMEOUT`] for the connection. The stream keeps the link alive, but
    /// ends with the connection: open it anew from where it broke off. A refusal comes out of [`FrameStream::next`].
    ///
    /// # Errors
    /// Those of [`Link::ready`], and [`LinkError::Timeout`] and [`LinkError::Lost`].
    pub async fn open(&self, kind: Kind, body: impl Into<Bytes>) -> Result<FrameStream, LinkError> {
        let body = body.into();
        let peer = self.shared.peer;
        check(kind, Shape::Stream, body.len())?;
        let deadline = Instant::now() + OPEN_TIMEOUT;
        loop {
            let up = self.up(deadline).await?;
            let opening = exchange::open(&up.conn, self.stop.clone(), peer, kind, body.clone());
            match timeout_at(deadline, opening).await {
                Ok(Ok(Exchange::Done(stream))) => return Ok(stream),
                Ok(Ok(Exchange::NotSent)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(LinkError::Timeout { peer, kind, after: OPEN_TIMEOUT }),
            }
        }
    }

    async fn up(&self, deadline: Instant) -> Result<Up, LinkError> {
        self.shared.wanted.send_if_modified(|wanted| !std::mem::replace(wanted, true));
        let mut states = self.shared.state.subscribe();
        let before = states.borrow().dials;
        loop {
            let failure = {
                let state = states.borrow_and_update();
                if state.closed {
                    return Err(LinkError::Closed);
                }
                match &state.up {
                    Some(up) if up.conn.close_reason().is_none() => return Ok(up.clone()),
                    _ => state.failure.clone().map(|failure| (state.dials > before, failure)),
                }
            };
            match failure {
                Some((true, failure)) if !failure.is_transient() => return Err(failure),
                failure => match timeout_at(deadline, states.changed()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Err(LinkError::Closed),
                    Err(_) => return Err(self.unreachable(failure.map(|(_, failure)| failure))),
                },
            }
        }
    }

    fn unreachable(&self, failure: Option<LinkError>) -> LinkError {
        failure.unwrap_or_else(|| LinkError::Unreachable {
            peer: self.shared.peer,
            reason: "no connection in time".to_owned(),
        })
    }
}

fn check(kind: Kind, shape: Shape, len: usize) -> Result<(), LinkError> {
    if kind.shape() != shape {
        return Err(LinkError::WrongShape(kind));
    }
    check_len(kind, len, kind.max_request())
}

/// Packets received so far: tells a slow peer from a dead one.
fn received(conn: &Connection) -> u64 {
    conn.stats().udp_rx.datagrams
}

impl Shared {
    async fn supervise(self: Arc<Self>, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.keep_up()).await;
        self.state.send_modify(|state| {
            state.closed = true;
            if let Some(up) = state.up.take() {
                Close::Bye.on(&up.conn);
            }
        });
    }

    /// Dials, watches, dials again; for ever.
    async fn keep_up(&self) {
        let mut wanted = self.wanted.subscribe();
        let _ = wanted.wait_for(|wanted| *wanted).await;
        let mut addrs = self.addr.subscribe();
        let mut pause = Pause::default();
        loop {
            let addr = addrs.borrow_and_update().clone();
            let dialled = tokio::select! {
                dialled = self.dial(&addr) => dialled,
                Ok(()) = addrs.changed() => continue,
            };
            match dialled {
                Ok(up) => {
                    let since = Instant::now();
                    self.watch(up).await;
                    // A peer that accepts and drops at once must not be dialled in a hot loop.
                    if since.elapsed() >= BACKOFF_MAX {
                        pause = Pause::default();
                    }
                }
                Err(failure) => self.note(failure),
            }
            tokio::select! {
                () = sleep(pause.next()) => {}
                Ok(()) = addrs.changed() => pause = Pause::default(),
            }
        }
    }

    /// Announces the connection and returns when it is gone. A connection under suspicion is replaced by a new one as
    /// soon as that is up, not before; what is under way on the old one may still finish. Except when the peer has
    /// moved: iroh sends new handshakes to where an open connection goes, so the old one has to end first.
    async fn watch(&self, mut up: Up) {
        loop {
            debug!(peer = %self.peer.short(), addr = %up.remote.addr, "link up");
            self.state.send_modify(|state| {
                state.up = Some(up.clone());
                state.failure = None;
                state.dials += 1;
            });
            let mut pause = Pause::default();
            up = loop {
                tokio::select! {
                    reason = up.conn.closed() => {
                        debug!(peer = %self.peer.short(), %reason, "link down");
                        self.state.send_modify(|state| state.up = None);
                        return;
                    }
                    () = self.suspect.notified() => {}
                }
                let addr = self.addr.borrow().clone();
                if !addr.addrs.contains(&up.remote.addr) {
                    up.conn.close(0u32.into(), b"moved");
                    continue;
                }
                tokio::select! {
                    _ = up.conn.closed() => {}
                    dialled = self.dial(&addr) => match dialled {
                        Ok(new) => break new,
                        Err(failure) => {
                            debug!(peer = %self.peer.short(), %failure, "silent link not replaced");
                            sleep(pause.next()).await;
                        }
                    },
                }
            };
        }
    }

    fn note(&self, failure: LinkError) {
        debug!(peer = %self.peer.short(), %failure, "dial failed");
        self.state.send_modify(|state| {
            state.failure = Some(failure);
            state.dials += 1;
        });
    }

    async fn dial(&self, addr: &LinkAddr) -> Result<Up, LinkError> {
        let peer = self.peer;
        let unreachable = |reason: String| LinkError::Unreachable { peer, reason };
        let endpoint = self.local.endpoint().ok_or(LinkError::Closed)?;
        let id = EndpointId::from_bytes(&addr.link_pk)
            .map_err(|_| LinkError::BadHello { peer, reason: "its link key is not a key".to_owned() })?;
        let at = addr.addrs.iter().take(LinkAddr::MAX_ADDRS).copied().map(TransportAddr::Ip);
        let at = EndpointAddr::from_parts(id, at);
        let dial = async {
            let conn =
                endpoint.connect(at, hello::ALPN).await.map_err(|error| unreachable(format!("{error:#}")))?;
            let own = *endpoint.id().as_bytes();
            let dialled = hello::dial(&self.local.me, &conn, &own, peer, &self.local.limits).await;
            let hello = dialled.inspect_err(|_| Close::Hello.on(&conn))?;
            limits::grant_dialed(&conn);
            let from = conn.paths().iter().find_map(|path| match path.remote_addr() {
                TransportAddr::Ip(addr) => Some(*addr),
                _ => None,
            });
            let remote = Remote {
                peer_id: hello.bundle.peer_id,
                bundle: hello.bundle,
                role: hello.role,
                addr: from
                    .or(addr.addrs.first().copied())
                    .ok_or_else(|| unreachable("no address".to_owned()))?,
            };
            Ok(Up { conn, remote: Arc::new(remote) })
        };
        timeout(DIAL_TIMEOUT, dial).await.unwrap_or_else(|_| {
            Err(unreachable(format!("no answer from {:?} in {DIAL_TIMEOUT:?}", addr.addrs)))
        })
    }
}

/// The pauses between dials: doubling, jittered down by up to a half so that many dialers do not come in step.
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(BACKOFF_MIN)
    }
}

impl Pause {
    fn next(&mut self) -> Duration {
        let full = self.0;
        self.0 = (full * 2).min(BACKOFF_MAX);
        full.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_their_bound_and_stay_in_their_band() {
        let mut pause = Pause::default();
        for exponent in 0..12 {
            let full = (BACKOFF_MIN * 2u32.pow(exponent)).min(BACKOFF_MAX);
            let next = pause.next();
            assert!(next <= full && next * 2 >= full, "{next:?} of {full:?}");
        }
    }
}
