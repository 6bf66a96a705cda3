//! No pad twice: one envelope per round and keys of a client, one partial per round of a server.

use std::collections::BTreeMap;

use zipnet_committee::entry::Entry;
use zipnet_dcnet::ids::{ClientId, Session};
use zipnet_dcnet::seal::Envelope;
use zipnet_dcnet::signed::encode;

use super::rounds::Rounds;
use super::{Check, Violation, short};

const NAME: &str = "no pad twice";

/// A session, the vouches of the servers, which stand for the chains, and a round.
type Pad = (Session, Vec<[u8; 32]>, u64);

/// See the module.
#[derive(Default)]
pub(super) struct Pads {
    sealed: BTreeMap<Pad, Vec<u8>>,
    /// The last round that a session sealed.
    last: BTreeMap<Session, u64>,
    commitments: BTreeMap<(usize, u64), Vec<u8>>,
    partials: BTreeMap<(usize, u64), Vec<u8>>,
}

impl Pads {
    pub(super) fn sealed(
        &mut self,
        client: usize,
        id: &ClientId,
        envelope: &Envelope,
        rounds: &Rounds,
    ) -> Check {
        let fail = |what: &str| {
            Err(Violation::new(NAME, format!("c{client} seals {what} for round {}", envelope.round)))
        };
        let Some(round) = rounds.all.get(&envelope.round) else { return fail("without a header") };
        let entry = round.roster.entries().get(envelope.index as usize);
        let Some(entry) = entry.filter(|e| e.client == *id) else { return fail("at another's index") };
        let key = (entry.session, entry.vouches.clone(), envelope.round);
        if self.sealed.insert(key, envelope.vector.clone()).is_some_and(|before| before != envelope.vector) {
            return fail("a second envelope with the same keys");
        }
        if self.last.insert(entry.session, envelope.round).is_some_and(|last| last > envelope.round) {
            return fail("after a later round, with a chain that went back,");
        }
        Ok(())
    }

    pub(super) fn proposed(&mut self, server: usize, entry: &Entry) -> Check {
        let (map, round, who, bytes, what) = match entry {
            Entry::Commitment(c) => {
                (&mut self.commitments, c.trusted().round, c.trusted().server, encode(c), "commitments")
            }
            Entry::Partial(p) => {
                (&mut self.partials, p.trusted().round, p.trusted().server, encode(p), "partials")
            }
            _ => return Ok(()),
        };
        // Of another fold or nonce: the pads were taken twice.
        if map.insert((server, round), bytes.clone()).is_some_and(|before| before != bytes) {
            let text = format!("s{server} ({}) makes two {what} for round {round}", short(&who));
            return Err(Violation::new(NAME, text));
        }
        Ok(())
    }
}
