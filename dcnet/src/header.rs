//! Headers: the opening of a round, signed by every server it names (R4).

use borsh::{BorshDeserialize, BorshSerialize};

use crate::descriptor::Descriptor;
use crate::hash::{Use, hash32};
use crate::identity::Identity;
use crate::ids::{DeploymentId, HeaderDigest, PeerId, RecordDigest};
use crate::record::Record;
use crate::roster::MAX_ROSTER;
use crate::signed::{Signature, SignatureError, encode};

/// Signature domain of a header.
pub const DOMAIN: &str = "header";
/// Most aggregators of a header.
pub const MAX_AGGREGATORS: usize = 16;

/// The opening of a round.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// Where.
    pub deployment: DeploymentId,
    /// The last opened round + 1; the first is 1.
    pub round: u64,
    /// Digest of the last final record; the deployment id when there is none.
    pub prev: RecordDigest,
    /// The servers of the round, ascending: at least a majority of the descriptor's.
    pub servers: Vec<PeerId>,
    /// The aggregators, ascending: those in the policy of every server named.
    pub aggregators: Vec<PeerId>,
    /// Digest of the roster.
    pub roster: [u8; 32],
    /// Entries of the roster.
    pub roster_len: u32,
}

/// A header that does not follow R4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Of another deployment.
    #[error("the header is of deployment {0}")]
    Deployment(DeploymentId),
    /// Servers that are not of the committee, not ascending, or below a majority.
    #[error("the header names {0} servers: at least a majority of the descriptor's, ascending, each once")]
    Servers(usize),
    /// No aggregators, too many, or not ascending.
    #[error("the header names {0} aggregators: must be 1 to {MAX_AGGREGATORS}, ascending, each once")]
    Aggregators(usize),
    /// A round number that does not follow.
    #[error("the header opens round {round}, the next round is {expected}")]
    Round {
        /// The header's.
        round: u64,
        /// The one that follows.
        expected: u64,
    },
    /// Not on top of the last final record.
    #[error("the header of round {0} does not stand on the last final record")]
    Prev(u64),
    /// The roster's digest or length is another one.
    #[error("the header of round {0} names another roster")]
    Roster(u64),
    /// Below `min_participants`.
    #[error("the roster has {len} entries, at least {min} are needed")]
    TooFew {
        /// Entries of the roster.
        len: u32,
        /// `min_participants`.
        min: u32,
    },
    /// Over [`MAX_ROSTER`]: nobody allocates a bitmap for it.
    #[error("the roster has {0} entries, at most {MAX_ROSTER} are allowed")]
    TooMany(u32),
    /// Not one signature per server.
    #[error("the header has {given} signatures for {servers} servers")]
    Signatures {
        /// Signatures given.
        given: usize,
        /// Servers named.
        servers: usize,
    },
    /// A signature that does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Header {
    /// The digest that everything of the round is bound to.
    pub fn digest(&self) -> HeaderDigest {
        hash32(Use::HEADER, &[&encode(self)])
    }

    /// This server's signature.
    pub fn sign(&self, identity: &Identity) -> Signature {
        identity.sign(DOMAIN, &self.digest())
    }

    /// What can be checked with the descriptor alone.
    ///
    /// # Errors
    /// [`HeaderError`] names what R4 does not allow.
    pub fn check(&self, descriptor: &Descriptor, deployment: &DeploymentId) -> Result<(), HeaderError> {
        if self.deployment != *deployment {
            return Err(HeaderError::Deployment(self.deployment));
        }
        let known = self.servers.iter().all(|s| descriptor.servers.binary_search(s).is_ok());
        if !known || !ascending(&self.servers) || self.servers.len() < descriptor.majority() {
            return Err(HeaderError::Servers(self.servers.len()));
        }
        let count = self.aggregators.len();
        if !(1..=MAX_AGGREGATORS).contains(&count) || !ascending(&self.aggregators) {
            return Err(HeaderError::Aggregators(count));
        }
        let min = descriptor.params.min_participants;
        if self.roster_len < min {
            return Err(HeaderError::TooFew { len: self.roster_len, min });
        }
        if self.roster_len as usize > MAX_ROSTER {
            return Err(HeaderError::TooMany(self.roster_len));
        }
        Ok(())
    }

    /// Whether the round is quiet for everybody (R8): its record is not that of the round just before, or its servers
    /// are not those of the header before. `prev` is the record that the header names, `None` for the deployment id.
    pub fn is_quiet(&self, prev: Option<&Record>) -> bool {
        prev.is_none_or(|p| p.round.checked_add(1) != Some(self.round) || p.servers != self.servers)
    }
}

/// Whether ids ascend, so that none is there twice.
pub fn ascending(ids: &[PeerId]) -> bool {
    ids.windows(2).all(|w| w[0] < w[1])
}

/// A header with the signature of every server it names, in their order: the round is open.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedHeader {
    /// The header.
    pub header: Header,
    /// One signature per server.
    pub signatures: Vec<Signature>,
}

impl SignedHeader {
    /// Checks the header against the descriptor, and every signature.
    ///
    /// # Errors
    /// [`HeaderError`] names what is wrong.
    pub fn verify(
        &self,
        descriptor: &Descriptor,
        deployment: &DeploymentId,
    ) -> Result<HeaderDigest, HeaderError> {
        self.header.check(descriptor, deployment)?;
        let (given, servers) = (self.signatures.len(), self.header.servers.len());
        if given != servers {
            return Err(HeaderError::Signatures { given, servers });
        }
        let digest = self.header.digest();
        for (server, signature) in self.header.servers.iter().zip(&self.signatures) {
            server.verify(DOMAIN, &digest, signature)?;
        }
        Ok(digest)
    }
}
