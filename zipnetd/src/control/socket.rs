//! The socket file: bound so that at no moment it has the wrong mode, replaced only if nobody answers there.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use zipnet_proto::{SocketDirError, create_socket_dir};

use crate::config::Socket;

/// Owner and group may talk to the daemon.
const MODE: u32 = 0o660;
/// Of a folder that is made for the socket of the system.
const FOLDER_MODE: u32 = 0o755;
/// How long a daemon that is there may take to accept.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The control socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon has it.
    #[error("another process answers at the control socket {}", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else is in its place.
    #[error("{} is there and is no socket", path.display())]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// Its folder is not safe.
    #[error(transparent)]
    Folder(#[from] SocketDirError),
    /// The service manager passed something else than a socket to listen at.
    #[error("the service manager passed {problem}")]
    Passed {
        /// What.
        problem: String,
    },
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::Io { action, path, source }
}

/// A socket that is listened at.
pub struct Listening {
    pub(super) listener: UnixListener,
    pub(super) bound: Option<Bound>,
    path: PathBuf,
}

impl Listening {
    /// Binds the socket for `uid`, the daemon's own user.
    ///
    /// # Errors
    /// [`SocketError`] when another daemon answers there, or the place is not usable.
    pub async fn bind(socket: &Socket, uid: u32) -> Result<Self, SocketError> {
        let path = &socket.path;
        if socket.own_folder {
            create_socket_dir(path, uid)?;
        } else {
            make_folder(path)?;
        }
        probe(path).await?;
        // Under another name first: the mode is right before the socket can be found.
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let hidden = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let _ = fs::remove_file(&hidden);
        let listener = UnixListener::bind(&hidden).map_err(io("bind the control socket", path))?;
        let placed = fs::set_permissions(&hidden, fs::Permissions::from_mode(MODE))
            .and_then(|()| fs::symlink_metadata(&hidden))
            .and_then(|meta| fs::rename(&hidden, path).map(|()| (meta.dev(), meta.ino())));
        match placed {
            Ok(id) => {
                let bound = Some(Bound { path: path.clone(), id });
                Ok(Self { listener, bound, path: path.clone() })
            }
            Err(error) => {
                let _ = fs::remove_file(&hidden);
                Err(io("place the control socket", path)(error))
            }
        }
    }

    /// Takes over a socket that the service manager listens at. File, mode and folder are the manager's: it goes on
    /// listening when this process ends, so that callers wait for the next one.
    ///
    /// # Errors
    /// The system's word, for something that is no socket.
    pub fn adopt(listener: std::os::unix::net::UnixListener) -> Result<Self, SocketError> {
        let bad = |error: io::Error| SocketError::Passed { problem: error.to_string() };
        let path = listener.local_addr().map_err(bad)?.as_pathname().map(Path::to_owned);
        listener.set_nonblocking(true).map_err(bad)?;
        let listener = UnixListener::from_std(listener).map_err(bad)?;
        Ok(Self { listener, bound: None, path: path.unwrap_or_default() })
    }

    /// Whether this process bound it, and removes its file.
    pub fn is_ours(&self) -> bool {
        self.bound.is_some()
    }

    /// Where; empty for one without a file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A bound socket; the file is removed on drop if it still is this one.
pub(super) struct Bound {
    path: PathBuf,
    id: (u64, u64),
}

/// Makes the last folder of the way if it lacks, as for `/run/zipnet` after a boot.
fn make_folder(path: &Path) -> Result<(), SocketError> {
    let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) else { return Ok(()) };
    match fs::create_dir(dir) {
        Ok(()) => fs::set_permissions(dir, fs::Permissions::from_mode(FOLDER_MODE))
            .map_err(io("set the mode of the folder", dir)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(io("make the folder", dir)(error)),
    }
}

/// Whether the path is free, or has a socket that nobody listens at.
///
/// # Errors
/// [`SocketError::InUse`] and [`SocketError::NotASocket`]; [`SocketError::Io`] when it cannot be told.
pub async fn probe(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io("look at", path)(error)),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(SocketError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    // A daemon that is there but wedged has a full backlog or no time: it counts as there.
    match timeout(PROBE_TIMEOUT, UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(io("connect to", path)(error))
        }
        _ => Err(SocketError::InUse { path: path.to_owned() }),
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Another daemon may have put its own there meanwhile.
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.id) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
