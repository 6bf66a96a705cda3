//! What the committee's log holds. Everything that a server says in it is signed by that server; what the leader alone
//! proposes is checked by every server against its own state when it is applied.

use borsh::{BorshDeserialize, BorshSerialize};
use zipnet_dcnet::aggregate::Aggregate;
use zipnet_dcnet::header::Header;
use zipnet_dcnet::ids::{DeploymentId, PeerId};
use zipnet_dcnet::partial::{Commitment, Partial};
use zipnet_dcnet::signed::{Signature, Signed, Statement};
use zipnet_dcnet::statement::{Disclosure, Lapse, Policy, Vouch, Withdrawal};

/// "I am back": a server that was left out of headers takes part again.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Alive {
    /// Where.
    pub deployment: DeploymentId,
    /// Who.
    pub server: PeerId,
    /// Its boot: one that restarted says [`Lapse`] instead.
    pub boot: [u8; 32],
    /// The last round it saw opened, so that no two are alike.
    pub round: u64,
}

impl Statement for Alive {
    const DOMAIN: &'static str = "alive";
    fn signer(&self) -> PeerId {
        self.server
    }
}

/// "I am about to stop": a server that leaves is named in no further header, until it has started again.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Leave {
    /// Where.
    pub deployment: DeploymentId,
    /// Who.
    pub server: PeerId,
    /// The boot that ends.
    pub boot: [u8; 32],
    /// The last round it saw opened, so that no two are alike.
    pub round: u64,
}

impl Statement for Leave {
    const DOMAIN: &'static str = "leave";
    fn signer(&self) -> PeerId {
        self.server
    }
}

/// A server's signature on the header or the record of a round.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RoundSignature {
    /// The round.
    pub round: u64,
    /// Who signed.
    pub server: PeerId,
    /// Over the digest of the header or the record.
    pub signature: Signature,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Entry {
    /// A server restarted.
    Lapse(Box<Signed<Lapse>>),
    /// A server that was left out is back.
    Alive(Signed<Alive>),
    /// A server's admission policy.
    Policy(Signed<Policy>),
    /// A server shares a chain with a session.
    Vouch(Box<Signed<Vouch>>),
    /// The leader opens a round.
    Open(Header),
    /// A server signs the header.
    HeaderSignature(RoundSignature),
    /// The leader commits the fold: the aggregates it is made of.
    Fold {
        /// The round.
        round: u64,
        /// Disjoint aggregates, each signed by its aggregator.
        parts: Vec<Signed<Aggregate>>,
    },
    /// A server commits to its partial.
    Commitment(Signed<Commitment>),
    /// A server reveals its partial.
    Partial(Box<Signed<Partial>>),
    /// A server signs the record.
    RecordSignature(RoundSignature),
    /// The leader gives a round up.
    Abandon {
        /// The round.
        round: u64,
    },
    /// A server says whether its partial of an abandoned round got out.
    Disclosure(Signed<Disclosure>),
    /// A server is about to stop.
    Leave(Signed<Leave>),
    /// A server takes a vouch back.
    Withdrawal(Signed<Withdrawal>),
}

impl Entry {
    /// Whether only the leader may propose it (R4): a follower's request for it is refused.
    pub fn is_leaders(&self) -> bool {
        matches!(self, Self::Open(_) | Self::Fold { .. } | Self::Abandon { .. })
    }
}
