//! The store as all parts of one log share it: the names of its trees and keys, and errors in openraft's words.
//!
//! ```text
//! raft           "members"    the members, 32 bytes each
//!                "vote"       the last vote
//!                "committed"  id of the last entry known to be committed
//!                "purged"     id of the last entry removed behind a snapshot
//!                "snapshot"   where the current snapshot is (see `snapshots`)
//! raft.log       index, u64 BE                          → the entry
//! raft.snapshot  generation, u64 BE ‖ part, u32 BE      → that part
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openraft::{AnyError, ErrorSubject, ErrorVerb, StorageIOError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zipnet_store::{Batch, Store};

use super::error::LogError;
use super::types::{StorageError, decode, encode};

pub(super) const STATE: &str = "raft";
pub(super) const LOG: &str = "raft.log";
pub(super) const SNAPSHOT: &str = "raft.snapshot";

/// A batch that reaches this is committed and continued in another: others' writes wait for at most one such piece.
pub(super) const BATCH_BYTES: usize = 1024 * 1024;

/// The store. All parts hold this and not the store itself, so that `Log::shutdown` can tell when the last of them has
/// let go.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    /// Set when the log shuts down: what works in the background then stops at the next good place.
    ///
    /// Declared behind the store, so dropped after it: once this is gone the store is closed, if it was ours alone.
    pub(super) closing: Arc<AtomicBool>,
}

impl Shared {
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    pub(super) fn state<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, LogError> {
        let Some(bytes) = self.store.get(STATE, key.as_bytes())? else { return Ok(None) };
        decode(&bytes).map(Some).map_err(|error| LogError::Malformed(format!("{STATE}/{key}: {error}")))
    }

    pub(super) async fn set_state(&self, key: &str, value: &impl Serialize) -> Result<(), StorageError> {
        let mut batch = Batch::new();
        batch.put(STATE, key, encode(value));
        self.store.commit(batch).await.map_err(|error| failed(ErrorSubject::Store, ErrorVerb::Write, &error))
    }
}

/// A failure of the store stops openraft for good, which is right: the store stays poisoned until a restart.
pub(super) fn failed(
    subject: ErrorSubject<u64>,
    verb: ErrorVerb,
    error: &(impl std::error::Error + 'static),
) -> StorageError {
    StorageIOError::new(subject, verb, AnyError::new(error)).into()
}
