//! Where the socket and the state are unless somebody says so.

use std::path::{Path, PathBuf};

use zipnet_proto::{SYSTEM_SOCKET, dev_socket_path};

use super::{ConfigError, Surroundings};

/// The control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its path.
    pub path: PathBuf,
    /// Its folder is this user's own: made with mode 0700 if it lacks, refused if others may write there.
    pub own_folder: bool,
}

/// Where the state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateDir {
    /// Here.
    At(PathBuf),
    /// In a new folder that is removed at the end (`--dev` only).
    Temporary,
}

pub(super) fn socket(given: Option<PathBuf>, dev: bool, around: &Surroundings<'_>) -> Socket {
    if let Some(path) = given {
        return Socket { path, own_folder: false };
    }
    let runtime = folder(around, "XDG_RUNTIME_DIR");
    let own = dev_socket_path(runtime.as_deref(), around.uid);
    if dev {
        return Socket { path: own, own_folder: true };
    }
    // systemd names the folder that it made for the service.
    if let Some(dir) = folder(around, "RUNTIME_DIRECTORY") {
        return Socket { path: dir.join("zipnetd.sock"), own_folder: false };
    }
    if around.uid == 0 {
        return Socket { path: SYSTEM_SOCKET.into(), own_folder: false };
    }
    Socket { path: own.with_file_name("zipnetd.sock"), own_folder: true }
}

pub(super) fn state_dir(
    given: Option<PathBuf>,
    dev: bool,
    around: &Surroundings<'_>,
) -> Result<StateDir, ConfigError> {
    if let Some(dir) = given {
        return Ok(StateDir::At(dir));
    }
    if dev {
        return Ok(StateDir::Temporary);
    }
    if let Some(dir) = folder(around, "STATE_DIRECTORY") {
        return Ok(StateDir::At(dir));
    }
    if let Some(dir) = folder(around, "XDG_STATE_HOME") {
        return Ok(StateDir::At(dir.join("zipnet")));
    }
    let home = folder(around, "HOME").ok_or(ConfigError::NoStateDir)?;
    Ok(StateDir::At(home.join(".local/state/zipnet")))
}

/// The first absolute path of a variable: systemd separates several by colons; others are to be ignored by the XDG
/// specification.
fn folder(around: &Surroundings<'_>, variable: &str) -> Option<PathBuf> {
    let value = (around.env)(variable)?;
    let first = value.to_str()?.split(':').next()?;
    Path::new(first).is_absolute().then(|| PathBuf::from(first))
}
