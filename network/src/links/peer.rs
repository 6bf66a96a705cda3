//! Who is on the other side of a link, and where.

use std::net::SocketAddr;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use zipnet_dcnet::ids::{Bundle, PeerId};

/// What a node does in its deployment. Self-declared: a service checks the peer id against the descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Role {
    /// Hands in envelopes and reads the log; accepts no links.
    Client,
    /// A server of the committee.
    Server,
    /// Folds envelopes.
    Aggregator,
}

impl Role {
    /// Whether nodes of this role accept links, hence have a link key.
    pub const fn accepts(self) -> bool {
        !matches!(self, Self::Client)
    }
}

/// Where a node accepts links. Travels in describe answers, discovery tickets and headers.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
pub struct LinkAddr {
    /// The node.
    pub peer_id: PeerId,
    /// The Ed25519 public key of its link endpoint; the one in its bundle.
    #[serde(with = "hex::serde")]
    pub link_pk: [u8; 32],
    /// Where it listens. At most [`LinkAddr::MAX_ADDRS`] are used.
    pub addrs: Vec<SocketAddr>,
}

impl LinkAddr {
    /// How many addresses of one node are announced and dialled.
    pub const MAX_ADDRS: usize = 8;
}

/// The authenticated other side of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Who it is: it proved to have this peer key.
    pub peer_id: PeerId,
    /// Its keys, signed by the peer key.
    pub bundle: Bundle,
    /// What it says it does.
    pub role: Role,
    /// Where its packets came from when the connection was made.
    pub addr: SocketAddr,
}
