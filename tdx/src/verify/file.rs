//! Policy and collateral as files: read whole, up to the longest that can be one.

use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Collateral, MAX_COLLATERAL_BYTES, MAX_POLICY_BYTES, Policy};

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

impl Policy {
    /// The policy in a file.
    ///
    /// # Errors
    /// [`FileError`]: it cannot be read, or is none.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        load(path, MAX_POLICY_BYTES, Self::parse)
    }
}

impl Collateral {
    /// The collateral in a file.
    ///
    /// # Errors
    /// [`FileError`]: it cannot be read, or is none.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        load(path, MAX_COLLATERAL_BYTES, Self::parse)
    }
}

fn load<T, E: Display>(
    path: &Path,
    limit: usize,
    parse: impl Fn(&[u8]) -> Result<T, E>,
) -> Result<T, FileError> {
    let error = |problem: String| FileError { path: path.to_owned(), problem };
    let mut bytes = Vec::new();
    // One byte more than is allowed: the parser says that it is too long.
    let taken = File::open(path).and_then(|file| file.take(limit as u64 + 1).read_to_end(&mut bytes));
    taken.map_err(|e| error(e.to_string()))?;
    parse(&bytes).map_err(|e| error(e.to_string()))
}
