//! Receipts: what shows to anybody with the descriptor, without a network, that a message is in the broadcast log.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::descriptor::{Descriptor, DescriptorError};
use crate::header::{HeaderError, SignedHeader};
use crate::ids::{DeploymentId, PeerId, RecordDigest};
use crate::record::{RecordError, SignedRecord};

/// Version of [`Receipt`]'s layout, its first byte.
pub const VERSION: u8 = 1;
/// Most records of a receipt above that of the message.
pub const MAX_ABOVE: usize = 64;

/// A message's record, and what makes it count (R11).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// [`VERSION`].
    pub version: u8,
    /// The deployment.
    pub descriptor: Descriptor,
    /// The message's slot.
    pub slot: u32,
    /// The record that has the message.
    pub record: SignedRecord,
    /// Records that stand on it, each on the one before, as far as it takes; mostly none.
    pub above: Vec<SignedRecord>,
    /// An opened header that stands on the last of them, if not all its servers signed that one.
    pub header: Option<SignedHeader>,
}

/// What a receipt shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// In which deployment.
    pub deployment: DeploymentId,
    /// In which round.
    pub round: u64,
    /// In which slot.
    pub slot: u32,
    /// The message.
    pub payload: Vec<u8>,
    /// The record's digest, by which everybody's log can be compared.
    pub record: RecordDigest,
}

/// A receipt that shows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Made by another version.
    #[error("the receipt has version {0}, this program reads version {VERSION}")]
    Version(u8),
    /// A descriptor that cannot be.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// A record that does not hold.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A header that does not hold.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// More records than it may take.
    #[error("the receipt has {0} records above its own, at most {MAX_ABOVE} are read")]
    TooLong(usize),
    /// Two that do not follow each other.
    #[error("what the receipt has above round {0} does not stand on that round's record")]
    Unlinked(u64),
    /// Too few signatures.
    #[error("not all servers signed the record of round {0}, and nothing that counts stands on it")]
    Unsigned(u64),
    /// R11: fewer servers than a message needs to be published.
    #[error("{given} servers signed what the receipt has, at least {needed} have to")]
    FewSigners {
        /// How many did.
        given: u32,
        /// `min_servers`.
        needed: u32,
    },
    /// The slot is not one with a message.
    #[error("the record of round {round} has no message in slot {slot}")]
    NoMessage {
        /// The round.
        round: u64,
        /// The slot.
        slot: u32,
    },
}

impl Receipt {
    /// Checks every signature and link. Who trusts the result trusts [`Shown::deployment`]: compare it with the id of
    /// the deployment that is meant.
    ///
    /// # Errors
    /// [`ReceiptError`] names the first thing that is wrong.
    pub fn verify(&self) -> Result<Shown, ReceiptError> {
        if self.version != VERSION {
            return Err(ReceiptError::Version(self.version));
        }
        self.descriptor.check()?;
        if self.above.len() > MAX_ABOVE {
            return Err(ReceiptError::TooLong(self.above.len()));
        }
        let deployment = self.descriptor.id();
        let (digest, mut counts) = self.record.verify(&self.descriptor, &deployment)?;
        let mut signers: BTreeSet<PeerId> = self.record.signatures.iter().map(|s| s.0).collect();
        let (mut last, mut round) = (digest, self.record.record.round);
        for above in &self.above {
            if above.record.prev != last || above.record.round <= round {
                return Err(ReceiptError::Unlinked(round));
            }
            (last, counts) = above.verify(&self.descriptor, &deployment)?;
            round = above.record.round;
            signers.extend(above.signatures.iter().map(|s| s.0));
        }
        if let Some(header) = &self.header {
            header.verify(&self.descriptor, &deployment)?;
            if header.header.prev != last || header.header.round <= round {
                return Err(ReceiptError::Unlinked(round));
            }
            counts = true;
            signers.extend(&header.header.servers);
        }
        let own = self.record.record.round;
        if !counts {
            return Err(ReceiptError::Unsigned(own));
        }
        let (given, needed) = (signers.len() as u32, self.descriptor.params.min_servers);
        if given < needed {
            return Err(ReceiptError::FewSigners { given, needed });
        }
        let payload = self.record.record.message(self.slot);
        let payload = payload.ok_or(ReceiptError::NoMessage { round: own, slot: self.slot })?;
        Ok(Shown { deployment, round: own, slot: self.slot, payload: payload.to_vec(), record: digest })
    }
}
