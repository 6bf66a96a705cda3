//! A full disk refuses new messages and keeps the old ones. On a real one: a small tmpfs of the daemon's own.

use std::process::Command;

use zipnet_tests::{Daemon, bin, until};

use super::{START, answers, copy, golden};

/// More than the store's reserve of 16 MiB.
const SIZE: &str = "24m";

#[test]
fn a_full_disk_refuses_new_messages_and_keeps_the_old() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    copy(golden(), &dir.path().join("seed"));
    let mut daemon = Daemon::new(dir.path(), "full");
    daemon.set("ZIPNET_INSTANCE", "dev");
    daemon.set("ZIPNET_UNIVERSE", "nowhere");
    daemon.set("ZIPNET_RELAY", "http://127.0.0.1:1");
    std::fs::create_dir(&state).unwrap();
    // A mount that only this daemon and its children see; an ordinary user gets it with a user namespace.
    let mut unshare = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    let script = format!(
        "mount -t tmpfs -o size={SIZE} none '{0}' && cp -r '{1}'/. '{0}' && exec '{2}'",
        state.display(),
        dir.path().join("seed").display(),
        bin("zipnetd").display()
    );
    unshare.args(["--mount", "sh", "-c", &script]);
    daemon.start_by(unshare);
    answers(&daemon);
    let kept = daemon.send("while there was room").unwrap();

    let inside = format!("/proc/{}/root{}", daemon.process().id(), state.display());
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
