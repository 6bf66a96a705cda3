//! Folding: the XOR of envelopes and one bit per roster entry that took part (R6).

use borsh::{BorshDeserialize, BorshSerialize};

use crate::hash::{Use, hash32};
use crate::header::Header;
use crate::ids::{DeploymentId, HeaderDigest, PeerId};
use crate::pad;
use crate::params::Params;
use crate::seal::Envelope;
use crate::signed::{Statement, encode};

/// One bit per roster entry; bit `i` is bit `i % 8` of byte `i / 8`.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Bitmap {
    len: u32,
    bytes: Vec<u8>,
}

impl Bitmap {
    /// `len` bits, all off.
    pub fn new(len: u32) -> Self {
        Self { len, bytes: vec![0; len.div_ceil(8) as usize] }
    }

    /// Right number of bytes and no bit beyond the length: check after decoding a foreign one.
    pub fn is_canonical(&self) -> bool {
        let spare = self.len % 8;
        self.bytes.len() == self.len.div_ceil(8) as usize
            && (spare == 0 || self.bytes.last().is_none_or(|last| last >> spare == 0))
    }

    /// Number of bits.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether no bit is on.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Whether bit `i` is on; off beyond the length.
    pub fn get(&self, i: u32) -> bool {
        i < self.len && self.bytes.get(i as usize / 8).is_some_and(|b| b >> (i % 8) & 1 == 1)
    }

    /// Turns bit `i` on. Beyond the length is a caller's bug and panics.
    pub fn set(&mut self, i: u32) {
        assert!(i < self.len, "invariant: bit {i} of {}", self.len);
        self.bytes[i as usize / 8] |= 1 << (i % 8);
    }

    /// How many bits are on.
    pub fn count(&self) -> u32 {
        self.bytes.iter().map(|b| b.count_ones()).sum()
    }

    /// The bits that are on, ascending.
    pub fn ones(&self) -> impl Iterator<Item = u32> + '_ {
        // A foreign one may claim a length that its bytes do not have: no longer walk than there are bytes.
        let there = u32::try_from(self.bytes.len().saturating_mul(8)).unwrap_or(u32::MAX);
        (0..self.len.min(there)).filter(|i| self.get(*i))
    }

    /// Whether both have a bit on.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.bytes.iter().zip(&other.bytes).any(|(a, b)| a & b != 0)
    }

    /// Turns on what `other`, of the same length, has on.
    pub fn union(&mut self, other: &Self) {
        assert_eq!(self.len, other.len, "invariant: bitmaps of one roster have one length");
        for (a, b) in self.bytes.iter_mut().zip(&other.bytes) {
            *a |= b;
        }
    }
}

/// What one aggregator folded.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Aggregate {
    /// Where.
    pub deployment: DeploymentId,
    /// The round.
    pub round: u64,
    /// Its header.
    pub header_digest: HeaderDigest,
    /// Who folded.
    pub aggregator: PeerId,
    /// Whose envelopes.
    pub participants: Bitmap,
    /// Their XOR.
    pub vector: Vec<u8>,
}

impl Statement for Aggregate {
    const DOMAIN: &'static str = "aggregate";
    fn signer(&self) -> PeerId {
        self.aggregator
    }
}

/// What section 6 refuses of envelopes and aggregates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// Of another round, header or deployment.
    #[error("it is for round {given}, not for this header of round {round}")]
    Round {
        /// The one given.
        given: u64,
        /// The open one.
        round: u64,
    },
    /// Wrong length.
    #[error("the vector has {given} bytes, this round's has {expected}")]
    Length {
        /// Bytes given.
        given: usize,
        /// Bytes of the round vector.
        expected: usize,
    },
    /// An entry outside the roster, or a bitmap of another roster.
    #[error("entry {index} is outside the roster of {len}")]
    OutsideRoster {
        /// The entry.
        index: u32,
        /// Entries of the roster.
        len: u32,
    },
    /// A second envelope of one entry.
    #[error("entry {0} has sent its envelope already")]
    Twice(u32),
    /// Two aggregates share an entry.
    #[error("the aggregate of {0} overlaps another")]
    Overlap(PeerId),
    /// Not an aggregator of the header.
    #[error("{0} is no aggregator of this round")]
    NotAggregator(PeerId),
    /// Below `min_participants`.
    #[error("{count} participants, at least {min} are needed")]
    TooFew {
        /// Participants of the fold.
        count: u32,
        /// `min_participants`.
        min: u32,
    },
}

