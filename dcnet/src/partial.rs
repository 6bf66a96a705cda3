//! Unblinding in two steps: commitments, then partials (R7).

use borsh::{BorshDeserialize, BorshSerialize};

use crate::hash::{Use, hash32};
use crate::ids::{DeploymentId, HeaderDigest, PeerId};
use crate::signed::Statement;

/// A server's commitment to its partial.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Commitment {
    /// Where.
    pub deployment: DeploymentId,
    /// The round.
    pub round: u64,
    /// The server.
    pub server: PeerId,
    /// The header the partial is for.
    pub header_digest: HeaderDigest,
    /// The fold the partial is for.
    pub aggregate_digest: [u8; 32],
    /// [`commitment`].
    pub commitment: [u8; 32],
}

impl Statement for Commitment {
    const DOMAIN: &'static str = "commitment";
    fn signer(&self) -> PeerId {
        self.server
    }
}

/// A server's partial: the XOR of its pads of exactly the fold's participants.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Partial {
    /// Where.
    pub deployment: DeploymentId,
    /// The round.
    pub round: u64,
    /// The server.
    pub server: PeerId,
    /// The header it is for.
    pub header_digest: HeaderDigest,
    /// The fold it is for.
    pub aggregate_digest: [u8; 32],
    /// The 32 random bytes of the commitment.
    pub nonce: [u8; 32],
    /// The XOR of the pads.
    pub vector: Vec<u8>,
}

impl Statement for Partial {
    const DOMAIN: &'static str = "partial";
    fn signer(&self) -> PeerId {
        self.server
    }
}

impl Partial {
    /// What the server commits to before anybody sees the partial:
    /// `BLAKE2b-256(header_digest ‖ aggregate_digest ‖ server ‖ nonce ‖ partial)`.
    pub fn commitment(&self) -> [u8; 32] {
        let parts: [&[u8]; 5] =
            [&self.header_digest, &self.aggregate_digest, &self.server.0, &self.nonce, &self.vector];
        hash32(Use::PARTIAL, &parts)
    }
}

/// What section 6 refuses of commitments and partials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartialError {
    /// Of another deployment, round, header or fold.
    #[error("it is not for the committed fold of round {0}")]
    Round(u64),
    /// Wrong length.
    #[error("the partial has {given} bytes, this round's vector has {expected}")]
    Length {
        /// Bytes given.
        given: usize,
        /// Bytes of the round vector.
        expected: usize,
    },
    /// Not a server of the header.
    #[error("server {0} is not in the header")]
    NotInHeader(PeerId),
    /// A second one.
    #[error("server {0} has sent one already")]
    Twice(PeerId),
    /// Before the commitments of all.
    #[error("the commitments of all servers are not there yet")]
    TooEarly,
    /// Not what was committed to.
    #[error("the partial of server {0} is not the one it committed to")]
    Mismatch(PeerId),
}
