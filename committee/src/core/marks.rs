//! What a server writes down before it says it, so that a restart cannot make it say something else.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use zipnet_dcnet::ids::{HeaderDigest, RecordDigest};

use crate::state::RECENT;

/// One thing to write down.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Mark {
    /// R4: the only header this server signs for this round.
    Signed(u64, HeaderDigest),
    /// R10: the partial of this round is about to leave.
    Revealed(u64, HeaderDigest),
    /// R11: the only record this server signs for this round.
    Record(u64, RecordDigest),
}

/// What tells one life of a server from another: 16 random bytes that a state folder keeps from its first start on. Every
/// boot nonce of that life ends with them ([`crate::state::life_of`]).
pub type Life = [u8; 16];

/// All that was written down: which life it is, and of the last rounds what was said.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Marks {
    life: Life,
    signed: Option<(u64, HeaderDigest)>,
    revealed: BTreeMap<u64, HeaderDigest>,
    records: BTreeMap<u64, RecordDigest>,
}

impl Marks {
    /// Of a server that never started before.
    pub fn new(life: Life) -> Self {
        Self { life, ..Self::default() }
    }

    /// The nonce of a boot in this life, from fresh random bytes.
    pub(super) fn boot(&self, random: [u8; 16]) -> [u8; 32] {
        let mut boot = [0; 32];
        boot[..16].copy_from_slice(&random);
        boot[16..].copy_from_slice(&self.life);
        boot
    }

    /// Takes a mark in. Keeps the [`RECENT`] newest rounds: the state asks for no older ones.
    pub fn note(&mut self, mark: &Mark) {
        match *mark {
            Mark::Signed(round, digest) => self.signed = Some((round, digest)),
            Mark::Revealed(round, digest) => trim(&mut self.revealed, round, digest),
            Mark::Record(round, digest) => trim(&mut self.records, round, digest),
        }
    }

    /// Whether this header may be signed: it is the one that was, or of a later round than any that was (R4).
    pub fn may_sign(&self, round: u64, digest: &HeaderDigest) -> bool {
        self.signed.is_none_or(|(r, d)| r < round || (r == round && d == *digest))
    }

    /// Whether exactly this header was marked as signed.
    pub fn has_signed(&self, round: u64, digest: &HeaderDigest) -> bool {
        self.signed == Some((round, *digest))
    }

    /// Whether the partial of this round may have left this server (R10).
    pub fn revealed(&self, round: u64) -> bool {
        self.revealed.contains_key(&round)
    }

    /// The record that was signed for this round.
    pub fn record(&self, round: u64) -> Option<&RecordDigest> {
        self.records.get(&round)
    }
}

fn trim(map: &mut BTreeMap<u64, [u8; 32]>, round: u64, digest: [u8; 32]) {
    map.insert(round, digest);
    while map.len() > RECENT {
        map.pop_first();
    }
}