impl FoldError {
    /// A short name to count by.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Round { .. } => "round",
            Self::Length { .. } => "length",
            Self::OutsideRoster { .. } => "outside_roster",
            Self::Twice(_) => "twice",
            Self::Overlap(_) => "overlap",
            Self::NotAggregator(_) => "not_aggregator",
            Self::TooFew { .. } => "too_few",
        }
    }
}

/// The fold of a round as it grows: at an aggregator over envelopes, in the log over aggregates.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Fold {
    /// The round.
    pub round: u64,
    /// Its header.
    pub header_digest: HeaderDigest,
    /// Who is in it.
    pub participants: Bitmap,
    /// The XOR.
    pub vector: Vec<u8>,
}

impl Fold {
    /// Nobody yet.
    pub fn new(params: &Params, header: &Header) -> Self {
        Self {
            round: header.round,
            header_digest: header.digest(),
            participants: Bitmap::new(header.roster_len),
            vector: vec![0; params.vector_bytes()],
        }
    }

    /// Folds an envelope in. Whether it comes from the peer of its entry is the caller's to check.
    ///
    /// # Errors
    /// [`FoldError`]; the fold is as before.
    pub fn add(&mut self, envelope: &Envelope) -> Result<(), FoldError> {
        if envelope.round != self.round {
            return Err(FoldError::Round { given: envelope.round, round: self.round });
        }
        self.check_length(&envelope.vector)?;
        let (index, len) = (envelope.index, self.participants.len());
        if index >= len {
            return Err(FoldError::OutsideRoster { index, len });
        }
        if self.participants.get(index) {
            return Err(FoldError::Twice(index));
        }
        self.participants.set(index);
        pad::xor(&mut self.vector, &envelope.vector);
        Ok(())
    }

    /// Folds an aggregator's aggregate in, whose signature the caller has checked.
    ///
    /// # Errors
    /// [`FoldError`]; the fold is as before.
    pub fn merge(&mut self, header: &Header, aggregate: &Aggregate) -> Result<(), FoldError> {
        let same = aggregate.deployment == header.deployment
            && aggregate.round == self.round
            && aggregate.header_digest == self.header_digest;
        if !same {
            return Err(FoldError::Round { given: aggregate.round, round: self.round });
        }
        if header.aggregators.binary_search(&aggregate.aggregator).is_err() {
            return Err(FoldError::NotAggregator(aggregate.aggregator));
        }
        self.check_length(&aggregate.vector)?;
        let (index, len) = (aggregate.participants.len(), self.participants.len());
        if index != len || !aggregate.participants.is_canonical() {
            return Err(FoldError::OutsideRoster { index, len });
        }
        if self.participants.overlaps(&aggregate.participants) {
            return Err(FoldError::Overlap(aggregate.aggregator));
        }
        self.participants.union(&aggregate.participants);
        pad::xor(&mut self.vector, &aggregate.vector);
        Ok(())
    }

    /// No server unblinds fewer than `min_participants`, ever.
    ///
    /// # Errors
    /// [`FoldError::TooFew`].
    pub fn check_count(&self, params: &Params) -> Result<(), FoldError> {
        let (count, min) = (self.participants.count(), params.min_participants);
        if count < min { Err(FoldError::TooFew { count, min }) } else { Ok(()) }
    }

    /// `BLAKE2b-256(header_digest ‖ bitmap ‖ vector)`: what commitments, partials and the record refer to.
    pub fn digest(&self) -> [u8; 32] {
        hash32(Use::AGGREGATE, &[&self.header_digest, &encode(&self.participants), &self.vector])
    }

    fn check_length(&self, vector: &[u8]) -> Result<(), FoldError> {
        let (given, expected) = (vector.len(), self.vector.len());
        if given == expected { Ok(()) } else { Err(FoldError::Length { given, expected }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_is_canonical_or_refused() {
        let mut bits = Bitmap::new(11);
        bits.set(0);
        bits.set(10);
        assert!(bits.is_canonical());
        assert_eq!(bits.ones().collect::<Vec<_>>(), vec![0, 10]);
        let beyond = Bitmap { len: 11, bytes: vec![0, 0b1000] };
        assert!(!beyond.is_canonical());
        assert!(!Bitmap { len: 11, bytes: vec![0] }.is_canonical());
        assert!(!bits.get(11) && !bits.get(u32::MAX));
        let empty = Bitmap { len: u32::MAX, bytes: vec![0b100] };
        assert_eq!(empty.ones().collect::<Vec<_>>(), [2], "as long as its bytes, not as it says");
    }
}
