//! The key in a file: for hosts without anything better, and only when asked for.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;
use zipnet_dcnet::hash::{Use, hash16};

use super::envelope::Header;
use super::provider::{Grant, Kek, KekProvider, KeyId, Provider, ProviderError};

/// 32 bytes in a file that only its owner may read. Whoever has the disk has the identity.
pub struct KeyFile {
    kek: Kek,
    key_id: KeyId,
}

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Nobody asked for it.
    #[error(
        "a key file protects from nobody who has the disk, the host of a guest for one: use a key broker, or ask for the \
         file with the flag that calls it insecure"
    )]
    NotAskedFor,
    /// There is one already.
    #[error("the key file {} exists already: what is sealed with it is lost without it", .0.display())]
    Exists(PathBuf),
    /// Not 32 bytes.
    #[error("the key file {} has not 32 bytes", .0.display())]
    Length(PathBuf),
    /// Others may read it.
    #[error("the key file {} has mode {mode:04o}: others may read it; chmod it to 0600", path.display())]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Reading or writing failed.
    #[error("the key file {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl KeyFile {
    /// Reads a key file. `insecure` says that the caller was asked, in these words, to do so.
    ///
    /// # Errors
    /// [`KeyFileError`] says what is wrong.
    pub fn open(path: &Path, insecure: bool) -> Result<Self, KeyFileError> {
        if !insecure {
            return Err(KeyFileError::NotAskedFor);
        }
        let bytes = read(path)?;
        let key_id = KeyId(hash16(Use::SEAL_KEY_ID, &[&*bytes]));
        Ok(Self { kek: Kek::new(&bytes), key_id })
    }

    /// Makes a key file of 32 random bytes, readable by its owner only. Never over another one.
    ///
    /// # Errors
    /// [`KeyFileError`] says what is wrong.
    pub fn create(path: &Path, random: &Zeroizing<[u8; 32]>) -> Result<(), KeyFileError> {
        create(path, random)
    }

    fn grant(&self) -> Grant {
        Grant { kek: Kek::new(&self.kek.0), key_id: self.key_id, lease_secs: None }
    }
}

impl KekProvider for KeyFile {
    fn provider(&self) -> Provider {
        Provider::KeyFile
    }

    fn create(&mut self) -> Result<Grant, ProviderError> {
        Ok(self.grant())
    }

    fn open(&mut self, header: &Header) -> Result<Grant, ProviderError> {
        if header.key_id == self.key_id {
            return Ok(self.grant());
        }
        Err(ProviderError::UnknownKey { provider: Provider::KeyFile, key_id: header.key_id })
    }
}

/// Reads 32 bytes that nobody else can read.
pub(super) fn read(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    let mut file = fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Mode { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new([0; 32]);
    let length = || KeyFileError::Length(path.to_owned());
    file.read_exact(&mut *bytes).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => length(),
        _ => failed(e),
    })?;
    if file.read(&mut [0]).map_err(failed)? != 0 {
        return Err(length());
    }
    Ok(bytes)
}

/// Writes them to a new file.
pub(super) fn create(path: &Path, random: &Zeroizing<[u8; 32]>) -> Result<(), KeyFileError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.to_owned()),
        _ => KeyFileError::Io { path: path.to_owned(), source },
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(&**random).and_then(|()| file.sync_all()).map_err(failed)?;
    super::file::sync_parent(path).map_err(failed)
}
