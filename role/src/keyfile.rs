//! The identity of a server or an aggregator: 32 bytes in a file that only its owner may read (section 3).

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;
use zipnet_dcnet::identity::Identity;

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is none.
    #[error("there is no key file {0}: make one with `keygen`")]
    Missing(PathBuf),
    /// There is one already, and it is never replaced.
    #[error("the key file {0} exists already: remove it yourself if you really want another identity")]
    Exists(PathBuf),
    /// Not 32 bytes.
    #[error("the key file {path} has {len} bytes instead of 32")]
    Length {
        /// Which.
        path: PathBuf,
        /// Bytes in it.
        len: usize,
    },
    /// Others may read it.
    #[error("the key file {path} has mode {mode:04o}: others may read it; chmod it to 0600")]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Reading or writing failed.
    #[error("the key file {path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> KeyError + '_ {
    move |error| KeyError::Io { path: path.to_owned(), error }
}

/// Reads the identity.
///
/// # Errors
/// [`KeyError`] says what is wrong with the file.
pub fn load(path: &Path) -> Result<Identity, KeyError> {
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(KeyError::Missing(path.to_owned())),
        Err(e) => return Err(io_error(path)(e)),
    };
    let mode = file.metadata().map_err(io_error(path))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Mode { path: path.to_owned(), mode });
    }
    // One byte more than a key, so that a longer file is noticed; a fixed buffer, so that no copy stays behind.
    let mut bytes = Zeroizing::new([0; 33]);
    let mut len = 0;
    while len < bytes.len() {
        match file.read(&mut bytes[len..]).map_err(io_error(path))? {
            0 => break,
            n => len += n,
        }
    }
    if len != 32 {
        return Err(KeyError::Length { path: path.to_owned(), len });
    }
    let mut seed = Zeroizing::new([0; 32]);
    seed.copy_from_slice(&bytes[..32]);
    Ok(Identity::from_seed(seed))
}

/// Makes a new identity and writes it durably; the folder is made (0700) if it is missing.
///
/// # Errors
/// [`KeyError::Exists`] rather than replacing one.
pub fn create(path: &Path) -> Result<Identity, KeyError> {
    let seed = Zeroizing::new(rand::random::<[u8; 32]>());
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io_error(folder))?;
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(KeyError::Exists(path.to_owned())),
        Err(e) => return Err(io_error(path)(e)),
    };
    file.write_all(&*seed).and_then(|()| file.sync_all()).map_err(io_error(path))?;
    fs::File::open(folder).and_then(|dir| dir.sync_all()).map_err(io_error(folder))?;
    Ok(Identity::from_seed(seed))
}

/// The identity in the file; a new one where there is no file.
///
/// # Errors
/// As [`load`] and [`create`].
pub fn load_or_create(path: &Path) -> Result<Identity, KeyError> {
    match load(path) {
        Err(KeyError::Missing(_)) => create(path),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_read_back_and_kept_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/identity.key");
        assert!(matches!(load(&path), Err(KeyError::Missing(_))));
        let made = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap().peer_id(), made.peer_id());
        assert!(matches!(create(&path), Err(KeyError::Exists(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(load(&path), Err(KeyError::Mode { mode: 0o640, .. })));
    }

    #[test]
    fn a_file_of_another_length_is_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.key");
        for len in [0, 31, 33] {
            let _ = fs::remove_file(&path);
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
            file.write_all(&vec![1; len]).unwrap();
            assert!(matches!(load(&path), Err(KeyError::Length { len: l, .. }) if l == len));
        }
    }
}
