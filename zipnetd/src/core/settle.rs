//! What became of a sealed message: R10 and R11 as one decision.

use super::ledger::{Ledger, Mask};
use super::message::{SealedAt, Setback};

/// The decision about one sealed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not known yet: neither published nor sent again.
    Held,
    /// In the log, in the slot it was sealed into.
    Published,
    /// It may have been read: never again by itself.
    Exposed,
    /// It did not get out, and enough servers stand for that.
    Again(Setback),
}

/// Decides about what was sealed at `at`. A round settles by exactly its header, index and slot: somebody else's equal
/// payload in another slot is nothing to us.
pub(super) fn verdict(ledger: &Ledger, at: &SealedAt, payload: &[u8]) -> Verdict {
    let (clean, revealed) = ledger.disclosed(at.round, &at.header_digest, at.servers);
    if let Some(known) = ledger.round(at.round) {
        let record = &known.record;
        if record.header_digest != at.header_digest {
            // Another header became this round's: nobody can say who computed what under ours.
            return Verdict::Held;
        }
        if !record.participants.get(at.index) {
            let safe: Mask = known.signers & at.servers | clean;
            return if ledger.enough(safe) { Verdict::Again(Setback::Absent) } else { Verdict::Held };
        }
        if record.message(at.slot) != Some(payload) {
            return Verdict::Exposed;
        }
        return if ledger.many(known.signers) { Verdict::Published } else { Verdict::Held };
    }
    if revealed != 0 {
        return Verdict::Exposed;
    }
    if ledger.enough(clean) { Verdict::Again(Setback::Abandoned) } else { Verdict::Held }
}

/// Whether a round is so well known that nothing sealed in it would be held; the same question for talk and cover.
pub(super) fn closed(ledger: &Ledger, at: &SealedAt) -> bool {
    let (clean, revealed) = ledger.disclosed(at.round, &at.header_digest, at.servers);
    match ledger.round(at.round) {
        Some(known) => {
            known.record.header_digest == at.header_digest
                && ledger.many(known.signers)
                && ledger.enough(known.signers & at.servers | clean)
        }
        None => revealed != 0 || ledger.enough(clean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zipnet_dcnet::aggregate::Bitmap;
    use zipnet_dcnet::descriptor::Descriptor;
    use zipnet_dcnet::header::{Header, SignedHeader};
    use zipnet_dcnet::ids::{DeploymentId, PeerId};
    use zipnet_dcnet::params::Params;
    use zipnet_dcnet::record::{Record, SignedRecord};
    use zipnet_dcnet::signed::Signature;

    const HEADER: [u8; 32] = [8; 32];
    const AT: SealedAt =
        SealedAt { round: 5, slot: 2, header_digest: HEADER, index: 1, servers: 0b111, at: 0 };

    fn ids(servers: &[u8]) -> Vec<PeerId> {
        servers.iter().map(|n| PeerId([*n; 32])).collect()
    }

    /// A committee of three, of which two are enough; `signers` sign the record of round 5, and a header of
    /// `above`, if there are any, stands on it.
    fn known(
        pins: &[u8],
        listed: &[u32],
        slot: u32,
        header: [u8; 32],
        signers: &[u8],
        above: &[u8],
    ) -> Ledger {
        let params = Params { min_servers: 2, ..Params::standard(3) };
        let descriptor = Descriptor::new("test", params, ids(&[0, 1, 2])).unwrap();
        let deployment = DeploymentId([1; 32]);
        let mut ledger = Ledger::new(&descriptor, deployment, &ids(pins));
        let mut participants = Bitmap::new(4);
        for i in listed {
            participants.set(*i);
        }
        let record = Record {
            deployment,
            round: 5,
            header_digest: header,
            aggregate_digest: [0; 32],
            prev: [0; 32],
            participants,
            servers: ids(&[0, 1, 2]),
            reservations: vec![],
            messages: vec![(slot, b"text".to_vec())],
            garbled: vec![],
        };
        let digest = record.digest();
        let signatures = ids(signers).into_iter().map(|id| (id, Signature([0; 64]))).collect();
        ledger.add(PeerId([0; 32]), SignedRecord { record, signatures }, digest);
        let header = Header {
            deployment,
            round: 6,
            prev: digest,
            servers: ids(above),
            aggregators: vec![],
            roster: [0; 32],
            roster_len: 4,
        };
        if !above.is_empty() {
            ledger.header(&SignedHeader { header, signatures: vec![] }, [6; 32]);
        }
        ledger
    }

    #[test]
    fn a_listed_message_is_published_by_exactly_its_slot_and_bytes() {
        let ledger = known(&[], &[1], 2, HEADER, &[0], &[0, 1]);
        assert_eq!(verdict(&ledger, &AT, b"text"), Verdict::Published);
        assert_eq!(verdict(&ledger, &AT, b"other"), Verdict::Exposed);
        let ledger = known(&[], &[1], 3, HEADER, &[0], &[0, 1]);
        assert_eq!(
            verdict(&ledger, &AT, b"text"),
            Verdict::Exposed,
            "equal bytes in another slot are not ours"
        );
        let ledger = known(&[], &[1], 2, [9; 32], &[0, 1, 2], &[0, 1]);
        assert_eq!(verdict(&ledger, &AT, b"text"), Verdict::Held, "another header's round");
    }

    #[test]
    fn who_is_not_listed_talks_again_only_on_the_word_of_m_servers_of_the_round_and_all_pins() {
        let again = Verdict::Again(Setback::Absent);
        assert_eq!(verdict(&known(&[], &[0, 2], 2, HEADER, &[0], &[0, 1]), &AT, b"text"), again);
        let two = SealedAt { servers: 0b101, ..AT };
        let ledger = known(&[], &[0, 2], 2, HEADER, &[0], &[0, 1]);
        assert_eq!(verdict(&ledger, &two, b"text"), Verdict::Held, "server 1 was not in the round");
        assert!(!closed(&ledger, &two));
        let ledger = known(&[2], &[0, 2], 2, HEADER, &[0], &[0, 1]);
        assert_eq!(verdict(&ledger, &AT, b"text"), Verdict::Held, "the pinned server has not spoken");
        assert!(!closed(&ledger, &AT));
        let ledger = known(&[2], &[0, 2], 2, HEADER, &[0], &[0, 2]);
        assert_eq!(verdict(&ledger, &AT, b"text"), again);
        assert!(closed(&ledger, &AT));
    }

    #[test]
    fn a_record_that_does_not_count_says_nothing() {
        let ledger = known(&[], &[1], 2, HEADER, &[0, 1], &[]);
        assert!(ledger.round(5).is_none(), "two of its three servers signed, and nothing stands on it");
        assert_eq!(verdict(&ledger, &AT, b"text"), Verdict::Held);
        assert_eq!(verdict(&ledger, &AT, b"other"), Verdict::Held, "not even exposed");
        let ledger = known(&[], &[1], 2, HEADER, &[0, 1, 2], &[]);
        assert_eq!(verdict(&ledger, &AT, b"text"), Verdict::Published);
    }
}
