//! The store on disk.

mod disk;
mod folder;
mod layout;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Batch, Pair, Pending, Store, StoreError};
use disk::{Disk, RealDisk};
pub(crate) use folder::DATA;
use folder::Folder;
pub use folder::{FORMAT, QUARANTINE_MARKER};
use layout::Unreadable;
use writer::{Queue, Writer};

/// Bytes of disk that a write leaves free: sled behaves badly when the disk fills under it.
pub const RESERVE_BYTES: u64 = 16 * 1024 * 1024;

const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Key of the group number in the meta tree.
const SEQUENCE: &[u8] = b"sequence";
/// How long sled's threads of a just closed store may keep its file locked.
const LINGER: Duration = Duration::from_secs(5);

/// sled's two trees: ours, and one for the group number, apart so that it does not rewrite leaves full of data.
#[derive(Clone)]
struct Trees {
    data: sled::Tree,
    meta: sled::Tree,
}

/// A durable [`Store`] in a folder of its own. One process at a time; closed by dropping it, after all waiting batches
/// are written.
///
/// Opening reads everything once, so that damage is found then and not in the middle of a round.
pub struct SledStore {
    root: PathBuf,
    queue: Arc<Queue>,
    gate: Arc<RwLock<()>>,
    /// `None` only while dropping.
    open: Option<Open>,
}

struct Open {
    trees: Trees,
    db: sled::Db,
    writer: JoinHandle<()>,
    _folder: Folder,
}

impl SledStore {
    /// Opens the store in `dir`, creating it (folders 0700, files 0600) if there is none. Blocks; call it before the
    /// runtime is busy.
    ///
    /// # Errors
    /// [`StoreError::Locked`]; [`StoreError::TooNew`]; [`StoreError::Full`] or [`StoreError::Io`] from the disk;
    /// [`StoreError::Corrupt`] when the store is damaged: it is moved to `corrupt-<unix time>` in `dir`, and a
    /// marker keeps all later starts out until the operator has removed it.
    pub fn open(dir: &Path) -> Result<SledStore, StoreError> {
        SledStore::open_with(dir, |disk| Box::new(disk))
    }

    fn open_with(dir: &Path, disk: impl FnOnce(RealDisk) -> Box<dyn Disk>) -> Result<SledStore, StoreError> {
        let folder = Folder::lock(dir)?;
        let created = folder.format()?.is_some();
        let tip = folder.open_tip()?;
        let acknowledged = match (created, tip.read()) {
            (true, Some(number)) => number,
            (true, None) => return Err(folder.quarantine("the file tip is missing or malformed")),
            (false, None | Some(0)) => 0,
            (false, Some(_)) => return Err(folder.quarantine("the file FORMAT is missing")),
        };
        if created && !folder.data().join("db").exists() {
            return Err(folder.quarantine("the file db is missing"));
        }
        let opened = open_sled(&folder).and_then(|(db, trees)| {
            let sequence = verify(&folder, &trees)?;
            Ok((db, trees, sequence))
        });
        let (db, trees, sequence) = match opened {
            Ok(opened) => opened,
            Err(StoreError::Corrupt { detail, .. }) => return Err(folder.quarantine(&detail)),
            Err(error) => return Err(error),
        };
        if sequence < acknowledged {
            let lost = format!("it ends at group {sequence}, but group {acknowledged} was acknowledged");
            close(trees, db);
            return Err(folder.quarantine(&lost));
        }
        folder.settle()?;
        if !created {
            tip.write(0)?;
            tip.sync()?;
            folder.write_format()?;
        }
        let path = folder.data().join("db");
        let handle = std::fs::File::open(&path).map_err(StoreError::io("open", &path))?;
        let writer = Writer {
            root: dir.to_owned(),
            queue: Arc::default(),
            trees: trees.clone(),
            gate: Arc::default(),
            disk: disk(RealDisk { dir: folder.data(), db: handle }),
            tip,
            sequence,
        };
        let (queue, gate) = (writer.queue.clone(), writer.gate.clone());
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(StoreError::io("start the writer of", dir))?;
        let open = Some(Open { trees, db, writer, _folder: folder });
        Ok(SledStore { root: dir.to_owned(), queue, gate, open })
    }

