//! The sealed identity on disk.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::envelope::{self, ENVELOPE_BYTES, EnvelopeError, Header};
use super::key_file::KeyFileError;
use super::provider::{KekProvider, Provider, ProviderError};

/// A sealed identity that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// There is none.
    #[error("there is no sealed identity {}: a new one is made only when asked for (identity init)", .0.display())]
    Missing(PathBuf),
    /// There is one already.
    #[error("there is a sealed identity {} already: `identity rotate` replaces it", .0.display())]
    Exists(PathBuf),
    /// The file is not what it should be.
    #[error("the sealed identity {} {source}", path.display())]
    Envelope {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: EnvelopeError,
    },
    /// It is sealed by another kind of provider.
    #[error("the sealed identity {} is sealed by a {found}, a {configured} is configured", path.display())]
    OtherProvider {
        /// Which.
        path: PathBuf,
        /// Its provider.
        found: Provider,
        /// The one that is there.
        configured: Provider,
    },
    /// There is no key.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The key file cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// Every number is used.
    #[error("the sealed identity {} was rotated as often as can be counted", .0.display())]
    Generations(PathBuf),
    /// Reading or writing failed.
    #[error("the sealed identity {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// An identity that was opened.
pub struct Opened {
    /// The seed.
    pub seed: Zeroizing<[u8; 32]>,
    /// Of its envelope.
    pub header: Header,
    /// Of what is stored beside it: [`super::Kek::store_key`].
    pub store_key: Zeroizing<[u8; 32]>,
    /// As in [`super::Grant::lease_secs`].
    pub lease_secs: Option<u64>,
}

/// Where a file or device is so long, the identity is in its first sector, and the rest of it is not looked at: it has room for
/// a sealed store.
pub const IN_PLACE_BYTES: u64 = 4096;
/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// A file with a sealed identity, which may not be there yet; or a file or block device of at least [`IN_PLACE_BYTES`] that begins
/// with one, or with a sector of zeros.
#[derive(Clone, Debug)]
pub struct SealedIdentity {
    path: PathBuf,
}

impl SealedIdentity {
    /// In this file.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// What can be said without the key.
    ///
    /// # Errors
    /// [`SealError`] if there is none, or it is not one.
    pub fn header(&self) -> Result<Header, SealError> {
        Header::read(&self.read()?).map_err(|source| self.envelope(source))
    }

    /// The same, if it is sealed by a keeper of this kind.
    ///
    /// # Errors
    /// [`SealError`] if there is none, it is not one, or by another kind.
    pub fn sealed_by(&self, configured: Provider) -> Result<Header, SealError> {
        let header = self.header()?;
        self.same_kind(&header, configured)?;
        Ok(header)
    }

    /// Seals a new identity. `nonce` is fresh and random. Never over another one.
    ///
    /// # Errors
    /// [`SealError`]; then nothing has changed.
    pub fn init(
        &self,
        provider: &mut dyn KekProvider,
        seed: &Zeroizing<[u8; 32]>,
        nonce: &[u8; 24],
    ) -> Result<Header, SealError> {
        // What is there, readable or not, is somebody's identity.
        let missing = match self.in_place() {
            Ok(true) => matches!(self.read(), Err(SealError::Missing(_))),
            _ => fs::symlink_metadata(&self.path).is_err(),
        };
        if !missing {
            return Err(SealError::Exists(self.path.clone()));
        }
        let grant = provider.create()?;
        let header = Header { provider: provider.provider(), key_id: grant.key_id, generation: 1 };
        let sealed = envelope::seal(&header, &grant.kek, seed, nonce);
        self.write(&sealed).map_err(|source| self.failed(source))?;
        Ok(header)
    }

    /// Opens the identity.
    ///
    /// # Errors
    /// [`SealError`]; the file stays as it is.
    pub fn open(&self, provider: &mut dyn KekProvider) -> Result<Opened, SealError> {
        let bytes = self.read()?;
        let header = Header::read(&bytes).map_err(|source| self.envelope(source))?;
        self.same_kind(&header, provider.provider())?;
        let grant = provider.open(&header)?;
        let seed = envelope::open(&bytes, &grant.kek).map_err(|source| self.envelope(source))?;
        Ok(Opened { seed, header, store_key: grant.kek.store_key(), lease_secs: grant.lease_secs })
    }

    /// Replaces the identity, which has to open. The provider learns of the new generation when that is opened first, here:
    /// a crash before leaves one that opens.
    ///
    /// # Errors
    /// [`SealError`]; then the old or the new identity is there, whole.
    pub fn rotate(
        &self,
        provider: &mut dyn KekProvider,
        seed: &Zeroizing<[u8; 32]>,
        nonce: &[u8; 24],
    ) -> Result<Header, SealError> {
        let old = self.open(provider)?.header;
        let grant = provider.open(&old)?;
        let generation =
            old.generation.checked_add(1).ok_or_else(|| SealError::Generations(self.path.clone()))?;
        let header = Header { generation, ..old };
        let sealed = envelope::seal(&header, &grant.kek, seed, nonce);
        self.write(&sealed).map_err(|source| self.failed(source))?;
        self.open(provider)?;
        Ok(header)
    }

    fn same_kind(&self, header: &Header, configured: Provider) -> Result<(), SealError> {
        let found = header.provider;
        if found == configured {
            return Ok(());
        }
        Err(SealError::OtherProvider { path: self.path.clone(), found, configured })
    }

    /// Whether it is at the beginning of something longer.
    ///
    /// # Errors
    /// When nobody can say.
    pub fn in_place(&self) -> io::Result<bool> {
        // A device has no length in its metadata.
        Ok(fs::File::open(&self.path)?.seek(SeekFrom::End(0))? >= IN_PLACE_BYTES)
    }

    fn read(&self) -> Result<Vec<u8>, SealError> {
        let missing = || SealError::Missing(self.path.clone());
        let read = || {
            let in_place = self.in_place()?;
            // One byte more shows that it is too long.
            let most = if in_place { SECTOR } else { ENVELOPE_BYTES + 1 };
            let mut bytes = Vec::new();
            fs::File::open(&self.path)?.take(most as u64).read_to_end(&mut bytes)?;
            io::Result::Ok((in_place, bytes))
        };
        match read() {
            Ok((true, sector)) if sector.iter().all(|byte| *byte == 0) => Err(missing()),
            Ok((true, sector)) if sector[ENVELOPE_BYTES..].iter().all(|byte| *byte == 0) => {
                Ok(sector[..ENVELOPE_BYTES].to_vec())
            }
            Ok((_, bytes)) => Ok(bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(missing()),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn write(&self, sealed: &[u8]) -> io::Result<()> {
        if !self.in_place().unwrap_or(false) {
            return replace(&self.path, sealed);
        }
        let mut sector = sealed.to_vec();
        sector.resize(SECTOR, 0);
        let mut file = OpenOptions::new().write(true).open(&self.path)?;
        file.write_all(&sector)?;
        file.sync_data()
    }

    fn failed(&self, source: io::Error) -> SealError {
        SealError::Io { path: self.path.clone(), source }
    }

    fn envelope(&self, source: EnvelopeError) -> SealError {
        SealError::Envelope { path: self.path.clone(), source }
    }
}

/// Writes a file so that at no moment there is half of it: a temporary one, synced, takes its place.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.to_owned().into_os_string();
    temporary.push(".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_parent(path)
}

/// Makes a new name durable.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
