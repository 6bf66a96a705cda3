//! What a broker has on disk: its secret, never changed, and its state, written before each answer that changes it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;
use zipnet_dcnet::hash::{Use, keyed32};
use zipnet_dcnet::signed::encode;

use super::super::file::replace;
use super::super::key_file::{self, KeyFileError};
use super::core::{MAX_KEYS, State};
use super::secret::BrokerSecret;

const SECRET: &str = "secret";
const STATE: &str = "state";
/// Bytes of the proof before the state.
const PROOF_BYTES: usize = 32;
/// Longest state file, in bytes: the proof, a count, and 96 bytes for each key.
const MAX_STATE_BYTES: usize = PROOF_BYTES + 4 + 96 * MAX_KEYS;

/// The folder of a broker, which one process has at a time.
pub struct Folder {
    path: PathBuf,
    master: Box<Zeroizing<[u8; 32]>>,
    /// Held as long as this lives.
    _lock: File,
}

/// A folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The secret.
    #[error(transparent)]
    Secret(#[from] KeyFileError),
    /// There is a broker already.
    #[error("{} exists already: a new broker in its place would lose every identity of the old one", .0.display())]
    Exists(PathBuf),
    /// Another process.
    #[error("another key broker uses {}", .0.display())]
    Locked(PathBuf),
    /// The state is gone. Starting without it would give keys to second copies and to old envelopes.
    #[error(
        "there is no {}: without it nobody knows who has which key; restore it, or make a new broker with `init`",
        .0.display()
    )]
    NoState(PathBuf),
    /// The state is not what was written with this secret.
    #[error("{} was damaged, or is of another broker", .0.display())]
    Damaged(PathBuf),
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn failed(path: &Path) -> impl Fn(io::Error) -> FolderError + '_ {
    move |source| FolderError::Io { path: path.to_owned(), source }
}

impl Folder {
    /// Makes the folder of a new broker, with this secret of 32 random bytes. Never over another one.
    ///
    /// # Errors
    /// [`FolderError`] says what is in the way.
    pub fn init(path: &Path, random: &Zeroizing<[u8; 32]>) -> Result<BrokerSecret, FolderError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed(path))?;
        let state = path.join(STATE);
        if state.exists() {
            return Err(FolderError::Exists(state));
        }
        key_file::create(&path.join(SECRET), random)?;
        let folder = Self { path: path.to_owned(), master: Box::new(random.clone()), _lock: lock(path)? };
        folder.save(&State::default())?;
        Ok(BrokerSecret::new(random))
    }

    /// The secret alone, for its public key.
    ///
    /// # Errors
    /// [`FolderError`] says what is wrong with it.
    pub fn secret(path: &Path) -> Result<BrokerSecret, FolderError> {
        Ok(BrokerSecret::new(&key_file::read(&path.join(SECRET))?))
    }

    /// Opens the folder, and keeps others out.
    ///
    /// # Errors
    /// [`FolderError`] says what is wrong; nothing is started anew.
    pub fn open(path: &Path) -> Result<(Self, BrokerSecret, State), FolderError> {
        let master = key_file::read(&path.join(SECRET))?;
        let folder = Self { path: path.to_owned(), master: Box::new(master), _lock: lock(path)? };
        let file = path.join(STATE);
        let mut bytes = Vec::new();
        match File::open(&file) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(FolderError::NoState(file)),
            opened => opened
                .and_then(|f| f.take(MAX_STATE_BYTES as u64 + 1).read_to_end(&mut bytes))
                .map_err(failed(&file))?,
        };
        let state =
            bytes.split_at_checked(PROOF_BYTES).filter(|(proof, state)| *proof == folder.proof(state));
        let state = state.and_then(|(_, state)| borsh::from_slice(state).ok());
        let state = state.ok_or(FolderError::Damaged(file))?;
        let secret = BrokerSecret::new(&folder.master);
        Ok((folder, secret, state))
    }

    /// Writes the state; it is durable when this returns.
    ///
    /// # Errors
    /// What the file system says; then the old state is still there.
    pub fn save(&self, state: &State) -> Result<(), FolderError> {
        let (state, file) = (encode(state), self.path.join(STATE));
        replace(&file, &[&self.proof(&state)[..], &state].concat()).map_err(failed(&file))
    }

    fn proof(&self, state: &[u8]) -> [u8; PROOF_BYTES] {
        let mut out = [0; PROOF_BYTES];
        keyed32(Use::SEAL_STATE, &**self.master, &[state], &mut out);
        out
    }
}

fn lock(path: &Path) -> Result<File, FolderError> {
    let lock = File::open(path).map_err(failed(path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(FolderError::Locked(path.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(failed(path)(source)),
    }
}
