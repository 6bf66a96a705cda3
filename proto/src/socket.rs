//! Where the daemon's socket is. Nothing here reads the environment: values come from the caller's `main`.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Socket of the daemon that the system runs.
pub const SYSTEM_SOCKET: &str = "/run/zipnet/zipnetd.sock";

/// A place to look for the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The socket.
    pub path: PathBuf,
    /// The folder of the socket must belong to this uid, and to nobody else, before the socket is trusted: the
    /// fallback below `/tmp` could be anybody's.
    pub owner: Option<u32>,
}

/// Where to look, in this order: only `explicit` if there is one (`--socket`, `ZIPNET_SOCKET`), else the system's
/// daemon, then the daemon that this user runs, then the `--dev` daemon of this user.
///
/// Both places of each are looked at, because daemon and caller may disagree about `XDG_RUNTIME_DIR` (cron, su).
pub fn default_socket_candidates(
    explicit: Option<&Path>,
    xdg_runtime_dir: Option<&Path>,
    uid: u32,
) -> Vec<Candidate> {
    if let Some(path) = explicit {
        return vec![Candidate { path: path.to_owned(), owner: None }];
    }
    let mut all = vec![Candidate { path: SYSTEM_SOCKET.into(), owner: None }];
    let own = [own_socket_path(xdg_runtime_dir, uid), own_socket_path(None, uid)];
    let dev = [dev_socket_path(xdg_runtime_dir, uid), dev_socket_path(None, uid)];
    for path in own.into_iter().chain(dev) {
        if all.iter().all(|known| known.path != path) {
            all.push(Candidate { path, owner: Some(uid) });
        }
    }
    all
}

/// The socket of a daemon that an ordinary user runs: `$XDG_RUNTIME_DIR/zipnet/zipnetd.sock`, or
/// `/tmp/zipnet-UID/zipnetd.sock`, as with [`dev_socket_path`].
pub fn own_socket_path(xdg_runtime_dir: Option<&Path>, uid: u32) -> PathBuf {
    dev_socket_path(xdg_runtime_dir, uid).with_file_name("zipnetd.sock")
}

/// The socket of `zipnetd --dev`: `$XDG_RUNTIME_DIR/zipnet/dev.sock`, or `/tmp/zipnet-UID/dev.sock` where there is no
/// such folder (unset, or not absolute, which the XDG specification says to ignore).
pub fn dev_socket_path(xdg_runtime_dir: Option<&Path>, uid: u32) -> PathBuf {
    match xdg_runtime_dir.filter(|dir| dir.is_absolute()) {
        Some(dir) => dir.join("zipnet/dev.sock"),
        None => PathBuf::from(format!("/tmp/zipnet-{uid}/dev.sock")),
    }
}

