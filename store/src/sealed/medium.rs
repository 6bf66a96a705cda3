//! What a sealed store is written to, as a trait so that tests can watch it, tear it and cut its power.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::posix_fallocate;

use crate::StoreError;

pub(crate) trait Medium: Send {
    /// Fills `bytes` from there.
    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;
    /// Writes all of it there.
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Returns when everything that was written is on the medium.
    fn sync(&self) -> io::Result<()>;
}

/// A file, or a block device. Locked while it is open.
pub(crate) struct RealMedium {
    file: File,
    /// In bytes.
    pub(crate) len: u64,
}

impl RealMedium {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let mut file = file.map_err(StoreError::io("open", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = "another process".to_owned();
                return Err(StoreError::Locked { dir: path.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path)(error)),
        }
        // A device has no length in its metadata.
        let len = file.seek(SeekFrom::End(0)).map_err(StoreError::io("measure", path))?;
        Ok(Self { file, len })
    }
}

impl Medium for RealMedium {
    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }

    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Makes a file of zeros that has its room on the disk: a write into it later finds no full disk.
///
/// # Errors
/// [`StoreError::Full`] or [`StoreError::Io`]; then there is no file.
pub fn allocate(path: &Path, bytes: u64) -> Result<(), StoreError> {
    let failed = StoreError::io("make", path);
    let mut temporary = path.to_owned().into_os_string();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let made = make(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    let made = made.and_then(|()| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    });
    made.map_err(|error| {
        // What is left of it would keep the disk full.
        let _ = std::fs::remove_file(&temporary);
        failed(error)
    })
}

fn make(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let bytes = i64::try_from(bytes).map_err(io::Error::other)?;
    posix_fallocate(&file, 0, bytes)?;
    file.sync_all()
}
