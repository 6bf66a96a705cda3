//! Every way not to reach the daemon, and finding one by itself.

use std::{
    fs::{self, Permissions},
    io::Write,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
};

use tempfile::TempDir;
use zipnet_proto::{SYSTEM_SOCKET, v1::StatusResponse};

use crate::{
    fake::{Running, Script},
    run::{Ran, ctl, ctl_at, expect, run, snapshot, unprivileged},
};

fn dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    chmod(dir.path(), 0o755);
    dir
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn health(dir: &TempDir, name: &str) -> Ran {
    run(ctl_at(&dir.path().join(name), &["health"]), dir.path())
}

#[test]
fn no_daemon() {
    let dir = dir();
    let hint = "start one: `zipnetd --dev` runs a whole network to try things with; a daemon elsewhere is named by \
                --socket or ZIPNET_SOCKET";
    snapshot("no_daemon", &health(&dir, "none"));
    let mut by_environment = ctl(&["health"]);
    by_environment.env("ZIPNET_SOCKET", dir.path().join("none"));
    snapshot("no_daemon", &run(by_environment, dir.path()));
    expect(
        &run(ctl_at(&dir.path().join("none"), &["health", "--json"]), dir.path()),
        3,
        "",
        &format!(
            "{{\"error\":\"no daemon: there is no socket at [DIR]/none\",\"reason\":\"NoDaemon\",\"hint\":\"{hint}\"}}\n"
        ),
    );
}

#[test]
fn a_socket_that_nobody_listens_at() {
    let dir = dir();
    drop(UnixListener::bind(dir.path().join("stale")).unwrap());
    snapshot("stale_socket", &health(&dir, "stale"));
}

#[test]
fn what_is_not_our_socket() {
    let dir = dir();
    let hint = "hint: check --socket and ZIPNET_SOCKET: they must name the control socket of zipnetd\n";
    fs::write(dir.path().join("file"), "").unwrap();
    snapshot("not_a_socket", &health(&dir, "file"));

    let listener = UnixListener::bind(dir.path().join("other")).unwrap();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let ran = health(&dir, "other");
    other.join().unwrap();
    assert_eq!(ran.code, 3);
    assert!(
        ran.stderr.starts_with("error: what listens at [DIR]/other does not answer as zipnetd does: "),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.ends_with(hint), "{}", ran.stderr);

    let long = "x".repeat(120);
    let ran = health(&dir, &long);
    let bytes = dir.path().join(&long).as_os_str().len();
    expect(
        &ran,
        3,
        "",
        &format!(
            "error: the socket path [DIR]/{long} has {bytes} bytes, at most 107 are possible\n\
             hint: use a shorter path for the socket, for the daemon too\n"
        ),
    );
}

#[test]
fn no_permission_is_exit_code_4_and_names_what_is_closed() {
    let dir = dir();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    let _daemon = Running::start(&dir.path().join("z.sock"), Script::default());
    let _inner = Running::start(&closed.join("z.sock"), Script::default());
    chmod(&dir.path().join("z.sock"), 0o000);
    chmod(&closed, 0o000);

    let ran = run(unprivileged(ctl_at(&dir.path().join("z.sock"), &["health"]), dir.path()), dir.path());
    snapshot("no_permission_socket", &ran);
    let ran = run(unprivileged(ctl_at(&closed.join("z.sock"), &["health"]), dir.path()), dir.path());
    snapshot("no_permission_folder", &ran);
    chmod(&closed, 0o700);
}

#[test]
fn a_wedged_daemon_is_given_up() {
    let dir = dir();
    let _listener = UnixListener::bind(dir.path().join("wedged")).unwrap();
    snapshot("wedged_daemon", &health(&dir, "wedged"));
}

#[test]
fn a_users_own_daemons_are_found_but_not_in_a_folder_open_to_others() {
    if Path::new(SYSTEM_SOCKET).exists() {
        eprintln!("{SYSTEM_SOCKET} exists here and goes first: not tested");
        return;
    }
    let dir = dir();
    let folder = dir.path().join("zipnet");
    fs::create_dir(&folder).unwrap();
    chmod(&folder, 0o700);
    let status = StatusResponse { version: "1.2.3".into(), ..StatusResponse::default() };
    let dev = Running::start(&folder.join("dev.sock"), Script { status, ..Script::default() });
    let version = || {
        let mut command = ctl(&["version"]);
        command.env("XDG_RUNTIME_DIR", dir.path());
        run(command, dir.path())
    };
    let ours = env!("CARGO_PKG_VERSION");
    expect(&version(), 0, &format!("zipnetctl  {ours}\nzipnetd    1.2.3 at [DIR]/zipnet/dev.sock\n"), "");

    let status = StatusResponse { version: "4.5.6".into(), ..StatusResponse::default() };
    let _own = Running::start(&folder.join("zipnetd.sock"), Script { status, ..Script::default() });
    let own = format!("zipnetctl  {ours}\nzipnetd    4.5.6 at [DIR]/zipnet/zipnetd.sock\n");
    expect(&version(), 0, &own, "");
    drop(dev);
    expect(&version(), 0, &own, "");

    chmod(&folder, 0o777);
    let mut command = ctl(&["health"]);
    command.env("XDG_RUNTIME_DIR", dir.path());
    expect(
        &run(command, dir.path()),
        4,
        "",
        "error: the socket [DIR]/zipnet/zipnetd.sock is not trusted: folder [DIR]/zipnet may be written by others (mode \
         0777, expected 0700)\n\
         hint: somebody else may have put it there; if it is yours, name it with --socket\n",
    );
}
