//! How old a quote is, in rounds: it names a record that nobody could know before.

use std::collections::VecDeque;

use zipnet_dcnet::ids::{DeploymentId, RecordDigest};

/// How many rounds older than the last final record the record of a quote may be.
pub const MAX_AGE_ROUNDS: u64 = 100;

/// The final records of the last [`MAX_AGE_ROUNDS`] rounds. The deployment id stands for the record of round 0, so that a
/// first client finds one to name, and one that registers while the first record becomes final is not refused.
///
/// Age counts from the last *final* record, not from the last opened round: a committee whose rounds all fail can still be
/// joined, which is what it needs.
#[derive(Clone, Debug)]
pub struct Recent {
    records: VecDeque<(u64, RecordDigest)>,
}

impl Recent {
    /// No record yet.
    pub fn new(deployment: DeploymentId) -> Self {
        Self { records: VecDeque::from([(0, deployment.0)]) }
    }

    /// A record became final. Rounds that are not above the last one are ignored, so it does no harm to say it twice.
    pub fn note(&mut self, round: u64, digest: RecordDigest) {
        if round <= self.last() {
            return;
        }
        self.records.push_back((round, digest));
        while self.records.front().is_some_and(|(old, _)| round - old > MAX_AGE_ROUNDS) {
            self.records.pop_front();
        }
    }

    /// The record that a quote of now should name.
    pub fn newest(&self) -> RecordDigest {
        self.records.back().expect("invariant: what was noted last is never dropped").1
    }

    /// The age of a record, in rounds; none if it is too old or not known.
    pub fn age(&self, record: &RecordDigest) -> Option<u64> {
        let (round, _) = self.records.iter().find(|(_, digest)| digest == record)?;
        Some(self.last() - round)
    }

    fn last(&self) -> u64 {
        self.records.back().map_or(0, |(round, _)| *round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: DeploymentId = DeploymentId([1; 32]);

    fn digest(round: u64) -> RecordDigest {
        let mut out = [2; 32];
        out[..8].copy_from_slice(&round.to_le_bytes());
        out
    }

    #[test]
    fn a_record_counts_for_a_hundred_rounds_and_not_for_one_more() {
        let mut recent = Recent::new(D);
        assert_eq!((recent.newest(), recent.age(&D.0)), (D.0, Some(0)));
        recent.note(100, digest(100));
        assert_eq!((recent.newest(), recent.age(&D.0)), (digest(100), Some(100)));
        recent.note(101, digest(101));
        assert_eq!((recent.age(&D.0), recent.age(&digest(100))), (None, Some(1)));
        recent.note(200, digest(200));
        assert_eq!(recent.age(&digest(100)), Some(100));
        recent.note(201, digest(201));
        assert_eq!((recent.age(&digest(100)), recent.age(&digest(101))), (None, Some(100)));
        assert_eq!(recent.age(&digest(7)), None);
    }

    #[test]
    fn old_news_is_no_news_and_memory_is_bounded() {
        let mut recent = Recent::new(D);
        for round in 1..1000 {
            recent.note(round, digest(round));
            recent.note(round, [9; 32]);
        }
        assert_eq!(recent.records.len() as u64, MAX_AGE_ROUNDS + 1);
        assert_eq!((recent.age(&[9; 32]), recent.newest()), (None, digest(999)));
    }
}
