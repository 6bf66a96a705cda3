//! Records: what a round published, chained by digest (R11).

use borsh::{BorshDeserialize, BorshSerialize};

use crate::aggregate::{Bitmap, Fold};
use crate::descriptor::Descriptor;
use crate::hash::{Use, hash32};
use crate::header::{Header, ascending};
use crate::identity::Identity;
use crate::ids::{DeploymentId, HeaderDigest, PeerId, RecordDigest};
use crate::pad;
use crate::params::Params;
use crate::reservation::peel;
use crate::signed::{Signature, SignatureError, encode};
use crate::slot::{self, Slot};

/// Signature domain of a record.
pub const DOMAIN: &str = "record";

/// What a round published.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Record {
    /// Where.
    pub deployment: DeploymentId,
    /// The round.
    pub round: u64,
    /// Its header.
    pub header_digest: HeaderDigest,
    /// Its fold.
    pub aggregate_digest: [u8; 32],
    /// The record before; the deployment id for the first.
    pub prev: RecordDigest,
    /// Who took part, by roster index; the count is its number of bits.
    pub participants: Bitmap,
    /// The servers of the round.
    pub servers: Vec<PeerId>,
    /// The tokens that reserve slots of the next round, ascending.
    pub reservations: Vec<u32>,
    /// The intact slots that hold a message: number and payload, ascending.
    pub messages: Vec<(u32, Vec<u8>)>,
    /// The slots that have an owner and are garbled, ascending.
    pub garbled: Vec<u32>,
}

/// A record that cannot count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Of another deployment.
    #[error("the record is of deployment {0}")]
    Deployment(DeploymentId),
    /// Its servers are not of the committee, not ascending, or below a majority.
    #[error("the record names {0} servers: at least a majority of the descriptor's, ascending, each once")]
    Servers(usize),
    /// Lists out of order or out of range, or more than the round holds.
    #[error("the record of round {round} has malformed {what}")]
    Malformed {
        /// The round.
        round: u64,
        /// Which list.
        what: &'static str,
    },
    /// Signed by somebody who is not in it, or twice.
    #[error(
        "the record of round {round} is signed by {signer}, who is not one of its servers or signed twice"
    )]
    Signer {
        /// The round.
        round: u64,
        /// The signer.
        signer: PeerId,
    },
    /// A signature that does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Record {
    /// The digest that chains records.
    pub fn digest(&self) -> RecordDigest {
        hash32(Use::RECORD, &[&encode(self)])
    }

    /// How many took part.
    pub fn count(&self) -> u32 {
        self.participants.count()
    }

    /// This server's signature.
    pub fn sign(&self, identity: &Identity) -> Signature {
        identity.sign(DOMAIN, &self.digest())
    }

    /// The payload of a slot, if it is intact and not empty.
    pub fn message(&self, slot: u32) -> Option<&[u8]> {
        let at = self.messages.binary_search_by_key(&slot, |m| m.0).ok()?;
        Some(&self.messages[at].1)
    }

    /// Checks everything that a decoder cannot, signatures aside.
    ///
    /// # Errors
    /// [`RecordError`] names the first thing that is wrong.
    pub fn check(&self, descriptor: &Descriptor, deployment: &DeploymentId) -> Result<(), RecordError> {
        if self.deployment != *deployment {
            return Err(RecordError::Deployment(self.deployment));
        }
        let known = self.servers.iter().all(|s| descriptor.servers.binary_search(s).is_ok());
        if !known || !ascending(&self.servers) || self.servers.len() < descriptor.majority() {
            return Err(RecordError::Servers(self.servers.len()));
        }
        let params = &descriptor.params;
        let malformed = |what| RecordError::Malformed { round: self.round, what };
        if !self.participants.is_canonical() || self.count() < params.min_participants {
            return Err(malformed("participants"));
        }
        let tokens = &self.reservations;
        let fits = tokens.len() <= params.cells as usize && tokens.first().is_none_or(|t| *t > 0);
        if !fits || !tokens.windows(2).all(|w| w[0] < w[1]) {
            return Err(malformed("reservations"));
        }
        let slots: Vec<u32> = self.messages.iter().map(|m| m.0).collect();
        let rising = |s: &[u32]| s.windows(2).all(|w| w[0] < w[1]) && s.iter().all(|s| *s < params.slots);
        let short = self.messages.iter().all(|m| m.1.len() <= params.max_payload());
        if !rising(&slots) || !short {
            return Err(malformed("messages"));
        }
        if !rising(&self.garbled) || self.garbled.iter().any(|g| slots.binary_search(g).is_ok()) {
            return Err(malformed("garbled slots"));
        }
        Ok(())
    }
}

/// How many slots of `header`'s round have an owner: the reservations of the record before, if it is the record of the
/// round just before and the one that the header names; otherwise they are dead.
pub fn owned_slots(params: &Params, header: &Header, prev: Option<(&Record, &RecordDigest)>) -> u32 {
    match prev {
        Some((record, digest))
            if *digest == header.prev && record.round.checked_add(1) == Some(header.round) =>
        {
            (record.reservations.len() as u32).min(params.slots)
        }
        _ => 0,
    }
}

/// `record = aggregate ⊕ all partials`, decoded. The partials are those of all servers of the header, checked.
pub fn finalize(params: &Params, header: &Header, owned: u32, fold: &Fold, partials: &[&[u8]]) -> Record {
    let mut plain = fold.vector.clone();
    for partial in partials {
        pad::xor(&mut plain, partial);
    }
    let digest = fold.header_digest;
    let (mut messages, mut garbled) = (Vec::new(), Vec::new());
    for slot in 0..owned {
        match slot::decode(&digest, slot, &plain[slot::range(params, slot)]) {
            Slot::Empty => {}
            Slot::Message(payload) => messages.push((slot, payload)),
            Slot::Garbled => garbled.push(slot),
        }
    }
    Record {
        deployment: header.deployment,
        round: header.round,
        header_digest: digest,
        aggregate_digest: fold.digest(),
        prev: header.prev,
        participants: fold.participants.clone(),
        servers: header.servers.clone(),
        reservations: peel(&digest, &plain[..params.cell_bytes()]),
        messages,
        garbled,
    }
}

/// A record with the signatures that are there so far, ascending by signer.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedRecord {
    /// The record.
    pub record: Record,
    /// Who signed.
    pub signatures: Vec<(PeerId, Signature)>,
}

impl SignedRecord {
    /// Checks the record and every signature it carries, of which there may be fewer than servers.
    /// Gives its digest and whether all its servers signed (then it counts by itself, R11).
    ///
    /// # Errors
    /// [`RecordError`] names the first thing that is wrong.
    pub fn verify(
        &self,
        descriptor: &Descriptor,
        deployment: &DeploymentId,
    ) -> Result<(RecordDigest, bool), RecordError> {
        let record = &self.record;
        record.check(descriptor, deployment)?;
        let digest = record.digest();
        let mut last = None;
        for (signer, signature) in &self.signatures {
            if record.servers.binary_search(signer).is_err() || last >= Some(*signer) {
                return Err(RecordError::Signer { round: record.round, signer: *signer });
            }
            signer.verify(DOMAIN, &digest, signature)?;
            last = Some(*signer);
        }
        Ok((digest, self.signatures.len() == record.servers.len()))
    }
}
