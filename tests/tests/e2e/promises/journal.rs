//! Under systemd the log goes to the journal: our fields under one prefix, with the right priorities. The journal is one
//! of the test's own, in a mount namespace that only the daemon sees.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use anyhow::ensure;
use zipnet_tests::{bin, until};

use super::{START, answers, offline};

#[test]
fn under_systemd_the_log_is_the_journals_with_fields_and_priorities() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    fs::create_dir(&journal).unwrap();
    let socket = UnixDatagram::bind(journal.join("socket")).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut daemon = offline(dir.path());
    // systemd names what standard error is connected to; here that is the file of the test.
    let errors = File::create(dir.path().join("offline.log")).unwrap().metadata().unwrap();
    daemon.set("JOURNAL_STREAM", &format!("{}:{}", errors.dev(), errors.ino()));
    let mut unshare = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    let script = format!(
        "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind '{}' /run/systemd/journal && exec '{}'",
        journal.display(),
        bin("zipnetd").display()
    );
    unshare.args(["--mount", "sh", "-c", &script]);
    daemon.start_by(unshare);
    answers(&daemon);
    let mut entries: Vec<String> = Vec::new();
    until(START, "the journal to have the first lines", || {
        let mut bytes = [0; 16 * 1024];
        while let Ok(len) = socket.recv(&mut bytes) {
            entries.push(String::from_utf8_lossy(&bytes[..len]).into_owned());
        }
        let about = entries.iter().find(|entry| entry.contains("control socket"));
        ensure!(about.is_some(), "it has {entries:?}");
        Ok(())
    });
    let entry = entries.iter().find(|entry| entry.contains("control socket")).unwrap();
    for field in ["PRIORITY=6", "SYSLOG_IDENTIFIER=zipnetd", "ZIPNET_PATH"] {
        assert!(entry.contains(field), "{field} lacks: {entry}");
    }
    assert!(daemon.process().stop().success());
    assert_eq!(daemon.process().log(), "", "nothing goes to standard error as well");
}
