//! Reading the log after a restart (section 7): a message from the disk is sealed again only after every record since
//! was seen.
//!
//! Every record on the disk is exact up to a round `known` that is written with each of them: whatever was sealed in
//! `known` or before was written as sealed or settled. So the log is read from `known + 1` on (and from the round of a
//! message that is sealed and not settled), up to a header that counts and names the last record read: then nothing was
//! left out, because records chain by digest.

use std::collections::{BTreeMap, BTreeSet};

use zipnet_dcnet::ids::{HeaderDigest, PeerId, RecordDigest};
use zipnet_dcnet::record::Record;
use zipnet_dcnet::wire::Abandoned;

/// Rounds that are read after a restart even if no message waits for it, so that having one rarely shows.
pub(super) const ALWAYS: u64 = 1_024;
/// Records per page.
pub(super) const PAGE: u32 = zipnet_dcnet::wire::MAX_RECORDS;
/// How often a server that says the log does not reach back is asked in vain for another opinion.
const OPINIONS: u32 = 4;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No header yet.
    Waiting,
    /// Reading.
    Reading,
    /// Read.
    Done,
}

/// A piece of the log that cannot be part of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) &'static str);

/// See the module.
pub(super) struct Scan {
    pub(super) stage: Stage,
    /// The last round that the disk is exact for; 0 when no round was ever known.
    pub(super) known: u64,
    first: u64,
    /// The next round to read.
    pub(super) next: u64,
    last: Option<RecordDigest>,
    /// Payloads of messages from the disk.
    wanted: BTreeSet<Vec<u8>>,
    /// Where one of them was found: round, slot, payload.
    pub(super) found: Vec<(u64, u32, Vec<u8>)>,
    /// A slot was garbled since, or the log does not reach back: what is not found is unknown.
    pub(super) tainted: bool,
    /// Abandoned rounds since, with their headers.
    pub(super) doubts: BTreeMap<u64, HeaderDigest>,
    short: BTreeSet<PeerId>,
    short_answers: u32,
}

impl Scan {
    pub(super) fn new(known: u64) -> Self {
        Self {
            stage: Stage::Waiting,
            known,
            first: 0,
            next: 0,
            last: None,
            wanted: BTreeSet::new(),
            found: Vec::new(),
            tainted: false,
            doubts: BTreeMap::new(),
            short: BTreeSet::new(),
            short_answers: 0,
        }
    }

    /// The first header of this run came: reads from `first` on, for messages with these payloads.
    pub(super) fn start(&mut self, first: u64, wanted: BTreeSet<Vec<u8>>) {
        self.stage = Stage::Reading;
        self.wanted = wanted;
        self.first = first;
        self.restart();
    }

    /// Forgets what was read: it does not lead to the header.
    pub(super) fn restart(&mut self) {
        (self.next, self.last) = (self.first, None);
        self.found.clear();
        self.doubts.clear();
        self.tainted = false;
    }

    /// A server says that its log starts at `earliest`. False: ask another one.
    pub(super) fn reaches_back(&mut self, server: PeerId, earliest: u64, servers: usize) -> bool {
        if earliest <= self.next {
            return true;
        }
        if self.known > 0 {
            self.short.insert(server);
            self.short_answers += 1;
            if self.short.len() < servers.min(2) && self.short_answers < OPINIONS {
                return false;
            }
            self.tainted |= earliest > self.known + 1;
        }
        (self.next, self.last) = (earliest, None);
        true
    }

    /// The next round was final.
    pub(super) fn record(&mut self, record: &Record, digest: RecordDigest) -> Result<(), Broken> {
        if record.round != self.next {
            return Err(Broken("rounds are missing"));
        }
        if self.last.is_some_and(|last| last != record.prev) {
            return Err(Broken("a record does not stand on the one before"));
        }
        self.last = Some(digest);
        self.next += 1;
        if record.round > self.known {
            self.tainted |= !record.garbled.is_empty();
            for (slot, payload) in &record.messages {
                if self.wanted.contains(payload) {
                    self.found.push((record.round, *slot, payload.clone()));
                }
            }
        }
        Ok(())
    }

    /// The next round was abandoned, says a server.
    pub(super) fn abandoned(&mut self, abandoned: &Abandoned) -> Result<(), Broken> {
        if abandoned.round != self.next {
            return Err(Broken("rounds are missing"));
        }
        self.next += 1;
        if abandoned.round > self.known {
            self.doubts.insert(abandoned.round, abandoned.header_digest);
        }
        Ok(())
    }

    /// Whether what was read is all there is below a header. `below` says that its record is known and of a round
    /// before the first one read.
    pub(super) fn leads_to(&self, round: u64, prev: &RecordDigest, below: bool) -> Option<bool> {
        (self.next >= round).then(|| self.last.map_or(below, |last| last == *prev))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_does_not_reach_back_needs_a_second_opinion() {
        let (a, b) = (PeerId([1; 32]), PeerId([2; 32]));
        let mut scan = Scan::new(10);
        scan.start(11, BTreeSet::new());
        assert!(scan.reaches_back(a, 11, 3) && !scan.tainted);
        assert!(!scan.reaches_back(a, 50, 3));
        assert!(!scan.reaches_back(a, 50, 3), "the same server again is no second opinion");
        assert!(scan.reaches_back(b, 50, 3) && scan.tainted);
        assert_eq!(scan.next, 50);
        // A store that never knew a round never sealed anything.
        let mut scan = Scan::new(0);
        scan.start(1, BTreeSet::new());
        assert!(scan.reaches_back(a, 50, 3) && !scan.tainted);
    }
}
