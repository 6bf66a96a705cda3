//! *Corruption is loud*: a damaged store is set aside and nothing starts without it; a locked one names its holder.

use std::fs;

use zipnet_tests::Daemon;

use super::{answers, offline};

fn refused(daemon: &mut Daemon, code: i32, texts: &[&str]) {
    daemon.start();
    let name = texts.join(", ");
    let status = zipnet_tests::until(super::START, &format!("the daemon to end: {name}"), || {
        daemon.process().ended().ok_or("it runs")
    });
    let log = daemon.process().log();
    assert_eq!(status.code(), Some(code), "{log}");
    for text in texts {
        assert!(log.contains(text), "it does not say `{text}`:\n{log}");
    }
}

#[test]
fn corruption_is_loud_and_nothing_starts_empty() {
    for damage in ["flipped", "cut"] {
        let dir = tempfile::tempdir().unwrap();
        let mut daemon = offline(dir.path());
        let data = dir.path().join("state/client/data");
        let mut bytes = fs::read(data.join("db")).unwrap();
        if damage == "cut" {
            bytes.truncate(1_000);
        } else {
            // Wherever there is something.
            for at in (0..bytes.len()).filter(|at| at % 97 == 0) {
                if bytes[at] != 0 {
                    bytes[at] ^= 0x40;
                }
            }
        }
        fs::write(data.join("db"), bytes).unwrap();
        refused(&mut daemon, 4, &["is damaged", "It is kept in", "put a backup at"]);
        // Not by a second start either.
        refused(&mut daemon, 4, &["is damaged", "It is kept in"]);
        let kept: Vec<_> = fs::read_dir(dir.path().join("state/client")).unwrap().flatten().collect();
        let kept = kept.iter().filter(|e| e.file_name().to_string_lossy().contains("damaged")).count();
        assert!(!data.join("db").exists() || kept > 0, "{damage}: the damaged files are gone");
    }
}

#[test]
fn a_locked_store_names_its_holder() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = offline(dir.path());
    first.start();
    answers(&first);
    let mut second = Daemon::new(dir.path(), "second");
    second.set("ZIPNET_INSTANCE", "dev");
    second.set("ZIPNET_SOCKET", &dir.path().join("second.sock").display().to_string());
    let holder = format!("is in use by process {}", first.process().id());
    refused(&mut second, 4, &[&holder, "another zipnetd uses this state folder"]);
    assert!(first.status().is_ok(), "the first one goes on");
}
