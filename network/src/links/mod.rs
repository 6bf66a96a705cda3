//! Links: persistent, mutually authenticated QUIC connections with typed, bounded frames.
//!
//! A node has one [`Links`]: its endpoint. Servers and aggregators accept links there and answer with their
//! [`Service`]; everybody dials with [`Links::link`]. Which peer is at the other end is proved in a handshake bound to
//! the TLS keys of both endpoints, so no discovery is needed to trust a link.

mod acceptor;
mod congestion;
mod error;
mod exchange;
#[doc(hidden)]
pub mod fuzz;
mod hello;
mod kind;
pub mod limits;
mod link;
mod peer;
mod service;
#[cfg(test)]
mod tests;
mod wire;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use iroh::endpoint::{PortmapperConfig, presets};
use iroh::{Endpoint, RelayMode, SecretKey, Watcher};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{DeploymentId, PeerId};

pub use error::{LinkError, Refusal};
pub use exchange::FrameStream;
pub use kind::{Kind, Shape};
pub use link::Link;
pub use peer::{LinkAddr, Remote, Role};
pub use service::{FrameSink, Service};

use acceptor::Acceptor;
use hello::Me;
use limits::{CLOSE_TIMEOUT, Limits};

/// Counter of connections whose handshake did not hold, by `reason`.
pub const HELLOS_REFUSED: &str = "zipnet_links_hello_refused_total";

/// Counter of requests that were refused, by `reason`.
pub const REQUESTS_REFUSED: &str = "zipnet_links_refused_total";

/// How long the enumeration of the interfaces may take.
const INTERFACES_TIMEOUT: Duration = Duration::from_secs(2);

/// How to set up a node's links.
pub struct LinksConfig {
    /// Who this node is.
    pub identity: Arc<Identity>,
    /// What it does. Clients only dial, from a fresh random endpoint key.
    pub role: Role,
    /// Which deployment it belongs to; links to nodes of others fail.
    pub deployment: DeploymentId,
    /// Where to listen (clients: what to dial from). `None`: all interfaces, a free port.
    pub listen: Option<SocketAddr>,
    /// The addresses to announce instead of those of the interfaces.
    pub announce: Vec<SocketAddr>,
}

/// A node's endpoint for links. Cheap to clone. Close it with [`Links::close`].
#[derive(Clone)]
pub struct Links {
    local: Arc<Local>,
}

/// What the endpoint, the acceptor and all dialled links share.
struct Local {
    me: Arc<Me>,
    limits: Limits,
    /// Taken by `close`, so that the sockets are free as soon as all tasks have ended.
    endpoint: Mutex<Option<Endpoint>>,
    bound: SocketAddr,
    announce: Vec<SocketAddr>,
    serving: Mutex<bool>,
    closed: CancellationToken,
}

