//! What guest and broker say to each other (borsh).

use borsh::{BorshDeserialize, BorshSerialize};
use zipnet_dcnet::hash::{Use, hash32};
use zipnet_dcnet::ids::DeploymentId;
use zipnet_dcnet::signed::encode;

use super::super::provider::KeyId;
use crate::quote::{KeyRelease, MAX_QUOTE_BYTES, ReportData};

/// Longest message, in bytes: a quote, and what is asked with it.
pub const MAX_MESSAGE_BYTES: usize = MAX_QUOTE_BYTES + 512;

/// From the guest.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Message {
    /// A challenge, please.
    Challenge,
    /// A key, please; or thanks for it.
    Release(Call),
}

/// What a quote says that a guest asks.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Ask {
    /// The broker's challenge.
    pub nonce: [u8; 32],
    /// The guest's fresh X25519 key: only who has its secret can read the answer.
    pub ephemeral: [u8; 32],
    /// 32 random bytes per start of the guest: tells copies apart.
    pub instance: [u8; 32],
    /// The deployment, so that no guest of another one gets the key.
    pub deployment: DeploymentId,
    /// Which key.
    pub purpose: Purpose,
}

/// Which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Purpose {
    /// One for a new identity.
    Create,
    /// The one of this envelope.
    Open {
        /// Its key.
        key_id: KeyId,
        /// Its generation.
        generation: u64,
    },
    /// None: this copy is done with the one it has, and another may have it at once.
    GiveBack {
        /// The one it has.
        key_id: KeyId,
    },
}

/// A question with its quote.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Call {
    /// What is asked.
    pub ask: Ask,
    /// A quote over [`Ask::report_data`].
    pub quote: Vec<u8>,
}

impl Ask {
    /// Of all that is asked.
    pub fn digest(&self) -> [u8; 32] {
        hash32(Use::SEAL_REQUEST, &[&encode(self)])
    }

    /// What the quote has to be over.
    pub fn report_data(&self, broker: &[u8; 32]) -> ReportData {
        ReportData::Key(KeyRelease { broker: *broker, nonce: self.nonce, request: self.digest() })
    }
}

/// From the broker.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Reply {
    /// Good for [`super::CHALLENGE_SECS`].
    Challenge([u8; 32]),
    /// The key, encrypted to the guest.
    Key {
        /// The broker's fresh X25519 key.
        ephemeral: [u8; 32],
        /// Key, key id and lease, and the tag.
        sealed: Vec<u8>,
    },
    /// The lease is over, as asked.
    Returned,
    /// None.
    Refused(Refusal),
}

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, BorshSerialize, BorshDeserialize)]
pub enum Refusal {
    /// Not understood.
    #[error("the message is malformed or too long")]
    Malformed,
    /// Not a challenge of this broker, or an old one.
    #[error("the challenge is not of this broker, or too old: ask for a new one")]
    Challenge,
    /// The quote does not hold.
    #[error("{0}")]
    Denied(String),
    /// No such key, of this deployment.
    #[error("there is no such key for this deployment")]
    UnknownKey,
    /// An envelope that is older than one that was opened.
    #[error("generation {found} is older than {known}, which was opened before")]
    Old {
        /// Asked for.
        found: u64,
        /// The newest one known.
        known: u64,
    },
    /// Another copy has it.
    #[error("another copy has the key for {secs} s more")]
    Leased {
        /// When its lease ends.
        secs: u64,
    },
    /// No room.
    #[error("the broker keeps as many keys as it can")]
    Full,
}
