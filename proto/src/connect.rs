//! Opening the socket, and saying precisely why it did not open.

use std::{
    fs, io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::timeout};
use tonic::{
    Request,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::socket::{Candidate, SocketDirError, check_socket_dir};

/// How long the daemon may take to accept and to answer the first question (its health). systemd takes callers while a daemon
/// that it restarts is still opening its store, which takes seconds on a slow machine: they are to wait for it.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// A daemon that stops answering pings in the middle of a stream is noticed after about the sum of these.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why no connection to the daemon came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no file at any of the places.
    #[error("no daemon: there is no socket at {}", list(paths))]
    NoSocket {
        /// Where it was looked for; never empty.
        paths: Vec<PathBuf>,
    },
    /// The socket file is there, but no process listens: the daemon ended without removing it.
    #[error("no daemon: nobody listens at {}", path.display())]
    NobodyListening {
        /// The socket.
        path: PathBuf,
    },
    /// The file at the path is no socket.
    #[error("{} is not a socket", path.display())]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// The socket's own mode keeps the caller out.
    #[error("no permission to write to the socket {}", path.display())]
    SocketPermission {
        /// The socket.
        path: PathBuf,
    },
    /// A folder on the way to the socket keeps the caller out.
    #[error("no permission to enter {}, the way to the socket {}", dir.display(), path.display())]
    DirPermission {
        /// The socket.
        path: PathBuf,
        /// The first folder on the way that the caller may not enter.
        dir: PathBuf,
    },
    /// The path does not fit into a socket address.
    #[error("the socket path {} has {} bytes, at most 107 are possible", path.display(), path.as_os_str().len())]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// A user's socket may be somebody else's trap.
    #[error("the socket {} is not trusted: {source}", path.display())]
    Untrusted {
        /// The socket.
        path: PathBuf,
        /// What is wrong with its folder.
        source: SocketDirError,
    },
    /// Something listens, but does not accept or answer.
    #[error("the daemon at {} does not answer (waited {} s)", path.display(), after.as_secs())]
    Wedged {
        /// The socket.
        path: PathBuf,
        /// How long was waited.
        after: Duration,
    },
    /// What listens does not speak gRPC, or hung up.
    #[error("what listens at {} does not answer as zipnetd does: {detail}", path.display())]
    Handshake {
        /// The socket.
        path: PathBuf,
        /// What happened instead.
        detail: String,
    },
    /// Anything else the system says.
    #[error("cannot connect to {}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Connects to the first candidate that has a daemon. One without a file or a listener is passed over; any other error
/// ends the search: a daemon that may not be used is no reason to talk to another one.
pub(crate) async fn connect_any(candidates: &[Candidate]) -> Result<(Channel, PathBuf), ConnectError> {
    let mut missing = Vec::new();
    let mut stale = None;
    for Candidate { path, owner } in candidates {
        match connect(path, *owner).await {
            Ok(channel) => return Ok((channel, path.clone())),
            Err(ConnectError::NoSocket { .. }) => missing.push(path.clone()),
            Err(e @ ConnectError::NobodyListening { .. }) => stale = stale.or(Some(e)),
            Err(e) => return Err(e),
        }
    }
    Err(stale.unwrap_or(ConnectError::NoSocket { paths: missing }))
}

async fn connect(path: &Path, owner: Option<u32>) -> Result<Channel, ConnectError> {
    if let Some(uid) = owner {
        match check_socket_dir(path, uid) {
            Ok(()) => {}
            // A folder that may not be entered is not the caller's (XDG_RUNTIME_DIR survives sudo): no daemon of theirs.
            Err(SocketDirError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                return Err(ConnectError::NoSocket { paths: vec![path.to_owned()] });
            }
            Err(SocketDirError::Io { source, .. }) => return Err(explain(path, source)),
            Err(source) => return Err(ConnectError::Untrusted { path: path.to_owned(), source }),
        }
    }
    let first = open(path).await.map_err(|e| explain(path, e))?;
    let wedged = || ConnectError::Wedged { path: path.to_owned(), after: HANDSHAKE_TIMEOUT };
    let handshake = |detail: String| ConnectError::Handshake { path: path.to_owned(), detail };

    // The stream opened above serves the first connection; later ones (the daemon restarted) open their own.
    let first = Arc::new(Mutex::new(Some(first)));
    let again = path.to_owned();
    let connector = tower::service_fn(move |_| {
        let ready = first.lock().map_or(None, |mut slot| slot.take());
        let again = again.clone();
        async move {
            let stream = match ready {
                Some(stream) => stream,
                None => open(&again).await?,
            };
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    // The address is never resolved; HTTP/2 wants one.
    let endpoint = Endpoint::from_static("http://zipnetd.invalid")
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);

    let talk = async {
        let channel = endpoint.connect_with_connector(connector).await.map_err(|e| handshake(chain(&e)))?;
        // Whatever the answer: it is one. Only its absence is an error.
        let request = Request::new(HealthCheckRequest::default());
        match HealthClient::new(channel.clone()).check(request).await {
            Err(status) if is_transport(&status) => Err(handshake(chain(&status))),
            _ => Ok(channel),
        }
    };
    timeout(HANDSHAKE_TIMEOUT, talk).await.map_err(|_| wedged())?
}

async fn open(path: &Path) -> io::Result<UnixStream> {
    // A full backlog is EAGAIN on a Unix socket, at once: a daemon that does not accept.
    timeout(HANDSHAKE_TIMEOUT, UnixStream::connect(path))
        .await
        .unwrap_or(Err(io::ErrorKind::WouldBlock.into()))
}

fn explain(path: &Path, source: io::Error) -> ConnectError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            ConnectError::NoSocket { paths: vec![path] }
        }
        io::ErrorKind::ConnectionRefused => match fs::metadata(&path) {
            Ok(meta) if !meta.file_type().is_socket() => ConnectError::NotASocket { path },
            _ => ConnectError::NobodyListening { path },
        },
        io::ErrorKind::PermissionDenied => match closed_folder(&path) {
            Some(dir) => ConnectError::DirPermission { path, dir },
            None => ConnectError::SocketPermission { path },
        },
        io::ErrorKind::InvalidInput => ConnectError::PathTooLong { path },
        io::ErrorKind::WouldBlock => ConnectError::Wedged { path, after: HANDSHAKE_TIMEOUT },
        _ => ConnectError::Io { path, source },
    }
}

/// The first folder on the way to `path` that may not be entered.
fn closed_folder(path: &Path) -> Option<PathBuf> {
    let mut way: Vec<&Path> = path.ancestors().filter(|p| !p.as_os_str().is_empty()).collect();
    way.reverse();
    let closed = way.into_iter().find(|step| {
        fs::symlink_metadata(step).is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied)
    })?;
    Some(closed.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned())
}

/// Whether the status was made on this side, out of a transport error, and not sent by the daemon.
pub(crate) fn is_transport(status: &tonic::Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// The innermost cause says what happened; the outer ones only repeat "transport error".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}
