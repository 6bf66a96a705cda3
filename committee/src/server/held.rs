//! Records that wait for signatures before subscribers hear of them: a record that is told anew with each signature costs
//! every client its bytes again.

use std::collections::BTreeMap;

use zipnet_dcnet::wire::Ended;

/// A record that lacks signatures is told after this long, in milliseconds, and again at most as often. It counts for
/// nobody before it has all of them (R11), so who waits loses nothing.
pub(super) const HOLD_MS: u64 = 500;

/// See the module. By round: since when it waits.
#[derive(Default)]
pub(super) struct Held(BTreeMap<u64, (u64, Ended)>);

/// Whether a later one would say more that matters now. Clients have to know at once of a round that was given up.
fn is_complete(ended: &Ended) -> bool {
    match ended {
        Ended::Final(signed) => signed.signatures.len() == signed.record.servers.len(),
        Ended::Abandoned(_) => true,
    }
}

impl Held {
    /// What to tell now, ascending by round, of what is here and of what is new. All of it when a round opens: its header
    /// names the record before.
    pub(super) fn take(&mut self, now: u64, fresh: &BTreeMap<u64, Ended>, opening: bool) -> Vec<Ended> {
        for (round, ended) in fresh {
            let since = self.0.get(round).map_or(now, |(since, _)| *since);
            self.0.insert(*round, (since, ended.clone()));
        }
        let due = |_: &u64, (since, ended): &mut (u64, Ended)| {
            opening || is_complete(ended) || now.saturating_sub(*since) >= HOLD_MS
        };
        self.0.extract_if(.., due).map(|(_, (_, ended))| ended).collect()
    }
}

#[cfg(test)]
mod tests {
    use zipnet_dcnet::aggregate::Bitmap;
    use zipnet_dcnet::ids::{DeploymentId, PeerId};
    use zipnet_dcnet::record::{Record, SignedRecord};
    use zipnet_dcnet::signed::Signature;
    use zipnet_dcnet::wire::Abandoned;

    use super::*;

    /// The record of this round by three servers, with so many signatures.
    fn signed(round: u64, signatures: u8) -> BTreeMap<u64, Ended> {
        let record = Record {
            deployment: DeploymentId([0; 32]),
            round,
            header_digest: [0; 32],
            aggregate_digest: [0; 32],
            prev: [0; 32],
            participants: Bitmap::new(3),
            servers: (0..3).map(|n| PeerId([n; 32])).collect(),
            reservations: Vec::new(),
            messages: Vec::new(),
            garbled: Vec::new(),
        };
        let signatures = (0..signatures).map(|n| (PeerId([n; 32]), Signature([n; 64]))).collect();
        BTreeMap::from([(round, Ended::Final(Box::new(SignedRecord { record, signatures })))])
    }

    /// Round and signatures of each.
    fn told(ended: &[Ended]) -> Vec<(u64, usize)> {
        let one = |e: &Ended| match e {
            Ended::Final(signed) => (signed.record.round, signed.signatures.len()),
            Ended::Abandoned(abandoned) => (abandoned.round, 0),
        };
        ended.iter().map(one).collect()
    }

    #[test]
    fn a_record_is_told_once_when_the_last_signature_is_there() {
        let mut held = Held::default();
        for signatures in 0..3 {
            assert!(held.take(u64::from(signatures), &signed(7, signatures), false).is_empty());
        }
        assert_eq!(told(&held.take(3, &signed(7, 3), false)), [(7, 3)]);
        assert!(held.take(HOLD_MS * 9, &BTreeMap::new(), true).is_empty(), "once");
    }

    #[test]
    fn one_that_lacks_a_signature_is_told_in_time_and_again_with_it() {
        let mut held = Held::default();
        assert!(held.take(10, &signed(7, 1), false).is_empty());
        assert!(held.take(9 + HOLD_MS, &signed(7, 2), false).is_empty());
        assert_eq!(told(&held.take(10 + HOLD_MS, &BTreeMap::new(), false)), [(7, 2)]);
        assert_eq!(told(&held.take(11 + HOLD_MS, &signed(7, 3), false)), [(7, 3)]);
    }

    #[test]
    fn an_opening_releases_what_waits_and_a_round_that_was_given_up_never_waits() {
        let mut held = Held::default();
        assert!(held.take(0, &signed(8, 1), false).is_empty());
        assert!(held.take(0, &signed(7, 2), false).is_empty());
        assert_eq!(told(&held.take(1, &BTreeMap::new(), true)), [(7, 2), (8, 1)]);
        let abandoned = Abandoned { round: 9, header_digest: [0; 32], disclosures: Vec::new() };
        let fresh = BTreeMap::from([(9, Ended::Abandoned(abandoned))]);
        assert_eq!(told(&held.take(2, &fresh, false)), [(9, 0)]);
    }
}
