//! The sealed store: for disks that somebody else reads, keeps copies of, and watches.
//!
//! - **Nothing to read**: all that is written is encrypted and authenticated, in its place and order.
//! - **Nothing to watch**: one frame of one length at each beat, with or without anything in it, and a snapshot of one length
//!   whenever a half is full. When, where and how much is written says nothing about what. So a commit waits for the next beat.
//! - **Not against an old copy** of all of it: who puts one back gets what was there then. Parts of different times do not open.
//!
//! Everything is in memory, too; the medium is read at the start only, and then written anew: half, salt, epoch.

mod entry;
mod frame;
mod layout;
mod medium;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::{Batch, Pair, Pending, Room, Store, StoreError};
use frame::{Cipher, Name};
pub use frame::{FRAME_BYTES, SEALED_FORMAT};
use layout::Layout;
pub use layout::{MAX_SEALED_BYTES, MIN_SEALED_BYTES, SEALED_FROM};
pub use medium::allocate;
use medium::{Medium, RealMedium};
use writer::{State, Writer};

/// From one beat to the next.
pub const BEAT: Duration = Duration::from_millis(250);
/// What a new file has, in bytes: room for all that a daemon remembers.
pub const SEALED_BYTES: u64 = 256 * 1024 * 1024;

/// Gives a salt: 16 random bytes, new ones each time.
pub type Salts = Box<dyn FnMut() -> [u8; 16] + Send>;

/// A durable, sealed [`Store`] in a file or block device of a fixed size. One process at a time; closed by dropping it, after
/// all waiting batches are written.
pub struct SealedStore {
    path: PathBuf,
    state: Arc<State>,
    capacity: usize,
    writer: Option<JoinHandle<()>>,
}

impl SealedStore {
    /// Opens the store, or begins one where there are only zeros. The first [`SEALED_FROM`] bytes are left alone, what is
    /// beyond [`MAX_SEALED_BYTES`], too. Blocks: everything is read and written once. `beat`: [`BEAT`].
    ///
    /// # Errors
    /// [`StoreError::Locked`]; [`StoreError::TooNew`]; [`StoreError::Sealed`] when it is too small, damaged, or sealed with
    /// another key: it stays as it is; [`StoreError::Io`] from the disk.
    pub fn open(
        path: &Path,
        key: &Zeroizing<[u8; 32]>,
        beat: Duration,
        salts: Salts,
    ) -> Result<Self, StoreError> {
        let medium = RealMedium::open(path)?;
        let len = medium.len;
        Self::on(Box::new(medium), len, path, key, beat, salts)
    }

    fn on(
        medium: Box<dyn Medium>,
        len: u64,
        path: &Path,
        key: &Zeroizing<[u8; 32]>,
        beat: Duration,
        mut salts: Salts,
    ) -> Result<Self, StoreError> {
        let layout = Layout::of(len).ok_or_else(|| StoreError::Sealed {
            path: path.to_owned(),
            problem: format!("has {len} bytes, and {MIN_SEALED_BYTES} are the least"),
        })?;
        let cipher = Cipher::new(key);
        let loaded = layout::load(&*medium, layout, &cipher).map_err(|unusable| unusable.of(path))?;
        let (trees, half, epoch) = match loaded {
            Some(loaded) => (loaded.trees, 1 - loaded.half, loaded.epoch + 1),
            None => (entry::Trees::default(), 0, 1),
        };
        // What was not finished, if anything, stays behind in the other half: its places are never written again under one salt.
        let first = Name { salt: salts(), epoch, index: 0 };
        layout::begin(&*medium, layout, &cipher, half, first, &entry::snapshot(&trees))
            .map_err(StoreError::io("write", path))?;
        let capacity = layout.capacity();
        let state = Arc::new(State::new(trees));
        let next = Name { index: layout.snapshot, ..first };
        let writer = Writer {
            path: path.to_owned(),
            state: state.clone(),
            medium,
            layout,
            cipher,
            half,
            next,
            beat,
            salts,
        };
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(StoreError::io("start the writer of", path))?;
        Ok(Self { path: path.to_owned(), state, capacity, writer: Some(writer) })
    }
}

impl Store for SealedStore {
    fn get(&self, tree: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state.read(|trees| Some(trees.get(tree)?.get(key)?.to_vec())))
    }

    fn scan(&self, tree: &str, from: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        Ok(self.state.read(|trees| {
            let pairs = trees.get(tree).map(|tree| tree.range(from.to_vec()..)).into_iter().flatten();
            pairs.take(limit).map(|(key, value)| (key.clone(), value.to_vec())).collect()
        }))
    }

    fn last(&self, tree: &str) -> Result<Option<Pair>, StoreError> {
        Ok(self.state.read(|trees| {
            let (key, value) = trees.get(tree)?.last_key_value()?;
            Some((key.clone(), value.to_vec()))
        }))
    }

    fn commit(&self, batch: Batch) -> Pending {
        match batch.check() {
            Ok(()) => self.state.push(batch, self.capacity, &self.path),
            Err(error) => Pending::ready(Err(error)),
        }
    }

    fn behind(&self) -> bool {
        self.state.waiting() > frame::ROOM
    }

    fn room(&self) -> Option<Room> {
        let used = self.state.used();
        Some(Room { used: used as u64, free: self.capacity.saturating_sub(used) as u64 })
    }
}

impl Drop for SealedStore {
    fn drop(&mut self) {
        self.state.close();
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!(store = %self.path.display(), "the store's writer panicked");
        }
    }
}
