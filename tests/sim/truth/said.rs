//! What a server says it wrote down before, and says once.

use std::collections::{BTreeMap, BTreeSet};

use zipnet_committee::core::Marks;
use zipnet_committee::entry::Entry;
use zipnet_dcnet::signed::Signature;

use super::{Check, Violation};

const NAME: &str = "said once";

/// All that honest servers ever said, lost or not.
#[derive(Default)]
pub(super) struct Said {
    headers: BTreeMap<(usize, u64), Signature>,
    records: BTreeMap<(usize, u64), Signature>,
    committed: BTreeSet<(usize, u64)>,
    revealed: BTreeSet<(usize, u64)>,
    disclosed: BTreeMap<(usize, u64), bool>,
}

impl Said {
    pub(super) fn proposed(&mut self, server: usize, durable: &Marks, entry: &Entry) -> Check {
        let fail =
            |what: &str, round: u64| Err(Violation::new(NAME, format!("s{server}, round {round}: {what}")));
        match entry {
            Entry::HeaderSignature(s) => {
                // Ed25519 is deterministic: another signature is one of another header.
                let before = self.headers.insert((server, s.round), s.signature);
                if before.is_some_and(|before| before != s.signature) {
                    return fail("R4: it signs a second header", s.round);
                }
                if durable.may_sign(s.round, &[0; 32]) {
                    return fail("R4: it signs the header before its mark is on the disk", s.round);
                }
            }
            Entry::RecordSignature(s) => {
                let before = self.records.insert((server, s.round), s.signature);
                if before.is_some_and(|before| before != s.signature) {
                    return fail("R11: it signs a second record", s.round);
                }
                if durable.record(s.round).is_none() {
                    return fail("R11: it signs the record before its mark is on the disk", s.round);
                }
            }
            Entry::Commitment(c) => drop(self.committed.insert((server, c.trusted().round))),
            Entry::Partial(p) => {
                let key = (server, p.trusted().round);
                if !durable.revealed(key.1) {
                    return fail("R10: its partial leaves before its mark is on the disk", key.1);
                }
                if !self.committed.contains(&key) {
                    return fail("R7: it reveals without having committed", key.1);
                }
                if self.disclosed.contains_key(&key) {
                    return fail("R10: its partial leaves after its disclosure", key.1);
                }
                self.revealed.insert(key);
            }
            Entry::Disclosure(d) => {
                let (key, revealed) = ((server, d.trusted().round), d.trusted().revealed);
                if self.disclosed.insert(key, revealed).is_some_and(|before| before != revealed) {
                    return fail("R10: it discloses something else than before", key.1);
                }
                if self.revealed.contains(&key) && !revealed {
                    return fail("R10: its partial left, and it says that it did not", key.1);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
