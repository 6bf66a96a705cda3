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

/// Turns what servers say, in any order and with repetitions, into records that count, each once, ascending by round.
/// Two that follow each other are linked, unless `prev` of the second says that some between are missing.
pub(crate) struct Chain {
    descriptor: Descriptor,
    deployment: DeploymentId,
    /// The last round given out.
    last: u64,
    waiting: BTreeMap<u64, (Record, RecordDigest)>,
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
        self.waiting.insert(round, (signed.record.clone(), digest));
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
        let named = self.waiting.iter().find(|(_, (_, digest))| *digest == prev).map(|(round, _)| *round);
        let Some(round) = named else { return Ok(Vec::new()) };
        signed.verify(&self.descriptor, &self.deployment)?;
        Ok(self.release(round))
    }

    /// The record of `round` counts, and with it every ancestor that waits. What waits below and is no ancestor never
    /// counted.
    fn release(&mut self, round: u64) -> Vec<Counted> {
        let mut rest = self.waiting.split_off(&(round + 1));
        std::mem::swap(&mut rest, &mut self.waiting);
        let mut out: Vec<Counted> = Vec::new();
        while let Some((_, (record, digest))) = rest.pop_last() {
            if out.last().is_none_or(|child| child.record.prev == digest) {
                out.push(Counted { record, digest });
            }
        }
        out.reverse();
        self.last = round;
        out
    }
}
