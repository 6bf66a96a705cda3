//! The one place that knows mosaik and iroh: the universe (who is where) and the links (who says what).
//!
//! *The universe* is a mosaik network: every node joins it, announces its bundle and the address of its links there,
//! and finds the others; `describe` is a mosaik function. *The links* carry the rounds: one persistent iroh QUIC
//! connection per pair that talks, ALPN `zipnet/1`, typed frames with a length limit per type.
//!
//! No mosaik or iroh type leaves this crate.

pub mod describe;
pub mod links;
mod node;
mod presence;
pub mod universe;

pub use node::{Node, NodeConfig, NodeError};
pub use presence::Presence;

/// Directives for the log filter (`tracing_subscriber::EnvFilter` syntax): what a healthy run needs so that at INFO only
/// this system speaks, and nobody warns.
///
/// - `iroh=warn`, `iroh_relay=warn`: at INFO they report every home relay and the embedded relay's address.
/// - `iroh_gossip::net=error`: it warns when it hears of a peer before that peer's address; the catalog brings it soon.
/// - `iroh::protocol=error`: it warns when a remote closes its connection first, which is how calls and pings end.
/// - `iroh_relay::server::client=error`: the embedded relay warns when a node leaves.
/// - `noq_proto::connection=error`: it warns when a path of a connection that is being closed anyway times out.
/// - `mosaik::discovery=error`: it warns when the last neighbour leaves, and when a peer is gone before it was asked.
/// - `iroh::address_lookup=off`, `iroh::socket=off`: while a network is being built they complain of look-up services that
///   we switch off as soon as we can, and of an endpoint that is dropped when building failed; the universe tells that.
/// - `openraft=off`: it reports every step and warns of every vote that comes late; what ends a log, its server tells.
pub const QUIET_LOG_DIRECTIVES: &str = "openraft=off,iroh=warn,iroh::address_lookup=off,iroh::socket=off,\
                                        iroh_relay=warn,iroh_gossip::net=error,iroh::protocol=error,\
                                        iroh_relay::server::client=error,noq_proto::connection=error,\
                                        mosaik::discovery=error";
