//! What committee servers say in the log besides headers, partials and records.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::hash::{Use, hash32};
use crate::ids::{Bundle, ClientId, DeploymentId, HeaderDigest, PeerId, Session};
use crate::signed::Statement;

/// What a vouch says about the two ephemeral keys of a registration: `BLAKE2b-256(e_cs ‖ e_sc)` (R2).
pub fn vouch_digest(client_ephemeral: &[u8; 32], server_ephemeral: &[u8; 32]) -> [u8; 32] {
    hash32(Use::VOUCH, &[client_ephemeral, server_ephemeral])
}

/// "I share a chain with this session" (R2).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Vouch {
    /// Where.
    pub deployment: DeploymentId,
    /// Who vouches.
    pub server: PeerId,
    /// The boot of the server in which the chain lives.
    pub boot: [u8; 32],
    /// For whom.
    pub client: Bundle,
    /// Which session of the client.
    pub session: Session,
    /// [`vouch_digest`] of the pair's ephemeral keys.
    pub digest: [u8; 32],
}

impl Statement for Vouch {
    const DOMAIN: &'static str = "vouch";
    fn signer(&self) -> PeerId {
        self.server
    }
}

/// "I no longer vouch for this session": the client was admitted for a time that is over, or on terms that changed
/// (section 19). What a server vouches for later has another digest, so a replayed one voids nothing.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Withdrawal {
    /// Where.
    pub deployment: DeploymentId,
    /// Who vouched.
    pub server: PeerId,
    /// In which boot.
    pub boot: [u8; 32],
    /// For whom.
    pub client: ClientId,
    /// Which session of the client.
    pub session: Session,
    /// What the vouch said.
    pub digest: [u8; 32],
}

impl Statement for Withdrawal {
    const DOMAIN: &'static str = "withdrawal";
    fn signer(&self) -> PeerId {
        self.server
    }
}

/// "I restarted and lost my chains": voids the server's vouches (R2).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Lapse {
    /// Where.
    pub deployment: DeploymentId,
    /// Who restarted.
    pub server: PeerId,
    /// Fresh random bytes; registrations sign them, so that none of an earlier boot can be replayed.
    pub boot: [u8; 32],
    /// The boot of before, as the log knew it when this was said; zero for the first one. It counts only right after that one: an old
    /// lapse, said again by somebody else, voids nothing.
    pub after: [u8; 32],
    /// The server's own bundle.
    pub bundle: Bundle,
}

impl Statement for Lapse {
    const DOMAIN: &'static str = "lapse";
    fn signer(&self) -> PeerId {
        self.server
    }
}

/// "I let my partial of this abandoned round out, or not" (R10).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Disclosure {
    /// Where.
    pub deployment: DeploymentId,
    /// Who.
    pub server: PeerId,
    /// The abandoned round.
    pub round: u64,
    /// Its header.
    pub header_digest: HeaderDigest,
    /// Whether the partial may have left this server.
    pub revealed: bool,
}

impl Statement for Disclosure {
    const DOMAIN: &'static str = "disclosure";
    fn signer(&self) -> PeerId {
        self.server
    }
}

/// A server's own admission policy (R1), which may change without a new deployment.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Policy {
    /// Where.
    pub deployment: DeploymentId,
    /// Whose.
    pub server: PeerId,
    /// The aggregators this server takes envelopes from, ascending.
    pub aggregators: Vec<PeerId>,
}

impl Statement for Policy {
    const DOMAIN: &'static str = "policy";
    fn signer(&self) -> PeerId {
        self.server
    }
}
