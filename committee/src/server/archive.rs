//! The broadcast log as this server keeps and serves it: how each round ended, by round.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use zipnet_dcnet::ids::RecordDigest;
use zipnet_dcnet::signed::encode;
use zipnet_dcnet::wire::{Ended, MAX_RECORDS, RecordsCall, RecordsReply};
use zipnet_store::{Batch, Store, StoreError};

use super::checked::Gap;
use super::lock;

const TREE: &str = "ended";
/// Its only key holds the first round of the span, if it is not simply the first one in the tree.
const FIRST: (&str, &[u8]) = ("ended.first", b"first");
/// Most bytes of items in one reply.
const MAX_REPLY_BYTES: usize = 4 << 20;
/// Rounds dropped at once when they are beyond retention.
const DROP_AT_ONCE: usize = 64;
/// Rounds looked through at once for a final one.
const LOOK_AT_ONCE: usize = 64;

/// See the module.
pub(crate) struct Archive {
    store: Arc<dyn Store>,
    retain: u64,
    /// The first round from which on none is missing, and the last. A server that was away for long has older ones
    /// below a gap; they count when the gap is filled.
    span: Mutex<Option<(u64, u64)>>,
    /// Held by who changes the span, over its write.
    writing: tokio::sync::Mutex<()>,
}

impl Archive {
    /// The archive in the store.
    pub(super) fn open(store: Arc<dyn Store>, retain: u32) -> Result<Self, StoreError> {
        let first = store.scan(TREE, &[], 1)?;
        let last = store.last(TREE)?;
        let known = store.get(FIRST.0, FIRST.1)?.map_or(0, |bytes| round(&bytes));
        let span = first.first().zip(last.as_ref()).map(|(f, l)| (round(&f.0).max(known), round(&l.0)));
        Ok(Self {
            store,
            retain: retain.into(),
            span: Mutex::new(span),
            writing: tokio::sync::Mutex::default(),
        })
    }

    /// Keeps how these rounds ended. After a gap the span begins anew.
    pub(super) async fn keep(&self, fresh: BTreeMap<u64, Ended>) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        let mut batch = Batch::default();
        let mut span = *lock(&self.span);
        for (round, ended) in &fresh {
            batch.put(TREE, round.to_be_bytes(), encode(ended));
            span = match span {
                Some((first, last)) if (first.saturating_sub(1)..=last + 1).contains(round) => {
                    Some((first.min(*round), last.max(*round)))
                }
                _ => {
                    batch.put(FIRST.0, FIRST.1, round.to_be_bytes());
                    Some((*round, *round))
                }
            };
        }
        if let Some((first, last)) = &mut span {
            let oldest = self.oldest(*last);
            *first = (*first).max(oldest);
            for (key, _) in self.store.scan(TREE, &[], DROP_AT_ONCE)? {
                if round(&key) < oldest {
                    batch.delete(TREE, &key);
                }
            }
        }
        self.store.commit(batch).await?;
        *lock(&self.span) = span;
        Ok(())
    }

    /// The first round that is retained when this is the last.
    fn oldest(&self, last: u64) -> u64 {
        (last + 1).saturating_sub(self.retain).max(1)
    }

    /// What is missing, if anything is. `last_digest` is that of the last final record of the log.
    pub(super) fn gap(&self, last_digest: RecordDigest) -> Result<Option<Gap>, StoreError> {
        let Some((first, last)) = *lock(&self.span) else { return Ok(None) };
        let down_to = self.oldest(last);
        if first <= down_to {
            return Ok(None);
        }
        let mut from = first;
        while from <= last {
            let rows = self.store.scan(TREE, &from.to_be_bytes(), LOOK_AT_ONCE)?;
            let Some((key, _)) = rows.last() else { break };
            from = round(key) + 1;
            let lowest = rows.iter().find_map(|(_, row)| match borsh::from_slice(row) {
                Ok(Ended::Final(signed)) => Some(signed.record.prev),
                _ => None,
            });
            if let Some(wanted) = lowest {
                return Ok(Some(Gap { below: first, down_to, wanted }));
            }
        }
        // Nothing in the span is final, so the last final record is below it.
        Ok(Some(Gap { below: first, down_to, wanted: last_digest }))
    }

    /// What is in the store of the `limit` rounds below the gap's upper end, from before the gap.
    pub(super) fn below(&self, gap: &Gap, limit: u32) -> Result<Vec<Ended>, StoreError> {
        let from = gap.below.saturating_sub(limit.into()).max(gap.down_to);
        let rows = self.store.scan(TREE, &from.to_be_bytes(), limit as usize)?;
        let older = rows.into_iter().filter(|(key, _)| round(key) < gap.below);
        Ok(older.filter_map(|(_, row)| borsh::from_slice(&row).ok()).collect())
    }

    /// Puts checked rounds below the span: ascending, the last one just below the gap's upper end. Nothing happens when
    /// the span has changed meanwhile.
    pub(super) async fn fill(&self, gap: &Gap, checked: Vec<Ended>) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        let Some(first) = checked.first().map(Ended::round) else { return Ok(()) };
        let span = *lock(&self.span);
        let Some((_, last)) = span.filter(|(first, _)| *first == gap.below) else { return Ok(()) };
        let mut batch = Batch::default();
        for ended in &checked {
            batch.put(TREE, ended.round().to_be_bytes(), encode(ended));
        }
        batch.put(FIRST.0, FIRST.1, first.to_be_bytes());
        self.store.commit(batch).await?;
        *lock(&self.span) = Some((first, last));
        Ok(())
    }

    /// A piece of it.
    pub(super) fn read(&self, call: &RecordsCall) -> Result<RecordsReply, StoreError> {
        let Some((earliest, latest)) = *lock(&self.span) else {
            return Ok(RecordsReply { earliest: 0, latest: 0, items: Vec::new() });
        };
        let from = call.from.max(earliest);
        let limit = call.limit.min(MAX_RECORDS) as usize;
        let mut bytes = 0;
        let rows = self.store.scan(TREE, &from.to_be_bytes(), limit)?;
        let fits = |row: &(Vec<u8>, Vec<u8>)| {
            bytes += row.1.len();
            bytes <= MAX_REPLY_BYTES
        };
        let items =
            rows.into_iter().take_while(fits).filter_map(|(_, v)| borsh::from_slice(&v).ok()).collect();
        Ok(RecordsReply { earliest, latest, items })
    }
}

