//! A disk that is full, or takes nothing any more. A real one: a small tmpfs of the daemon's own.

use std::path::Path;
use std::process::Command;

use zipnet_tests::{Daemon, bin, until};

use super::{START, answers, copy, golden};

/// More than the store's reserve of 16 MiB.
const SIZE: &str = "24m";

/// A daemon without a network, whose state is on a file system that only it and its children see; an ordinary user gets
/// that with a user namespace. `then` runs before the daemon.
fn on_tmpfs(dir: &Path, then: &str) -> Daemon {
    let state = dir.join("state");
    let seed = dir.join("seed");
    copy(golden(), &seed);
    std::fs::create_dir(&state).unwrap();
    let mut daemon = Daemon::new(dir, "tmpfs");
    daemon.set("ZIPNET_INSTANCE", "dev");
    daemon.set("ZIPNET_UNIVERSE", "nowhere");
    daemon.set("ZIPNET_RELAY", "http://127.0.0.1:1");
    let mut unshare = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    let (state, seed, zipnetd) = (state.display(), seed.display(), bin("zipnetd"));
    let script = format!(
        "mount -t tmpfs -o size={SIZE} none '{state}' && cp -r '{seed}'/. '{state}' && {then} && exec '{}'",
        zipnetd.display()
    );
    unshare.args(["--mount", "sh", "-c", &script]);
    daemon.start_by(unshare);
    daemon
}

#[test]
fn a_full_disk_refuses_new_messages_and_keeps_the_old() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = on_tmpfs(dir.path(), "true");
    answers(&daemon);
    let kept = daemon.send("while there was room").unwrap();

    let inside = format!("/proc/{}/root{}", daemon.process().id(), dir.path().join("state").display());
    let filler = format!("{inside}/filler");
    std::fs::write(&filler, vec![1; 12 << 20]).unwrap();
    let full = daemon.ctl(&["send", "too late"]);
    let errors = String::from_utf8_lossy(&full.stderr);
    assert_eq!(full.status.code(), Some(1), "{errors}");
    assert!(errors.contains("no room on the disk") && errors.contains("hint: free some space"), "{errors}");
    assert_eq!(daemon.state(&kept).unwrap(), "queued", "the old is kept");

    std::fs::remove_file(&filler).unwrap();
    let later = until(START, "messages to be taken again", || daemon.send("there is room again"));
    assert_eq!(daemon.state(&later).unwrap(), "queued");
}

#[test]
fn a_read_only_disk_starts_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let remount = format!("mount -o remount,ro '{}'", dir.path().join("state").display());
    let mut daemon = on_tmpfs(dir.path(), &remount);
    let status = until(START, "the daemon to end", || daemon.process().ended().ok_or("it runs"));
    let log = daemon.process().log();
    assert_eq!(status.code(), Some(4), "{log}");
    assert!(log.contains("Read-only file system") && log.contains("state/client"), "{log}");
}
