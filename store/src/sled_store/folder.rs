//! The folder around sled: who may use it, which format it has, what was synced last, and what happens to damage.
//!
//! ```text
//! <dir>/LOCK          flock'ed while open; holds the holder's process id
//! <dir>/QUARANTINED   only after damage: where the damaged files are; no open while it exists
//! <dir>/data/         everything that moves together: sled's files (db, conf, snap.*, blobs/), and
//! <dir>/data/FORMAT   the format number; written last at creation, so its absence means "never finished"
//! <dir>/data/tip      the number of the last group that was acknowledged (see `Tip`)
//! ```

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::StoreError;

/// The newest format this version writes and reads.
pub const FORMAT: u32 = 1;
/// Name of the file that keeps a damaged store from being started as an empty one.
pub const QUARANTINE_MARKER: &str = "QUARANTINED";
/// Name of the folder with everything that is moved aside after damage.
pub(crate) const DATA: &str = "data";

const LOCK: &str = "LOCK";
const FORMAT_FILE: &str = "FORMAT";
const TIP_FILE: &str = "tip";

/// The locked folder of a store. Dropping it releases the lock.
pub(crate) struct Folder {
    root: PathBuf,
    /// Holds the flock; never read again.
    _lock: File,
}

impl Folder {
    /// Creates the folder if need be, locks it, and refuses while a quarantine is unresolved.
    pub(crate) fn lock(root: &Path) -> Result<Folder, StoreError> {
        private_dir(root)?;
        let path = root.join(LOCK);
        let mut lock = private_file(&path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { dir: root.to_owned(), holder: holder(&mut lock) });
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path)(error)),
        }
        lock.set_len(0)
            .and_then(|()| lock.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(lock, "{}", std::process::id()))
            .map_err(StoreError::io("write", path))?;
        let folder = Folder { root: root.to_owned(), _lock: lock };
        folder.refuse_quarantined()?;
        private_dir(&folder.data())?;
        Ok(folder)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.join(DATA)
    }

    /// The format number, `None` for a store that was never completely created.
    pub(crate) fn format(&self) -> Result<Option<u32>, StoreError> {
        let path = self.data().join(FORMAT_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse::<u32>() {
                Ok(found) if found > FORMAT => {
                    Err(StoreError::TooNew { dir: self.root.clone(), found, known: FORMAT })
                }
                Ok(found) => Ok(Some(found)),
                Err(_) => {
                    Err(self.quarantine(&format!("{FORMAT_FILE} says {text:?}, which is no format number")))
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(self.quarantine(&format!("{FORMAT_FILE} is not text")))
            }
            Err(error) => Err(StoreError::io("read", path)(error)),
        }
    }

    /// Ends the creation: from here on a store without its data is damage, not a first start.
    pub(crate) fn write_format(&self) -> Result<(), StoreError> {
        let path = self.data().join(FORMAT_FILE);
        let mut file = private_file(&path)?;
        writeln!(file, "{FORMAT}").and_then(|()| file.sync_all()).map_err(StoreError::io("write", &path))?;
        self.sync_names()
    }

    /// Makes file names durable, and the files private that sled made with the process's umask.
    pub(crate) fn settle(&self) -> Result<(), StoreError> {
        let data = self.data();
        for entry in std::fs::read_dir(&data).map_err(StoreError::io("list", &data))? {
            let path = entry.map_err(StoreError::io("list", &data))?.path();
            let mode = if path.is_dir() { 0o700 } else { 0o600 };
            std::fs::set_permissions(&path, Permissions::from_mode(mode))
                .map_err(StoreError::io("set the mode of", &path))?;
            sync_path(&path)?;
        }
        self.sync_names()
    }

    fn sync_names(&self) -> Result<(), StoreError> {
        sync_path(&self.data())?;
        sync_path(&self.root)
    }

    pub(crate) fn open_tip(&self) -> Result<Tip, StoreError> {
        let path = self.data().join(TIP_FILE);
        Ok(Tip { file: private_file(&path)?, path })
    }

    /// Moves the data aside and leaves the marker. The marker comes first: a crash in between must not end in an empty
    /// store.
    pub(crate) fn quarantine(&self, detail: &str) -> StoreError {
        let mut time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut aside = self.root.join(format!("corrupt-{time}"));
        while aside.exists() {
            time += 1;
            aside = self.root.join(format!("corrupt-{time}"));
        }
        let moved = self.leave_marker(&aside, detail).and_then(|()| {
            std::fs::rename(self.data(), &aside).map_err(StoreError::io("move aside", self.data()))?;
            sync_path(&self.root)
        });
        match moved {
            Ok(()) => {
                tracing::error!(store = %self.root.display(), moved_to = %aside.display(), detail, "store damaged");
                StoreError::Corrupt {
                    dir: self.root.clone(),
                    quarantine: Some(aside),
                    detail: detail.to_owned(),
                }
            }
            Err(error) => StoreError::Corrupt {
                dir: self.root.clone(),
                quarantine: Some(self.data()),
                detail: format!("{detail}; moving it aside failed too: {error}"),
            },
        }
    }

    fn leave_marker(&self, aside: &Path, detail: &str) -> Result<(), StoreError> {
        let path = self.root.join(QUARANTINE_MARKER);
        let mut file = private_file(&path)?;
        writeln!(file, "{}\n{detail}", aside.display())
            .and_then(|()| file.sync_all())
            .map_err(StoreError::io("write", &path))?;
        sync_path(&self.root)
    }

    fn refuse_quarantined(&self) -> Result<(), StoreError> {
        let path = self.root.join(QUARANTINE_MARKER);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreError::io("read", path)(error)),
        };
        let (aside, detail) = text.split_once('\n').unwrap_or((&text, ""));
        let aside = PathBuf::from(aside);
        Err(StoreError::Corrupt {
            dir: self.root.clone(),
            quarantine: Some(if aside.exists() { aside } else { self.data() }),
            detail: format!("an earlier start found: {}", detail.trim()),
        })
    }
}

/// The number of the last acknowledged group, in a file of its own.
///
/// sled takes any record it cannot read for the torn end of its log and silently drops what follows. So each group
/// has a number that sled stores behind the group's data, and this file learns it after the group's fdatasync. A
/// store that comes back with a smaller number has lost acknowledged data. The file itself is not synced: after a
/// power loss it may be old, and then finds less, but it is never ahead of the data.
pub(crate) struct Tip {
    file: File,
    path: PathBuf,
}

impl Tip {
    /// `None` when the file is new or not as [`Tip::write`] leaves it.
    pub(crate) fn read(&self) -> Option<u64> {
        let mut bytes = [0; 16];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        let (number, check) = bytes.split_at(8);
        let number = u64::from_le_bytes(number.try_into().ok()?);
        (u64::from_le_bytes(check.try_into().ok()?) == !number).then_some(number)
    }

    pub(crate) fn write(&self, number: u64) -> Result<(), StoreError> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        bytes[8..].copy_from_slice(&(!number).to_le_bytes());
        self.file.write_all_at(&bytes, 0).map_err(StoreError::io("write", &self.path))
    }

    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_all().map_err(StoreError::io("sync", &self.path))
    }
}

fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    let read = lock.take(32).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) if pid == std::process::id() => format!("process {pid} (this one)"),
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "an unknown process".to_owned(),
    }
}

fn private_dir(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StoreError::io("create", path))?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
        .map_err(StoreError::io("set the mode of", path))
}

fn private_file(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(StoreError::io("open", path))
}

fn sync_path(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::io("sync", path))
}
