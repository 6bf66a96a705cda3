//! How much room there is: measured beside the core, when somebody asks, and not more often than is useful.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use zipnet_store::Store;

/// A measurement is good for this long.
const GOOD: Duration = Duration::from_secs(30);
/// Files that are looked at, at most.
const MAX_FILES: usize = 10_000;

/// What was measured; `None`: unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes of the state folder, or of what a store of a fixed size holds.
    pub(super) store: Option<u64>,
    /// Bytes that its file system, or that store, still takes from this user.
    pub(super) free: Option<u64>,
}

/// See the module.
pub(super) struct Disk {
    /// May know by itself.
    store: Arc<dyn Store>,
    dir: PathBuf,
    seen: Arc<Mutex<Room>>,
    measured: Option<(Instant, JoinHandle<()>)>,
}

impl Disk {
    pub(super) fn new(store: Arc<dyn Store>, dir: PathBuf) -> Self {
        Self { store, dir, seen: Arc::default(), measured: None }
    }

    /// What was measured last. Starts the next measurement, in a thread of its own, when that is due; does not wait.
    pub(super) fn room(&mut self) -> Room {
        if let Some(room) = self.store.room() {
            return Room { store: Some(room.used), free: Some(room.free) };
        }
        // Before: the next measurement may be quick, and what is told must not depend on that.
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let good = |(at, task): &(Instant, JoinHandle<()>)| at.elapsed() < GOOD || !task.is_finished();
        if !self.measured.as_ref().is_some_and(good) {
            let (dir, seen) = (self.dir.clone(), self.seen.clone());
            let task = tokio::task::spawn_blocking(move || {
                let room = measure(&dir);
                *seen.lock().unwrap_or_else(PoisonError::into_inner) = room;
            });
            self.measured = Some((Instant::now(), task));
        }
        seen
    }
}

// The numbers are as wide as the platform's: here as wide as ours, elsewhere not.
#[allow(clippy::useless_conversion)]
fn measure(dir: &Path) -> Room {
    let free = statvfs(dir)
        .ok()
        .map(|fs| u64::from(fs.blocks_available()).saturating_mul(u64::from(fs.fragment_size())));
    Room { store: size(dir), free }
}

/// Bytes of all files below a folder; `None` when that cannot be said.
fn size(dir: &Path) -> Option<u64> {
    let (mut bytes, mut files) = (0, 0);
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).ok()? {
            files += 1;
            // Files come and go while this looks.
            let Ok(entry) = entry else { continue };
            let Ok(meta) = entry.metadata() else { continue };
            if files > MAX_FILES {
                return None;
            }
            if meta.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += meta.len();
            }
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use zipnet_store::{MemStore, SealedStore, allocate};

    use super::*;

    #[tokio::test]
    async fn a_store_of_a_fixed_size_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealed");
        allocate(&path, 1 << 20).unwrap();
        let store = SealedStore::open(&path, &[1; 32].into(), GOOD, Box::new(|| [1; 16])).unwrap();
        let room = store.room().unwrap();
        let mut disk = Disk::new(Arc::new(store), dir.path().to_owned());
        assert_eq!(disk.room(), Room { store: Some(0), free: Some(room.free) });
        assert!(room.free < 1 << 19);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_measured_beside_and_not_at_every_question() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/b"), [0; 1_000]).unwrap();
        let mut disk = Disk::new(Arc::new(MemStore::new()), dir.path().to_owned());
        assert_eq!(disk.room(), Room::default(), "nobody waits for it");
        (&mut disk.measured.as_mut().unwrap().1).await.unwrap();
        let room = disk.room();
        assert_eq!(room.store, Some(1_000));
        assert!(room.free.is_some_and(|free| free > 0));
        fs::write(dir.path().join("c"), [0; 24]).unwrap();
        assert_eq!(disk.room().store, Some(1_000));
        tokio::time::advance(GOOD).await;
        assert_eq!(disk.room().store, Some(1_000), "the next one has only begun");
        (&mut disk.measured.as_mut().unwrap().1).await.unwrap();
        assert_eq!(disk.room().store, Some(1_024));
    }

    #[test]
    fn a_folder_that_is_not_there_is_unknown() {
        assert_eq!(measure(Path::new("/no such folder")), Room::default());
    }
}
