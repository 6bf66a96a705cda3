//! Which records count (R11): those that all their servers signed, and those that a record or a header that counts
//! names as ancestor.

use std::collections::BTreeMap;

use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::header::{HeaderError, SignedHeader};
use zipnet_dcnet::ids::{DeploymentId, RecordDigest};
use zipnet_dcnet::record::{Record, RecordError, SignedRecord};

/// Records that wait until they count; when there are more, the oldest are dropped (and fetched again when needed).
const MAX_WAITING: usize = 2_048;

/// Why something a server said is no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChainError {
    /// A record that cannot count.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A header that does not hold.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// A record that counts.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub record: Record,
    pub digest: RecordDigest,
}

/// A record that does not count yet.
struct Waits {
    record: Record,
    digest: RecordDigest,
    /// How many servers signed it.
    signers: usize,
}

/// Turns what servers say, in any order and with repetitions, into records that count, each once, ascending by round.
/// Two that follow each other are linked, unless `prev` of the second says that some between are missing.
pub(crate) struct Chain {
    descriptor: Descriptor,
    deployment: DeploymentId,
    /// The last round given out.
    last: u64,
    waiting: BTreeMap<u64, Waits>,
}

impl Chain {
    /// Gives out records from `from` on.
    pub(crate) fn new(descriptor: Descriptor, from: u64) -> Self {
        let deployment = descriptor.id();
        Self { descriptor, deployment, last: from.saturating_sub(1), waiting: BTreeMap::new() }
    }

    /// A record; gives what counts by now.
    pub(crate) fn record(&mut self, signed: &SignedRecord) -> Result<Vec<Counted>, ChainError> {
        let round = signed.record.round;
        if round <= self.last {
            return Ok(Vec::new());
        }
        let (digest, counts) = signed.verify(&self.descriptor, &self.deployment)?;
        let signers = signed.signatures.len();
        // Nobody's forgery, signed by few or none, takes the place of what more servers signed.
        if self.waiting.get(&round).is_none_or(|waits| waits.signers <= signers) {
            self.waiting.insert(round, Waits { record: signed.record.clone(), digest, signers });
        }
        if counts {
            return Ok(self.release(round));
        }
        while self.waiting.len() > MAX_WAITING {
            self.waiting.pop_first();
        }
        Ok(Vec::new())
    }

    /// An open header; gives what counts by it.
    pub(crate) fn header(&mut self, signed: &SignedHeader) -> Result<Vec<Counted>, ChainError> {
        let prev = signed.header.prev;
        let named = self.waiting.iter().find(|(_, waits)| waits.digest == prev).map(|(round, _)| *round);
        let Some(round) = named else { return Ok(Vec::new()) };
        signed.verify(&self.descriptor, &self.deployment)?;
        Ok(self.release(round))
    }

