//! The broadcast log as this client knows it: the last rounds, verified, in memory; older ones are fetched for whoever
//! asks. What readers do takes nothing from the client's rounds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing::debug;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::header::SignedHeader;
use zipnet_dcnet::ids::{PeerId, RecordDigest};
use zipnet_dcnet::record::{Record, SignedRecord};
use zipnet_dcnet::wire::Ended;

use super::chain::{Chain, Counted};
use crate::metrics;

/// Rounds that are kept in memory.
const MAX_ROUNDS: usize = 1_024;
/// Payload bytes that are kept in memory.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// What a record published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub round: u64,
    pub digest: RecordDigest,
    pub prev: RecordDigest,
    /// Slot and payload, ascending.
    pub messages: Vec<(u32, Vec<u8>)>,
}

impl From<Counted> for Page {
    fn from(counted: Counted) -> Self {
        let Counted { record: Record { round, prev, messages, .. }, digest } = counted;
        Self { round, digest, prev, messages }
    }
}

impl Page {
    fn bytes(&self) -> usize {
        self.messages.iter().map(|(_, payload)| payload.len()).sum()
    }
}

/// The pages in memory: each linked to the one before.
struct Kept {
    chain: Chain,
    pages: VecDeque<Page>,
    bytes: usize,
}

/// The last rounds of the log, fed by the client and read by many.
pub(crate) struct Log {
    descriptor: Descriptor,
    kept: Mutex<Kept>,
    tip: watch::Sender<u64>,
}

impl Log {
    pub(crate) fn new(descriptor: Descriptor) -> Arc<Self> {
        let chain = Chain::new(descriptor.clone(), 1);
        let kept = Mutex::new(Kept { chain, pages: VecDeque::new(), bytes: 0 });
        Arc::new(Self { descriptor, kept, tip: watch::Sender::new(0) })
    }

    /// The deployment whose log this is.
    pub(crate) fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// A round ended, a server says.
    pub(crate) fn ended(&self, from: PeerId, ended: &Ended) {
        if let Ended::Final(signed) = ended {
            self.record(from, signed);
        }
    }

    fn record(&self, from: PeerId, signed: &SignedRecord) {
        let mut kept = self.lock();
        match kept.chain.record(signed) {
            Ok(counted) => self.add(kept, counted),
            Err(error) => debug!(server = %from.short(), %error, "record not taken into the log"),
        }
    }

    /// A round is open, a server says.
    pub(crate) fn opened(&self, from: PeerId, header: &SignedHeader) {
        let mut kept = self.lock();
        match kept.chain.header(header) {
            Ok(counted) => self.add(kept, counted),
            Err(error) => debug!(server = %from.short(), %error, "header not used for the log"),
        }
    }

    fn add(&self, mut kept: MutexGuard<'_, Kept>, counted: Vec<Counted>) {
        for counted in counted {
            metrics::record_seen(counted.record.count(), counted.record.servers.len() as u32);
            let page = Page::from(counted);
            // Some in between were missed: what is older is fetched by whoever wants it.
            if kept.pages.back().is_some_and(|last| last.digest != page.prev) {
                kept.pages.clear();
                kept.bytes = 0;
            }
            kept.bytes += page.bytes();
            kept.pages.push_back(page);
            while kept.pages.len() > MAX_ROUNDS || (kept.bytes > MAX_BYTES && kept.pages.len() > 1) {
                let Some(oldest) = kept.pages.pop_front() else { break };
                kept.bytes -= oldest.bytes();
            }
        }
        let tip = kept.pages.back().map_or(0, |page| page.round);
        drop(kept);
        self.tip.send_if_modified(|old| std::mem::replace(old, tip) != tip);
    }

    /// The last round in memory; 0 for none.
    pub(crate) fn tip(&self) -> watch::Receiver<u64> {
        self.tip.subscribe()
    }

    /// The first page from `from` on, if no page between may be missing: the reader is at the end of the log, or the
    /// page follows the one that it has.
    pub(crate) fn next(&self, from: u64, after: Option<&RecordDigest>) -> Next {
        let kept = self.lock();
        let Some(first) = kept.pages.front() else { return Next::Elsewhere };
        let at = kept.pages.partition_point(|page| page.round < from);
        let Some(page) = kept.pages.get(at) else { return Next::End };
        // The first page in memory is the next only if it links to what the reader has, or is just what was asked for.
        let linked = match after {
            Some(digest) => page.prev == *digest,
            None => at > 0 || first.round == from,
        };
        if linked { Next::Page(page.clone()) } else { Next::Elsewhere }
    }

    /// Digest of the record of a round, if it counts and is in memory.
    pub(crate) fn digest(&self, round: u64) -> Option<RecordDigest> {
        let kept = self.lock();
        let at = kept.pages.binary_search_by_key(&round, |page| page.round).ok()?;
        Some(kept.pages[at].digest)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic in between leaves at worst a page too few, which is fetched.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a reader finds what it wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Here.
    Page(Page),
    /// Nowhere yet: it is at the end.
    End,
    /// Not in memory: a server has to be asked.
    Elsewhere,
}