impl Local {
    fn endpoint(&self) -> Option<Endpoint> {
        self.endpoint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Links {
    /// Binds the endpoint. Clients can dial at once; the others accept from [`Links::serve`] on.
    ///
    /// # Errors
    /// [`LinkError::Bind`], for example when the address is in use.
    pub async fn bind(config: LinksConfig) -> Result<Self, LinkError> {
        Self::bind_with(config, Limits::default(), hello::VERSION).await
    }

    async fn bind_with(config: LinksConfig, limits: Limits, version: u16) -> Result<Self, LinkError> {
        let LinksConfig { identity, role, deployment, listen, announce } = config;
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let failed = |reason: String| LinkError::Bind { addr: listen.unwrap_or(any), reason };
        let (secret, bundle) = if role.accepts() {
            (SecretKey::from_bytes(&identity.link_secret()), identity.server_bundle())
        } else {
            (SecretKey::generate(), identity.client_bundle())
        };
        let mut builder = Endpoint::builder(presets::Minimal)
            .relay_mode(RelayMode::Disabled)
            .portmapper_config(PortmapperConfig::Disabled)
            .transport_config(limits::transport(role))
            .secret_key(secret);
        if role.accepts() {
            builder = builder.alpns(vec![hello::ALPN.to_vec()]);
        }
        if let Some(addr) = listen {
            builder =
                builder.clear_ip_transports().bind_addr(addr).map_err(|error| failed(error.to_string()))?;
        }
        let endpoint = builder.bind().await.map_err(|error| failed(format!("{error:#}")))?;
        let bound = endpoint.bound_sockets().into_iter().next();
        let bound = bound.ok_or_else(|| failed("no socket".to_owned()))?;
        if role.accepts() && announce.is_empty() {
            let mut known = endpoint.watch_addr();
            let found = async { while known.get().addrs.is_empty() && known.updated().await.is_ok() {} };
            let _ = timeout(INTERFACES_TIMEOUT, found).await;
        } else if !role.accepts() {
            let endpoint = endpoint.clone();
            tokio::spawn(async move {
                while let Some(incoming) = endpoint.accept().await {
                    incoming.refuse();
                }
            });
        }
        let local = Local {
            me: Arc::new(Me { identity, deployment, role, bundle, version }),
            limits,
            endpoint: Mutex::new(Some(endpoint)),
            bound,
            announce,
            serving: Mutex::new(false),
            closed: CancellationToken::new(),
        };
        Ok(Self { local: Arc::new(local) })
    }

    /// Starts accepting links and answers them with `service`. Dialers that came earlier have been waiting. Only the
    /// first call counts; clients do not accept.
    pub fn serve(&self, service: Arc<dyn Service>) {
        let Some(endpoint) = self.local.endpoint() else { return };
        let mut serving = self.local.serving.lock().unwrap_or_else(PoisonError::into_inner);
        if *serving || !self.local.me.role.accepts() {
            return;
        }
        *serving = true;
        let Local { me, limits, closed, .. } = &*self.local;
        let acceptor = Acceptor::new(me.clone(), service, *limits, closed.clone());
        tokio::spawn(Arc::new(acceptor).run(endpoint));
    }

    /// A link to a peer; nothing is dialled before it is used. Keep it: each has its own connection.
    pub fn link(&self, addr: LinkAddr) -> Link {
        Link::new(self.local.clone(), addr)
    }

    /// This node.
    pub fn peer_id(&self) -> PeerId {
        self.local.me.bundle.peer_id
    }

    /// The address that the endpoint is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local.bound
    }

    /// Where others reach this node; `None` for clients, and after [`Links::close`]. Bound to all interfaces, it lists
    /// their addresses, loopback only where there is nothing else, unless the configuration names what to announce.
    pub fn link_addr(&self) -> Option<LinkAddr> {
        let Local { me, announce, bound, .. } = &*self.local;
        let endpoint = self.local.endpoint()?;
        if !me.role.accepts() {
            return None;
        }
        let mut addrs = announce.clone();
        if addrs.is_empty() && !bound.ip().is_unspecified() {
            addrs.push(*bound);
        } else if addrs.is_empty() {
            addrs.extend(endpoint.addr().ip_addrs().filter(|addr| reachable(addr.ip())));
        }
        if addrs.is_empty() {
            addrs.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), bound.port()));
        }
        addrs.truncate(LinkAddr::MAX_ADDRS);
        Some(LinkAddr { peer_id: me.bundle.peer_id, link_pk: me.bundle.link_pk, addrs })
    }

    /// Closes all connections and the endpoint, within [`CLOSE_TIMEOUT`]. Links report [`LinkError::Closed`] from then on.
    pub async fn close(&self) {
        let endpoint = self.local.endpoint.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.local.closed.cancel();
        if let Some(endpoint) = endpoint {
            let _ = timeout(CLOSE_TIMEOUT, endpoint.close()).await;
        }
    }
}

/// Link-local addresses mean nothing without their interface.
fn reachable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local() && !ip.is_unspecified(),
    }
}
