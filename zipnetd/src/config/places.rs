//! Where the socket and the state are unless somebody says so.

use std::path::{Path, PathBuf};

use zipnet_proto::{SYSTEM_SOCKET, dev_socket_path, own_socket_path};

use super::value::{Place, Setting};
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

pub(super) fn socket(given: Option<Setting>, dev: bool, around: &Surroundings<'_>) -> (Socket, Place) {
    let at = |path: PathBuf, own_folder| Socket { path, own_folder };
    if let Some(Setting { text, place }) = given {
        return (at(text.into(), false), place);
    }
    let runtime = folder(around, "XDG_RUNTIME_DIR");
    let own = dev_socket_path(runtime.as_deref(), around.uid);
    let place = if runtime.is_some() { of("XDG_RUNTIME_DIR") } else { Place::Default };
    if dev {
        return (at(own, true), place);
    }
    // systemd names the folder that it made for the service.
    if let Some(dir) = folder(around, "RUNTIME_DIRECTORY") {
        return (at(dir.join("zipnetd.sock"), false), of("RUNTIME_DIRECTORY"));
    }
    if around.uid == 0 {
        return (at(SYSTEM_SOCKET.into(), false), Place::Default);
    }
    (at(own_socket_path(runtime.as_deref(), around.uid), true), place)
}

pub(super) fn state_dir(
    given: Option<Setting>,
    dev: bool,
    around: &Surroundings<'_>,
) -> Result<(StateDir, Place), ConfigError> {
    if let Some(Setting { text, place }) = given {
        return Ok((StateDir::At(text.into()), place));
    }
    if dev {
        return Ok((StateDir::Temporary, Place::Default));
    }
    if let Some(dir) = folder(around, "STATE_DIRECTORY") {
        return Ok((StateDir::At(dir), of("STATE_DIRECTORY")));
    }
    if let Some(dir) = folder(around, "XDG_STATE_HOME") {
        return Ok((StateDir::At(dir.join("zipnet")), of("XDG_STATE_HOME")));
    }
    let home = folder(around, "HOME").ok_or(ConfigError::NoStateDir)?;
    Ok((StateDir::At(home.join(".local/state/zipnet")), of("HOME")))
}

fn of(variable: &str) -> Place {
    Place::Env(variable.to_owned())
}

/// The first absolute path of a variable: systemd separates several by colons; others are to be ignored by the XDG
/// specification.
fn folder(around: &Surroundings<'_>, variable: &str) -> Option<PathBuf> {
    let value = (around.env)(variable)?;
    let first = value.to_str()?.split(':').next()?;
    Path::new(first).is_absolute().then(|| PathBuf::from(first))
}