fn round(key: &[u8]) -> u64 {
    key.try_into().map(u64::from_be_bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use zipnet_store::MemStore;

    use super::super::checked::check;
    use super::super::sample::chain;
    use super::*;

    fn kept(ended: &[Ended]) -> BTreeMap<u64, Ended> {
        ended.iter().map(|e| (e.round(), e.clone())).collect()
    }

    fn all(archive: &Archive) -> (u64, u64, Vec<Ended>) {
        let reply = archive.read(&RecordsCall { from: 0, limit: MAX_RECORDS }).unwrap();
        (reply.earliest, reply.latest, reply.items)
    }

    #[tokio::test]
    async fn a_gap_is_seen_filled_from_above_and_survives_a_restart_half_filled() {
        let chain = chain(40, &[5, 6, 20, 31]);
        let store = Arc::new(MemStore::new());
        let archive = Archive::open(store.clone(), 1_000).unwrap();
        archive.keep(kept(&chain.ended[..10])).await.unwrap();
        assert_eq!(archive.gap(chain.last_digest).unwrap(), None);
        // Away from round 11 to 30; the span begins with an abandoned round.
        archive.keep(kept(&chain.ended[30..])).await.unwrap();
        assert_eq!(all(&archive), (31, 40, chain.ended[30..].to_vec()), "readers see no gap");
        let gap = archive.gap(chain.last_digest).unwrap().unwrap();
        assert_eq!((gap.below, gap.down_to), (31, 1));
        assert_eq!(archive.below(&gap, 10).unwrap(), [], "nothing of 21 to 30 is here");
        let piece = check(&chain.descriptor, &gap, chain.ended[20..30].to_vec()).unwrap();
        archive.fill(&gap, piece.clone()).await.unwrap();
        assert_eq!(all(&archive).0, 21);
        archive.fill(&gap, piece).await.unwrap();
        assert_eq!(all(&archive).0, 21, "once more, late");
        let archive = Archive::open(store, 1_000).unwrap();
        assert_eq!(all(&archive), (21, 40, chain.ended[20..].to_vec()), "it is still one");
        let gap = archive.gap(chain.last_digest).unwrap().unwrap();
        let piece = check(&chain.descriptor, &gap, chain.ended[9..20].to_vec()).unwrap();
        archive.fill(&gap, piece).await.unwrap();
        // The rest was here all the time.
        let gap = archive.gap(chain.last_digest).unwrap().unwrap();
        let own = archive.below(&gap, 128).unwrap();
        archive.fill(&gap, check(&chain.descriptor, &gap, own).unwrap()).await.unwrap();
        assert_eq!(archive.gap(chain.last_digest).unwrap(), None);
        assert_eq!(all(&archive), (1, 40, chain.ended));
    }

    #[tokio::test]
    async fn no_more_is_kept_or_missed_than_is_retained() {
        let chain = chain(200, &[]);
        let archive = Archive::open(Arc::new(MemStore::new()), 50).unwrap();
        for ended in chain.ended.chunks(20) {
            archive.keep(kept(ended)).await.unwrap();
        }
        assert_eq!(all(&archive), (151, 200, chain.ended[150..].to_vec()));
        assert_eq!(archive.gap(chain.last_digest).unwrap(), None);
        let late = Archive::open(Arc::new(MemStore::new()), 50).unwrap();
        late.keep(kept(&chain.ended[180..])).await.unwrap();
        let gap = late.gap(chain.last_digest).unwrap().unwrap();
        assert_eq!((gap.below, gap.down_to), (181, 151));
        let piece = check(&chain.descriptor, &gap, chain.ended.clone()).unwrap();
        assert_eq!(piece, chain.ended[150..180], "not below what is retained");
        late.fill(&gap, piece).await.unwrap();
        assert_eq!(late.gap(chain.last_digest).unwrap(), None);
    }

    #[tokio::test]
    async fn a_span_without_a_final_round_hangs_on_the_log() {
        let abandoned: Vec<u64> = (8..=90).collect();
        let chain = chain(90, &abandoned);
        let archive = Archive::open(Arc::new(MemStore::new()), 1_000).unwrap();
        archive.keep(kept(&chain.ended[26..])).await.unwrap();
        let gap = archive.gap(chain.last_digest).unwrap().unwrap();
        assert_eq!(gap.wanted, chain.last_digest);
        let piece = check(&chain.descriptor, &gap, chain.ended[..26].to_vec()).unwrap();
        archive.fill(&gap, piece).await.unwrap();
        assert_eq!(all(&archive).2, chain.ended);
    }
}
