//! Under systemd the log goes to the journal: our fields under one prefix, with the right priorities. The journal is one
//! of the test's own, in a mount namespace that only the daemon sees.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use anyhow::ensure;
use zipnet_tests::{bin, until};

use super::{START, answers, offline};

type Fields = BTreeMap<String, String>;

/// An entry as the journal's native protocol has it: `NAME=value`, or the name, eight bytes of length and the value.
fn fields(mut entry: &[u8]) -> Fields {
    let mut out = Fields::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    while let Some(end) = entry.iter().position(|byte| *byte == b'\n') {
        let (line, rest) = (&entry[..end], &entry[end + 1..]);
        if let Some(at) = line.iter().position(|byte| *byte == b'=') {
            out.insert(text(&line[..at]), text(&line[at + 1..]));
            entry = rest;
        } else {
            let (len, rest) = rest.split_at(8);
            let len = u64::from_le_bytes(len.try_into().unwrap()) as usize;
            out.insert(text(line), text(&rest[..len]));
            entry = &rest[len + 1..];
        }
    }
    out
}

fn is_wanted(entry: &Fields) -> bool {
    entry.get("MESSAGE").is_some_and(|text| text == "control socket")
}

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
    let mut entries: Vec<Fields> = Vec::new();
    until(START, "the journal to have the first lines", || {
        let mut bytes = [0; 16 * 1024];
        while let Ok(len) = socket.recv(&mut bytes) {
            entries.push(fields(&bytes[..len]));
        }
        ensure!(entries.iter().any(is_wanted), "it has {entries:?}");
        Ok(())
    });
    let entry = entries.into_iter().find(is_wanted).unwrap();
    assert_eq!((entry["PRIORITY"].as_str(), entry["SYSLOG_IDENTIFIER"].as_str()), ("6", "zipnetd"));
    assert_eq!(entry["ZIPNET_PATH"], daemon.socket().display().to_string());
    assert!(daemon.process().stop().success());
    assert_eq!(daemon.process().log(), "", "nothing goes to standard error as well");
}
