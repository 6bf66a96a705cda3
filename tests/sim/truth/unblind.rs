//! What a server may unblind: the log's fold of enough participants, not shrunk (R6, R9).

use std::collections::BTreeSet;

use zipnet_committee::entry::Entry;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::ids::ClientId;

use super::rounds::Rounds;
use super::{Check, Violation};

const NAME: &str = "never too few";

/// R9 and `min_participants`, read anew from the protocol: what stands against unblinding these participants.
/// `before` is empty for a quiet round.
fn objection(now: &BTreeSet<ClientId>, before: &BTreeSet<ClientId>, min: u32) -> Option<String> {
    if (now.len() as u32) < min {
        return Some(format!("{} participants, at least {min} are needed", now.len()));
    }
    let lacking = before.iter().filter(|client| !now.contains(client)).count();
    let slack = before.len().div_ceil(16);
    (lacking > slack).then(|| format!("{lacking} of the {} before lack, {slack} may", before.len()))
}

impl Rounds {
    /// An honest server commits to a partial, or reveals it.
    pub(super) fn may_unblind(
        &self,
        server: usize,
        entry: &Entry,
        min_participants: u32,
        descriptor: &Descriptor,
    ) -> Check {
        let (round, digest, reveals) = match entry {
            Entry::Commitment(c) => (c.trusted().round, c.trusted().aggregate_digest, false),
            Entry::Partial(p) => (p.trusted().round, p.trusted().aggregate_digest, true),
            _ => return Ok(()),
        };
        let fail =
            |what: String| Err(Violation::new(NAME, format!("s{server} unblinds round {round}: {what}")));
        let Some(known) = self.all.get(&round) else { return fail("it was never opened".to_owned()) };
        let Some((now, fold)) = &known.fold else { return fail("the log has no fold of it".to_owned()) };
        if *fold != digest {
            return fail("another fold than the log's".to_owned());
        }
        let before = match known.before.filter(|_| !self.is_quiet(known)).and_then(|r| self.all.get(&r)) {
            Some(before) => before.fold.as_ref().map(|(who, _)| who.clone()).unwrap_or_default(),
            None => BTreeSet::new(),
        };
        if let Some(objection) = objection(now, &before, min_participants) {
            return fail(objection);
        }
        if known.header.servers.len() < descriptor.majority() {
            return fail(format!("{} servers", known.header.servers.len()));
        }
        if reveals && known.committed < known.header.servers.len() {
            return fail(format!("{} commitments are in the log", known.committed));
        }
        Ok(())
    }
}

#[test]
fn objections_are_raised_at_the_edges() {
    let set = |range: std::ops::Range<u8>| range.map(|n| ClientId([n; 32])).collect::<BTreeSet<_>>();
    assert_eq!(objection(&set(0..3), &set(0..0), 3), None);
    assert!(objection(&set(0..2), &set(0..0), 3).is_some());
    assert_eq!(objection(&set(1..16), &set(0..16), 3), None);
    assert!(objection(&set(2..40), &set(0..16), 3).is_some(), "newcomers do not make up");
    assert_eq!(objection(&set(2..17), &set(0..17), 3), None);
    assert!(objection(&set(3..17), &set(0..17), 3).is_some());
}
