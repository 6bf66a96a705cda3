//! Durable storage of the daemon and of the committee's servers.
//!
//! One rule (docs/architecture.md, "sled 0.34.7"): what [`Store::commit`] acknowledged survives SIGKILL and power
//! loss. A [`Batch`] is atomic, over several trees too; its [`Pending`] resolves only when the batch is on the disk.
//!
//! - [`SledStore`]: on disk. One writer thread commits in groups: it takes what is waiting, applies it, flushes,
//!   calls `fdatasync` once, and only then acknowledges all of it.
//! - [`SealedStore`]: for disks that somebody else reads and watches: encrypted, in one file or block device, written at an even beat.
//! - [`MemStore`]: their twin in memory for crash tests; [`MemStore::crash`] leaves only what was synced.
//!
//! Batches take effect in the order of the calls to `commit`. Readers see a batch from the moment it is applied,
//! which may be before it is durable: whoever promises something to somebody waits for the `Pending` first.

mod batch;
mod error;
mod mem;
mod pending;
mod sealed;
mod sled_store;

pub use batch::{Batch, MAX_BATCH_BYTES, MAX_KEY_BYTES, MAX_TREE_BYTES, MAX_VALUE_BYTES};
pub use error::StoreError;
pub use mem::MemStore;
pub use pending::Pending;
pub use sealed::{
    BEAT, FRAME_BYTES, MAX_SEALED_BYTES, MIN_SEALED_BYTES, SEALED_BYTES, SEALED_FORMAT, SEALED_FROM, Salts,
    SealedStore, allocate,
};
pub use sled_store::{FORMAT, QUARANTINE_MARKER, RESERVE_BYTES, SledStore};

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// How full a store of a fixed size is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What it holds.
    pub used: u64,
    /// What it still takes.
    pub free: u64,
}

/// A set of named, ordered maps from bytes to bytes ("trees"), written in atomic batches.
///
/// A tree exists as soon as something is put into it. Keys are ordered as byte strings.
pub trait Store: Send + Sync {
    /// The value of `key` in `tree`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Io`] when the disk does not give back what was written.
    fn get(&self, tree: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The first `limit` pairs of `tree` with a key ≥ `from`, ascending. The caller bounds the memory by `limit`;
    /// a pair is at most [`MAX_KEY_BYTES`] + [`MAX_VALUE_BYTES`].
    ///
    /// # Errors
    /// As [`Store::get`].
    fn scan(&self, tree: &str, from: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError>;

    /// The pair with the greatest key of `tree`.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn last(&self, tree: &str) -> Result<Option<Pair>, StoreError>;

    /// Hands a batch to the writer. The queue is bounded: while it is full the call waits, for as long as the disk
    /// needs for a group.
    ///
    /// The write happens whether or not the [`Pending`] is awaited; dropping it only gives up the answer.
    fn commit(&self, batch: Batch) -> Pending;

    /// Whether more waits to be written than goes out at once: whoever can, lets new work wait, so that what cannot wait is not
    /// behind it. Only for a store that is written at a beat of its own.
    fn behind(&self) -> bool {
        false
    }

    /// Of a store of a fixed size; none for one that has as much as its file system gives it.
    fn room(&self) -> Option<Room> {
        None
    }
}
