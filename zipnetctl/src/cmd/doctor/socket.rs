//! The socket: which it is, and who may use it.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use zipnet_proto::{ConnectError, SocketDirError};

use super::Check;
use crate::text;

/// What stands for a path that is not shown.
const ELSEWHERE: &str = "[a place of your own]";

/// Whether a path names nobody: only where zipnetd puts its sockets by itself.
fn is_ours(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let of_uid = |start: &str, end: &str| {
        let rest = text.strip_prefix(start).map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        rest.is_some_and(|rest| rest == end || rest.starts_with(&format!("{end}/")))
    };
    path.starts_with("/run/zipnet") || of_uid("/run/user/", "/zipnet") || of_uid("/tmp/zipnet-", "")
}

/// A path that may be shown to everybody.
fn shown(path: &Path) -> String {
    if is_ours(path) { text::tame(&path.display().to_string()) } else { ELSEWHERE.to_owned() }
}

/// No daemon was reached.
pub(super) fn unreachable(error: &ConnectError) -> Check {
    const CHECK: &str = "socket";
    let join = |path: &PathBuf| {
        if is_ours(path) {
            let path = shown(path);
            format!("`sudo usermod -aG \"$(stat -c %G {path})\" \"$USER\"`, then log in again")
        } else {
            "join the group that it belongs to (`ls -l` shows it), then log in again".to_owned()
        }
    };
    let (text, mend) = match error {
        ConnectError::NoSocket { paths } => {
            let paths: Vec<String> = paths.iter().map(|path| shown(path)).collect();
            (
                format!("no daemon: there is no socket at {}", paths.join(", ")),
                "start one (`zipnetd --dev` runs a whole network to try things with), or name it: --socket, ZIPNET_SOCKET"
                    .to_owned(),
            )
        }
        ConnectError::NobodyListening { path } => (
            format!("no daemon: nobody listens at {}", shown(path)),
            "start zipnetd again, its log says why it ended".into(),
        ),
        ConnectError::NotASocket { path } | ConnectError::Handshake { path, .. } => (
            format!("what is at {} is not zipnetd", shown(path)),
            "name the control socket of zipnetd: --socket, ZIPNET_SOCKET".into(),
        ),
        ConnectError::SocketPermission { path } => {
            (format!("no permission to write to {}", shown(path)), join(path))
        }
        ConnectError::DirPermission { dir, .. } => {
            (format!("no permission to enter {}, the way to the socket", shown(dir)), join(dir))
        }
        ConnectError::PathTooLong { path } => (
            format!("the path of {} is longer than a socket's can be", shown(path)),
            "use a shorter path, for the daemon too: `zipnetd --socket PATH`".into(),
        ),
        ConnectError::Untrusted { path, source } => {
            let dir = path.parent().map(shown).unwrap_or_default();
            let what = match source {
                SocketDirError::ForeignOwner { .. } => "belongs to somebody else",
                SocketDirError::OpenToOthers { .. } => "may be written by others",
                SocketDirError::NotADirectory { .. } => "is not a folder",
                SocketDirError::Io { .. } => "cannot be looked at",
            };
            (
                format!("{} is not trusted: its folder {what}", shown(path)),
                if path.parent().is_some_and(is_ours) {
                    format!("`chmod 700 {dir}` if it is yours; `rm -r {dir}` and start zipnetd again if not")
                } else {
                    "let nobody but you write to the socket's folder (chmod 700), or name another socket"
                        .to_owned()
                },
            )
        }
        ConnectError::Wedged { path, after } => (
            format!("the daemon at {} does not answer (waited {} s)", shown(path), after.as_secs()),
            "restart zipnetd, its log may say what holds it up".into(),
        ),
        ConnectError::Io { path, source } => (
            format!("cannot connect to {}: {source}", shown(path)),
            "the kernel's log may say why: `dmesg`".into(),
        ),
    };
    Check::problem(CHECK, text, mend)
}

/// Where the daemon was reached, and who else may.
pub(super) fn reachable(path: &Path) -> Vec<Check> {
    let mut checks = vec![Check::ok("socket", format!("the daemon is at {}", shown(path)))];
    // It may have been removed since.
    if let Ok(meta) = fs::metadata(path) {
        checks.push(permissions(path, meta.mode() & 0o7777, meta.uid(), meta.gid()));
    }
    checks
}

fn permissions(path: &Path, mode: u32, owner: u32, group: u32) -> Check {
    const CHECK: &str = "permissions";
    let me = nix::unistd::geteuid();
    let mine = nix::unistd::getgroups().unwrap_or_default();
    let why = if owner == me.as_raw() {
        "it is yours"
    } else if me.is_root() {
        "you are root"
    } else if nix::unistd::getegid().as_raw() == group || mine.iter().any(|gid| gid.as_raw() == group) {
        "you are in its group"
    } else {
        "you are not in its group"
    };
    let text = format!("mode {mode:04o}, group {group}; {why}");
    if mode & 0o002 == 0 {
        Check::ok(CHECK, text)
    } else {
        let text = format!("{text}; every user of this host may use the daemon");
        let mend = if is_ours(path) {
            format!("`chmod o-rwx {}`", shown(path))
        } else {
            "take the others' permissions from the socket (chmod o-rwx)".to_owned()
        };
        Check::warning(CHECK, text, mend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_no_user() {
        assert_eq!(shown(Path::new("/run/user/7/zipnet/zipnetd.sock")), "/run/user/7/zipnet/zipnetd.sock");
        assert_eq!(shown(Path::new("/tmp/zipnet-7/dev.sock")), "/tmp/zipnet-7/dev.sock");
        assert_eq!(shown(Path::new("/run/zipnet/acme.sock")), "/run/zipnet/acme.sock");
        for path in [
            "/home/alice/z.sock",
            "/tmp/alice/z.sock",
            "/run/media/alice/z.sock",
            "/run/user/7/alice",
            "/tmp/zipnet-7alice/x",
        ] {
            assert_eq!(shown(Path::new(path)), ELSEWHERE, "{path}");
        }
    }

    #[test]
    fn a_socket_open_to_all_is_a_warning() {
        let of = |mode| permissions(Path::new("/run/zipnet/zipnetd.sock"), mode, u32::MAX, u32::MAX);
        assert_eq!(of(0o660).level, super::super::Level::Ok);
        assert_eq!(of(0o666).level, super::super::Level::Warning);
        assert_eq!(of(0o666).mend.unwrap(), "`chmod o-rwx /run/zipnet/zipnetd.sock`");
    }
}