    /// Whether some records do not count yet.
    pub(crate) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The record of `round` counts, and with it every ancestor that waits. What waits below and is no ancestor never
    /// counted.
    fn release(&mut self, round: u64) -> Vec<Counted> {
        let mut rest = self.waiting.split_off(&(round + 1));
        std::mem::swap(&mut rest, &mut self.waiting);
        let mut out: Vec<Counted> = Vec::new();
        while let Some((_, Waits { record, digest, .. })) = rest.pop_last() {
            if out.last().is_none_or(|child| child.record.prev == digest) {
                out.push(Counted { record, digest });
            }
        }
        out.reverse();
        self.last = round;
        out
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use zeroize::Zeroizing;
    use zipnet_dcnet::aggregate::Bitmap;
    use zipnet_dcnet::header::Header;
    use zipnet_dcnet::identity::Identity;
    use zipnet_dcnet::params::Params;

    use super::*;

    /// A committee of three that signs whatever a test wants.
    pub(crate) struct Committee {
        pub servers: Vec<Identity>,
        pub descriptor: Descriptor,
    }

    impl Committee {
        pub(crate) fn new() -> Self {
            let mut servers: Vec<_> = (1..=3).map(|n| Identity::from_seed(Zeroizing::new([n; 32]))).collect();
            servers.sort_by_key(Identity::peer_id);
            let ids = servers.iter().map(Identity::peer_id).collect();
            let descriptor = Descriptor::new("test", Params::dev(3), ids).unwrap();
            Self { servers, descriptor }
        }

        /// The record of a round with one message, signed by the first `signers` servers.
        pub(crate) fn record(&self, round: u64, prev: RecordDigest, signers: usize) -> SignedRecord {
            let mut participants = Bitmap::new(5);
            (0..5).for_each(|i| participants.set(i));
            let record = Record {
                deployment: self.descriptor.id(),
                round,
                header_digest: [round as u8; 32],
                aggregate_digest: [0; 32],
                prev,
                participants,
                servers: self.descriptor.servers.clone(),
                reservations: Vec::new(),
                messages: vec![(2, format!("round {round}").into_bytes())],
                garbled: Vec::new(),
            };
            let signatures = self.servers[..signers].iter().map(|s| (s.peer_id(), record.sign(s))).collect();
            SignedRecord { record, signatures }
        }

        /// Records of these rounds, each on top of the one before.
        pub(crate) fn records(&self, rounds: &[u64], signers: usize) -> Vec<SignedRecord> {
            let mut prev = self.descriptor.id().0;
            rounds
                .iter()
                .map(|round| {
                    let signed = self.record(*round, prev, signers);
                    prev = signed.record.digest();
                    signed
                })
                .collect()
        }

        pub(crate) fn header(&self, round: u64, prev: RecordDigest, signers: usize) -> SignedHeader {
            let header = Header {
                deployment: self.descriptor.id(),
                round,
                prev,
                servers: self.descriptor.servers.clone(),
                aggregators: vec![self.descriptor.servers[0]],
                roster: [0; 32],
                roster_len: 5,
            };
            let signatures = self.servers[..signers].iter().map(|s| header.sign(s)).collect();
            SignedHeader { header, signatures }
        }
    }

    fn rounds(counted: &[Counted]) -> Vec<u64> {
        counted.iter().map(|c| c.record.round).collect()
    }

    #[test]
    fn a_record_counts_when_all_signed_and_takes_its_ancestors_along() {
        let committee = Committee::new();
        let mut partly = committee.records(&[1, 2, 4], 2);
        let whole = committee.record(5, partly[2].record.digest(), 3);
        let mut chain = Chain::new(committee.descriptor.clone(), 1);
        partly.swap(0, 1);
        for signed in &partly {
            assert!(chain.record(signed).unwrap().is_empty());
        }
        assert_eq!(rounds(&chain.record(&whole).unwrap()), [1, 2, 4, 5]);
        assert!(chain.record(&whole).unwrap().is_empty(), "each once");
        assert!(chain.record(&partly[0]).unwrap().is_empty());
    }

    #[test]
    fn a_header_that_counts_makes_the_record_it_stands_on_count() {
        let committee = Committee::new();
        let first = committee.record(1, committee.descriptor.id().0, 2);
        let digest = first.record.digest();
        let mut chain = Chain::new(committee.descriptor.clone(), 1);
        chain.record(&first).unwrap();
        assert!(chain.header(&committee.header(2, [9; 32], 3)).unwrap().is_empty(), "another record");
        assert!(chain.header(&committee.header(2, digest, 2)).is_err(), "not all signed");
        assert_eq!(rounds(&chain.header(&committee.header(2, digest, 3)).unwrap()), [1]);
    }

    #[test]
    fn what_is_no_ancestor_never_counts_and_a_forged_record_is_refused() {
        let committee = Committee::new();
        let mut chain = Chain::new(committee.descriptor.clone(), 1);
        let fork = committee.record(1, [7; 32], 0);
        assert!(chain.record(&fork).unwrap().is_empty(), "nobody signed it");
        let real = committee.records(&[2, 3], 3);
        assert_eq!(
            rounds(&chain.record(&real[1]).unwrap()),
            [3],
            "round 2 is not there, round 1 no ancestor"
        );
        // What nobody signed does not push out what waits for its last signature.
        let waits = committee.record(4, real[1].record.digest(), 2);
        let unsigned = committee.record(4, [8; 32], 0);
        assert!(chain.record(&waits).unwrap().is_empty() && chain.record(&unsigned).unwrap().is_empty());
        let above = committee.record(5, waits.record.digest(), 3);
        assert_eq!(rounds(&chain.record(&above).unwrap()), [4, 5]);
        let mut forged = committee.record(6, above.record.digest(), 3);
        forged.record.messages[0].1.push(b'!');
        assert!(chain.record(&forged).is_err());
    }
}
