//! What can go wrong with a store. Every variant can be shown to an operator as it is.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a store did not open, read or write. `Clone`, because one failure answers every batch of a group.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// Another process (or another handle in this one) has the store open.
    #[error("the store {} is in use by {holder}", dir.display())]
    Locked {
        /// The store's folder.
        dir: PathBuf,
        /// Who holds it, as far as the lock file tells: `process 1234`.
        holder: String,
    },
    /// The store does not hold what was written to it.
    #[error("the store {} is damaged: {detail}{}", dir.display(), quarantine_hint(dir, quarantine.as_ref()))]
    Corrupt {
        /// The store's folder.
        dir: PathBuf,
        /// Where the damaged files are now. `None` when the damage was met while reading an open store.
        quarantine: Option<PathBuf>,
        /// What did not fit.
        detail: String,
    },
    /// A sealed store that cannot be opened. It stays as it is.
    #[error(
        "the sealed store {} {problem}. Put a backup there, or accept the loss of what it held: remove the file, or write zeros \
         over the device from byte {} on",
        path.display(), crate::SEALED_FROM
    )]
    Sealed {
        /// Its file or device.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The disk is full, or so nearly that writing would be a risk. What was acknowledged before is kept.
    #[error("the disk of the store {} is full: {free} bytes free, {needed} needed with the reserve", dir.display())]
    Full {
        /// The store's folder.
        dir: PathBuf,
        /// Bytes available to us.
        free: u64,
        /// Bytes the write needs, the reserve included.
        needed: u64,
    },
    /// A later version of the program has written this store.
    #[error(
        "the store {} has format {found}; this version knows formats up to {known}. Run the version that wrote it, or \
         a newer one",
        dir.display()
    )]
    TooNew {
        /// The store's folder.
        dir: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// A key, value, tree name or batch beyond its limit. Nothing was written; the store goes on.
    #[error("a {what} of {len} bytes is over the limit of {max}")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A tree name that is empty or holds a NUL. Nothing was written; the store goes on.
    #[error("{name:?} is no tree name: it must be neither empty nor hold a NUL")]
    TreeName {
        /// The name given.
        name: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {detail}", path.display())]
    Io {
        /// What was being done, as in `cannot {action} PATH`.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's words.
        detail: String,
    },
}

fn quarantine_hint(dir: &std::path::Path, quarantine: Option<&PathBuf>) -> String {
    quarantine.map_or_else(
        || ". Stop and start again: the start examines it and moves it aside".to_owned(),
        |at| {
            format!(
                ". It is kept in {}. Nothing starts on an empty store by itself: put a backup at {}, or accept the loss; \
                 then remove {}",
                at.display(),
                dir.join(crate::sled_store::DATA).display(),
                dir.join(crate::sled_store::QUARANTINE_MARKER).display()
            )
        },
    )
}

impl StoreError {
    /// For `map_err`: an I/O error with what was attempted, on what.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.into();
        move |error| match error.kind() {
            // The true figures are not known here; the statvfs check before each write gives them.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::Full { dir: path, free: 0, needed: crate::RESERVE_BYTES }
            }
            _ => StoreError::Io { action, path, detail: error.to_string() },
        }
    }
}
