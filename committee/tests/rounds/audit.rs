//! What no server may ever do, whatever happens; looked at with every proposal it makes.

use std::collections::BTreeMap;

use zipnet_committee::core::Marks;
use zipnet_committee::entry::Entry;
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::signed::{Signature, encode};

/// All that servers ever said, lost or not.
#[derive(Default)]
pub(crate) struct Audit {
    headers: BTreeMap<(PeerId, u64), Signature>,
    records: BTreeMap<(PeerId, u64), Signature>,
    commitments: BTreeMap<(PeerId, u64), Vec<u8>>,
    partials: BTreeMap<(PeerId, u64), Vec<u8>>,
    disclosures: BTreeMap<(PeerId, u64), bool>,
    /// Partials that were proposed once more, to see that the cached one is given.
    pub(crate) repeated: u32,
}

impl Audit {
    /// `durable` is what the server has on disk at this moment.
    pub(crate) fn said(&mut self, server: PeerId, durable: &Marks, entry: &Entry) {
        match entry {
            Entry::HeaderSignature(s) => {
                let before = self.headers.insert((server, s.round), s.signature);
                // Ed25519 is deterministic: another signature is one of another header.
                assert!(
                    before.is_none_or(|b| b == s.signature),
                    "R4: two headers signed for round {}",
                    s.round
                );
                assert!(
                    !durable.may_sign(s.round, &[0; 32]),
                    "R4: header {} signed without its mark",
                    s.round
                );
            }
            Entry::RecordSignature(s) => {
                let before = self.records.insert((server, s.round), s.signature);
                assert!(
                    before.is_none_or(|b| b == s.signature),
                    "R11: two records signed for round {}",
                    s.round
                );
                assert!(durable.record(s.round).is_some(), "R11: record {} signed without its mark", s.round);
            }
            Entry::Commitment(c) => {
                // A second one, of another fold or nonce, would mean that the pads were taken twice.
                let round = c.trusted().round;
                let before = self.commitments.insert((server, round), encode(c));
                assert!(before.is_none_or(|b| b == encode(c)), "R3: two commitments for round {round}");
            }
            Entry::Partial(p) => {
                let round = p.trusted().round;
                assert!(durable.revealed(round), "R10: partial {round} leaves without its mark");
                assert!(
                    self.commitments.contains_key(&(server, round)),
                    "R7: partial {round} without commitment"
                );
                let told = self.disclosures.get(&(server, round));
                assert_eq!(told, None, "R10: partial {round} leaves after the disclosure");
                if let Some(before) = self.partials.insert((server, round), encode(p)) {
                    assert_eq!(before, encode(p), "R3: two partials for round {round}");
                    self.repeated += 1;
                }
            }
            Entry::Disclosure(d) => {
                let d = d.trusted();
                let before = self.disclosures.insert((server, d.round), d.revealed);
                assert!(before.is_none_or(|b| b == d.revealed), "R10: disclosure {} changed", d.round);
                let left = self.partials.contains_key(&(server, d.round));
                assert!(d.revealed || !left, "R10: the partial of {} left, and is denied", d.round);
                assert_eq!(
                    d.revealed,
                    durable.revealed(d.round),
                    "R10: disclosure {} is not the mark",
                    d.round
                );
            }
            _ => {}
        }
    }

    /// Whether the partial left, and what the server said of it.
    pub(crate) fn told(&self, server: PeerId, round: u64) -> (bool, Option<bool>) {
        (self.partials.contains_key(&(server, round)), self.disclosures.get(&(server, round)).copied())
    }
}
