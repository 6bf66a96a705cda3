//! The broadcast log as this server keeps and serves it: how each round ended, by round.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use zipnet_dcnet::signed::encode;
use zipnet_dcnet::wire::{Ended, MAX_RECORDS, RecordsCall, RecordsReply};
use zipnet_store::{Batch, Store, StoreError};

use super::lock;

const TREE: &str = "ended";
/// Most bytes of items in one reply.
const MAX_REPLY_BYTES: usize = 4 << 20;
/// Rounds dropped at once when they are beyond retention.
const DROP_AT_ONCE: usize = 64;

/// See the module.
pub(crate) struct Archive {
    store: Arc<dyn Store>,
    retain: u64,
    /// The first round from which on none is missing, and the last.
    span: Mutex<Option<(u64, u64)>>,
}

impl Archive {
    /// The archive in the store, which has no gaps.
    pub(super) fn open(store: Arc<dyn Store>, retain: u32) -> Result<Self, StoreError> {
        let first = store.scan(TREE, &[], 1)?;
        let last = store.last(TREE)?;
        let span = first.first().zip(last.as_ref()).map(|(f, l)| (round(&f.0), round(&l.0)));
        Ok(Self { store, retain: retain.into(), span: Mutex::new(span) })
    }

    /// Keeps how these rounds ended. Rounds before a gap, which a server has that was away for long, are dropped.
    pub(super) async fn keep(&self, fresh: BTreeMap<u64, Ended>) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let mut span = *lock(&self.span);
        for (round, ended) in &fresh {
            batch.put(TREE, round.to_be_bytes(), encode(ended));
            span = match span {
                Some((first, last)) if *round <= last + 1 => Some((first.min(*round), last.max(*round))),
                _ => Some((*round, *round)),
            };
        }
        if let Some((first, last)) = &mut span {
            *first = (*first).max((*last + 1).saturating_sub(self.retain));
            for (key, _) in self.store.scan(TREE, &[], DROP_AT_ONCE)? {
                if round(&key) < *first {
                    batch.delete(TREE, &key);
                }
            }
        }
        self.store.commit(batch).await?;
        *lock(&self.span) = span;
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
