//! Vote and entries in the store, as openraft wants them.

// openraft's error is what its traits ask for.
#![allow(clippy::result_large_err)]

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{ErrorSubject, ErrorVerb, OptionalSend, RaftLogReader};
use zipnet_store::Batch;

use super::error::LogError;
use super::shared::{BATCH_BYTES, LOG, Shared, failed};
use super::types::{Entry, LogId, StorageError, Types, Vote, decode, encode};
use super::{APPEND_BYTES, APPEND_ENTRIES};

/// Purged entries removed in one batch.
const REMOVE_ENTRIES: u64 = 8;

/// The ends of the log.
struct Ends {
    purged: Option<LogId>,
    /// The last entry; `purged` when there is none.
    last: Option<LogId>,
    /// Purged entries that may still be in the store: `remove_from..remove_to`.
    remove_from: u64,
    remove_to: u64,
    /// Whether a task is removing them.
    removing: bool,
}

/// Both the log and openraft's readers of it: clones share everything.
#[derive(Clone)]
pub(super) struct LogStore {
    shared: Arc<Shared>,
    ends: Arc<Mutex<Ends>>,
}

impl LogStore {
    pub(super) fn open(shared: Arc<Shared>) -> Result<LogStore, LogError> {
        let purged: Option<LogId> = shared.state("purged")?;
        let first = shared.store.scan(LOG, &[], 1)?.pop().map(|(key, _)| index(&key)).transpose()?;
        let last = match shared.store.last(LOG)? {
            Some((_, bytes)) => Some(decode::<Entry>(&bytes).map_err(LogError::Malformed)?.log_id),
            None => None,
        };
        let ends = Ends {
            purged,
            last: last.max(purged),
            remove_from: first.unwrap_or(0),
            remove_to: next(purged.min(last).as_ref()),
            removing: false,
        };
        Ok(LogStore { shared, ends: Arc::new(Mutex::new(ends)) })
    }

    /// Removes purged entries in the background, a few at a time: hundreds of long ones at once take a second or
    /// two, in which this member would answer no heartbeat.
    pub(super) fn remove_purged(&self) {
        if std::mem::replace(&mut self.ends().removing, true) {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            while let Some((from, to)) = this.next_removal() {
                let mut batch = Batch::new();
                for index in from..to {
                    batch.delete(LOG, index.to_be_bytes());
                }
                if let Err(error) = this.shared.store.commit(batch).await {
                    // Where it matters, the next write of the log fails too. These entries go after a restart.
                    tracing::warn!(%error, "purged entries of the log stay in the store");
                    return;
                }
                this.ends().remove_from = to;
            }
        });
    }

    fn next_removal(&self) -> Option<(u64, u64)> {
        let mut ends = self.ends();
        ends.removing = ends.remove_from < ends.remove_to && !self.shared.is_closing();
        ends.removing.then(|| (ends.remove_from, ends.remove_to.min(ends.remove_from + REMOVE_ENTRIES)))
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, index: u64) -> Result<Option<Entry>, StorageError> {
        let bytes = self
            .shared
            .store
            .get(LOG, &index.to_be_bytes())
            .map_err(|error| failed(ErrorSubject::LogIndex(index), ErrorVerb::Read, &error))?;
        bytes.map(|bytes| parse(index, &bytes)).transpose()
    }
}

fn index(key: &[u8]) -> Result<u64, LogError> {
    let key =
        key.try_into().map_err(|_| LogError::Malformed(format!("{LOG} has a key of {} bytes", key.len())))?;
    Ok(u64::from_be_bytes(key))
}

/// The index after an entry's.
fn next(id: Option<&LogId>) -> u64 {
    id.map_or(0, |id| id.index + 1)
}

fn parse(index: u64, bytes: &[u8]) -> Result<Entry, StorageError> {
    let malformed = |text| {
        failed(
            ErrorSubject::LogIndex(index),
            ErrorVerb::Read,
            &LogError::Malformed(format!("entry {index}: {text}")),
        )
    };
    decode(bytes).map_err(malformed)
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let (first, end) = {
            let ends = self.ends();
            (next(ends.purged.as_ref()), next(ends.last.as_ref()))
        };
        let start = match range.start_bound() {
            Bound::Included(&start) => start.max(first),
            Bound::Excluded(&start) => (start + 1).max(first),
            Bound::Unbounded => first,
        };
        let end = match range.end_bound() {
            Bound::Included(&to) => end.min(to + 1),
            Bound::Excluded(&to) => end.min(to),
            Bound::Unbounded => end,
        };
        // openraft asks for 64 entries at a time, or for those just committed.
        (start..end).filter_map(|index| self.entry(index).transpose()).collect()
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        for index in start..end.min(start + APPEND_ENTRIES) {
            let Some(encoded) = self
                .shared
                .store
                .get(LOG, &index.to_be_bytes())
                .map_err(|error| failed(ErrorSubject::LogIndex(index), ErrorVerb::Read, &error))?
            else {
                break;
            };
            bytes += encoded.len();
            if bytes > APPEND_BYTES && !entries.is_empty() {
                break;
            }
            entries.push(parse(index, &encoded)?);
        }
        Ok(entries)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let ends = self.ends();
        Ok(LogState { last_purged_log_id: ends.purged, last_log_id: ends.last })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        self.shared.set_state("vote", vote).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        self.shared.state("vote").map_err(|error| failed(ErrorSubject::Vote, ErrorVerb::Read, &error))
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.shared.set_state("committed", &committed).await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        let committed = self.shared.state::<Option<LogId>>("committed");
        Ok(committed.map_err(|error| failed(ErrorSubject::Store, ErrorVerb::Read, &error))?.flatten())
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let write_failed = |error| failed(ErrorSubject::Logs, ErrorVerb::Write, &error);
        let mut batch = Batch::new();
        let mut last = None;
        for entry in entries {
            if batch.bytes() >= BATCH_BYTES {
                // In order, so a crash leaves a prefix of the entries, never a hole.
                self.shared.store.commit(std::mem::take(&mut batch)).await.map_err(write_failed)?;
            }
            batch.put(LOG, entry.log_id.index.to_be_bytes(), encode(&entry));
            last = Some(entry.log_id);
        }
        self.shared.store.commit(batch).await.map_err(write_failed)?;
        if last.is_some() {
            self.ends().last = last;
        }
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, from: LogId) -> Result<(), StorageError> {
        let (purged, last) = {
            let ends = self.ends();
            (ends.purged, ends.last)
        };
        let Some(end) = last.filter(|last| last.index >= from.index) else { return Ok(()) };
        let before = match from.index.checked_sub(1) {
            Some(index) => self.entry(index)?.map(|entry| entry.log_id).or(purged),
            None => None,
        };
        let mut batch = Batch::new();
        for index in from.index..=end.index {
            batch.delete(LOG, index.to_be_bytes());
        }
        let done = self.shared.store.commit(batch).await;
        done.map_err(|error| failed(ErrorSubject::Logs, ErrorVerb::Delete, &error))?;
        self.ends().last = before;
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        self.shared.set_state("purged", &upto).await?;
        {
            let mut ends = self.ends();
            // A snapshot may be ahead of the whole log: then everything goes, and the log continues behind the snapshot.
            ends.remove_to = ends.remove_to.max(next(ends.last.min(Some(upto)).as_ref()));
            ends.purged = Some(upto);
            ends.last = ends.last.max(Some(upto));
        }
        self.remove_purged();
        Ok(())
    }
}