    /// Runs a read, not in the middle of a batch; sled's panics on damaged pages become errors.
    fn read<T>(&self, read: impl FnOnce(&sled::Tree) -> Result<T, Unreadable>) -> Result<T, StoreError> {
        let tree = &self.open.as_ref().expect("invariant: open until dropped").trees.data;
        let _shared = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        catch_unwind(AssertUnwindSafe(|| read(tree)))
            .unwrap_or(Err(Unreadable::Malformed("sled panicked while reading")))
            .map_err(|error| unreadable(&self.root, error))
    }
}

impl Store for SledStore {
    fn get(&self, tree: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let head = layout::head(tree, key);
        self.read(|data| data.get(&head)?.map(|stored| layout::value(data, &head, &stored)).transpose())
    }

    fn scan(&self, tree: &str, from: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        let range = layout::head(tree, from)..layout::after(tree);
        let skip = layout::prefix(tree).len();
        self.read(|data| {
            let pair = |item: sled::Result<(sled::IVec, sled::IVec)>| {
                let (head, stored) = item?;
                Ok((head[skip..].to_vec(), layout::value(data, &head, &stored)?))
            };
            data.range(range).take(limit).map(pair).collect()
        })
    }

    fn last(&self, tree: &str) -> Result<Option<Pair>, StoreError> {
        let skip = layout::prefix(tree).len();
        self.read(|data| {
            let Some(item) = data.range(layout::prefix(tree)..layout::after(tree)).next_back() else {
                return Ok(None);
            };
            let (head, stored) = item?;
            Ok(Some((head[skip..].to_vec(), layout::value(data, &head, &stored)?)))
        })
    }

    fn commit(&self, batch: Batch) -> Pending {
        match batch.check() {
            Ok(()) => self.queue.push(batch),
            Err(error) => Pending::ready(Err(error)),
        }
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        self.queue.close();
        let Some(Open { trees, db, writer, _folder }) = self.open.take() else { return };
        if writer.join().is_err() {
            tracing::error!(store = %self.root.display(), "the store's writer panicked");
        }
        close(trees, db);
    }
}

/// Closes sled. Its own drop asserts that the last sync worked, which on a failed disk it does not.
fn close(trees: Trees, db: sled::Db) {
    if catch_unwind(AssertUnwindSafe(move || drop((trees, db)))).is_err() {
        tracing::error!("sled panicked while closing");
    }
}

fn open_sled(folder: &Folder) -> Result<(sled::Db, Trees), StoreError> {
    let config = sled::Config::new()
        .path(folder.data())
        .segment_size(layout::SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .use_compression(false)
        .flush_every_ms(None);
    let deadline = Instant::now() + LINGER;
    loop {
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let db = config.open()?;
            let trees = Trees { data: db.open_tree("data")?, meta: db.open_tree("meta")? };
            Ok((db, trees))
        }));
        match opened.unwrap_or(Err(sled::Error::ReportableBug("sled panicked while opening".to_owned()))) {
            Ok(opened) => return Ok(opened),
            // We hold LOCK, so this is sled's own thread that still closes, or somebody who does not know LOCK.
            Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => {
                if Instant::now() > deadline {
                    let holder = "a process that ignores the lock file".to_owned();
                    return Err(StoreError::Locked { dir: folder.root().to_owned(), holder });
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(unreadable(folder.root(), error.into())),
        }
    }
}

/// Reads everything, which checks every page's checksum, and returns the number of the last group.
fn verify(folder: &Folder, trees: &Trees) -> Result<u64, StoreError> {
    let read = || -> Result<u64, Unreadable> {
        for item in &trees.data {
            item?;
        }
        let Some(number) = trees.meta.get(SEQUENCE)? else { return Ok(0) };
        let number =
            number.as_ref().try_into().map_err(|_| Unreadable::Malformed("the group number is malformed"))?;
        Ok(u64::from_le_bytes(number))
    };
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or(Err(Unreadable::Malformed("sled panicked while reading")))
        .map_err(|error| unreadable(folder.root(), error))
}

/// Tells damage from a disk that refuses: only damage is worth moving the store aside.
fn unreadable(root: &Path, error: Unreadable) -> StoreError {
    let detail = match error {
        Unreadable::Malformed(what) => what.to_owned(),
        Unreadable::Sled(sled::Error::Io(error)) => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotFound => error.to_string(),
            _ => return StoreError::io("use", root)(error),
        },
        Unreadable::Sled(error) => error.to_string(),
    };
    StoreError::Corrupt { dir: root.to_owned(), quarantine: None, detail }
}
