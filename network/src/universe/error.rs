//! What can go wrong in the universe.

use std::net::SocketAddr;
use std::time::Duration;

/// Why the universe could not be joined or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UniverseError {
    /// The local endpoint could not be bound.
    #[error("cannot join the universe from {addr}: {reason}")]
    Bind {
        /// The address asked for, or `any`.
        addr: String,
        /// What the system said.
        reason: String,
    },
    /// No relay let this node in: without one mosaik does not start.
    #[error("relay {relay} did not answer within {after:?}")]
    NoRelay {
        /// Which relay.
        relay: String,
        /// How long it was tried.
        after: Duration,
    },
    /// The embedded relay could not be started.
    #[error("cannot start a relay on {addr}: {reason}")]
    Relay {
        /// The address asked for.
        addr: SocketAddr,
        /// Why.
        reason: String,
    },
    /// Nobody who serves this instance was found.
    #[error("nobody serves instance `{instance}` (asked for {after:?})")]
    ConnectTimeout {
        /// The name asked for.
        instance: String,
        /// For how long.
        after: Duration,
    },
    /// Some answered, but no answer would do.
    #[error("{answers} answers for instance `{instance}`, none acceptable")]
    NoneAccepted {
        /// The name asked for.
        instance: String,
        /// How many answers there were.
        answers: usize,
    },
    /// The network ended by itself; it is being rebuilt.
    #[error("the network ended: {0}")]
    Ended(String),
    /// [`Universe::leave`](super::Universe::leave) was called.
    #[error("this node has left the universe")]
    Left,
}