/// The folder of a user's socket is not safely this user's.
#[derive(Debug, thiserror::Error)]
pub enum SocketDirError {
    /// Somebody else made it.
    #[error("folder {} belongs to uid {owner}, not to uid {uid}", dir.display())]
    ForeignOwner {
        /// The folder.
        dir: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it should be.
        uid: u32,
    },
    /// Others may put a socket of theirs there.
    #[error("folder {} may be written by others (mode {mode:04o}, expected 0700)", dir.display())]
    OpenToOthers {
        /// The folder.
        dir: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file or a symbolic link is in its place.
    #[error("{} is not a folder", dir.display())]
    NotADirectory {
        /// What was looked at.
        dir: PathBuf,
    },
    /// It cannot be made or looked at.
    #[error("folder {}: {source}", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes the folder of a user's socket `socket` (mode 0700, with its parent if that lacks), or checks the one there.
/// For the daemon, before it binds.
///
/// # Errors
/// Where it cannot be made or [`check_socket_dir`] does not trust what is there.
pub fn create_socket_dir(socket: &Path, uid: u32) -> Result<(), SocketDirError> {
    let dir = folder_of(socket);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .or_else(|e| if e.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(e) })
        .map_err(|source| SocketDirError::Io { dir: dir.to_owned(), source })?;
    check_socket_dir(socket, uid)
}

/// Whether the folder of `socket` belongs to `uid` and only this uid writes there. Such a folder cannot be replaced by
/// others (`/tmp` is sticky), so the answer stays true.
///
/// # Errors
/// What is wrong with it; `Io` with `NotFound` where it does not exist.
pub fn check_socket_dir(socket: &Path, uid: u32) -> Result<(), SocketDirError> {
    let dir = folder_of(socket);
    // Not following links: a link in /tmp may be re-pointed by its owner at any time.
    let meta =
        fs::symlink_metadata(dir).map_err(|source| SocketDirError::Io { dir: dir.to_owned(), source })?;
    let dir = dir.to_owned();
    if !meta.is_dir() {
        Err(SocketDirError::NotADirectory { dir })
    } else if meta.uid() != uid {
        Err(SocketDirError::ForeignOwner { dir, owner: meta.uid(), uid })
    } else if meta.mode() & 0o022 != 0 {
        Err(SocketDirError::OpenToOthers { dir, mode: meta.mode() & 0o7777 })
    } else {
        Ok(())
    }
}

fn folder_of(socket: &Path) -> &Path {
    match socket.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn paths(all: &[Candidate]) -> Vec<&str> {
        all.iter().map(|c| c.path.to_str().unwrap()).collect()
    }

    #[test]
    fn looks_in_order() {
        let run = Path::new("/run/user/7");
        let all = default_socket_candidates(None, Some(run), 7);
        assert_eq!(
            paths(&all),
            [
                "/run/zipnet/zipnetd.sock",
                "/run/user/7/zipnet/zipnetd.sock",
                "/tmp/zipnet-7/zipnetd.sock",
                "/run/user/7/zipnet/dev.sock",
                "/tmp/zipnet-7/dev.sock"
            ]
        );
        let own = Some(7);
        assert_eq!(all.iter().map(|c| c.owner).collect::<Vec<_>>(), [None, own, own, own, own]);
        assert_eq!(
            paths(&default_socket_candidates(None, None, 7))[1..],
            ["/tmp/zipnet-7/zipnetd.sock", "/tmp/zipnet-7/dev.sock"]
        );
        assert_eq!(paths(&default_socket_candidates(Some(Path::new("a.sock")), Some(run), 7)), ["a.sock"]);
        assert_eq!(dev_socket_path(Some(Path::new("run")), 7), Path::new("/tmp/zipnet-7/dev.sock"));
    }

    #[test]
    fn trusts_only_a_folder_of_ones_own() {
        let tmp = tempfile::tempdir().unwrap();
        let uid = fs::metadata(tmp.path()).unwrap().uid();
        let socket = tmp.path().join("zipnet/dev.sock");
        let missing = check_socket_dir(&socket, uid);
        assert!(
            matches!(missing, Err(SocketDirError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound)
        );

        create_socket_dir(&socket, uid).unwrap();
        create_socket_dir(&socket, uid).unwrap();
        let dir = socket.parent().unwrap();
        assert_eq!(fs::metadata(dir).unwrap().mode() & 0o777, 0o700);

        let foreign = check_socket_dir(&socket, uid + 1).unwrap_err();
        assert!(matches!(foreign, SocketDirError::ForeignOwner { owner, .. } if owner == uid));

        fs::set_permissions(dir, fs::Permissions::from_mode(0o770)).unwrap();
        let open = create_socket_dir(&socket, uid).unwrap_err();
        assert!(open.to_string().ends_with("may be written by others (mode 0770, expected 0700)"), "{open}");

        symlink(dir, tmp.path().join("link")).unwrap();
        let link = check_socket_dir(&tmp.path().join("link/dev.sock"), uid).unwrap_err();
        assert!(matches!(link, SocketDirError::NotADirectory { .. }));
    }
}
