//! Damage is loud: found at the start, moved aside, never an empty or a shortened store.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use zipnet_store::{Batch, FORMAT, QUARANTINE_MARKER, SledStore, Store, StoreError};

const KEYS: u32 = 300;

fn value(number: u32) -> Vec<u8> {
    // Not compressible to one byte, so that a flipped bit is never equal by luck; some values in parts.
    let length = if number.is_multiple_of(50) { 50_000 } else { 900 };
    (0..length).map(|i: u32| (i.wrapping_mul(31) ^ number) as u8).collect()
}

/// A store with a history: opened twice, values replaced and deleted.
fn fill(dir: &Path) {
    for opening in 0..2 {
        let store = SledStore::open(dir).unwrap();
        for number in 0..KEYS {
            let mut batch = Batch::new();
            batch.put("t", number.to_be_bytes(), if opening == 0 { vec![0; 500] } else { value(number) });
            batch.put("gone", number.to_be_bytes(), b"x");
            batch.delete("gone", number.wrapping_sub(1).to_be_bytes());
            drop(store.commit(batch));
        }
        store.commit(Batch::new()).wait().unwrap();
    }
}

fn intact(store: &SledStore) -> bool {
    (0..KEYS).all(|number| store.get("t", &number.to_be_bytes()).unwrap() == Some(value(number)))
        && store.scan("t", &[], 1000).unwrap().len() == KEYS as usize
        && store.scan("gone", &[], 1000).unwrap().len() == 1
}

fn expect_corrupt(dir: &Path) -> (PathBuf, String) {
    match SledStore::open(dir) {
        Err(StoreError::Corrupt { quarantine: Some(at), detail, .. }) => (at, detail),
        Err(other) => panic!("expected damage, got {other}"),
        Ok(_) => panic!("a damaged store was opened"),
    }
}

#[test]
fn a_truncated_store_is_moved_aside_and_stays_refused_until_the_marker_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let db = dir.path().join("data/db");
    let file = std::fs::OpenOptions::new().write(true).open(&db).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();

    let (at, _) = expect_corrupt(dir.path());
    assert!(at.starts_with(dir.path()) && at.join("db").exists());
    assert!(at.file_name().unwrap().to_str().unwrap().starts_with("corrupt-"));
    assert!(!dir.path().join("data").exists());

    let again = SledStore::open(dir.path()).err().unwrap();
    let text = again.to_string();
    assert!(matches!(again, StoreError::Corrupt { quarantine: Some(second), .. } if second == at));
    assert!(text.contains(QUARANTINE_MARKER) && text.contains(at.to_str().unwrap()), "{text}");

    std::fs::remove_file(dir.path().join(QUARANTINE_MARKER)).unwrap();
    let store = SledStore::open(dir.path()).unwrap();
    assert!(store.scan("t", &[], 1).unwrap().is_empty());
    assert!(at.join("db").exists());
}

#[test]
fn a_lost_end_of_the_log_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    // An older copy of sled's own files: whole and readable, and not what was acknowledged last.
    let data = dir.path().join("data");
    let old = dir.path().join("old");
    std::fs::create_dir(&old).unwrap();
    for name in std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()) {
        if name != "blobs" && name != "tip" {
            std::fs::copy(data.join(&name), old.join(&name)).unwrap();
        }
    }
    let store = SledStore::open(dir.path()).unwrap();
    let mut batch = Batch::new();
    batch.put("t", b"acknowledged", b"then lost");
    store.commit(batch).wait().unwrap();
    drop(store);
    for entry in std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_name().to_str().unwrap().starts_with("snap.") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    for entry in std::fs::read_dir(&old).unwrap().map(|entry| entry.unwrap()) {
        std::fs::copy(entry.path(), data.join(entry.file_name())).unwrap();
    }
    let (_, detail) = expect_corrupt(dir.path());
    assert!(detail.contains("was acknowledged"), "{detail}");
}

#[test]
fn a_flipped_bit_is_noticed_or_harmless() {
    let original = tempfile::tempdir().unwrap();
    fill(original.path());
    let db = std::fs::read(original.path().join("data/db")).unwrap();
    let used: Vec<usize> = db.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(at, _)| at).collect();
    let mut noticed = 0;
    for number in 0..40 {
        let at = used[used.len() * number / 40];
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("data/blobs")).unwrap();
        for entry in std::fs::read_dir(original.path().join("data")).unwrap().map(|entry| entry.unwrap()) {
            if entry.file_name() != "blobs" {
                std::fs::copy(entry.path(), dir.path().join("data").join(entry.file_name())).unwrap();
            }
        }
        let file = std::fs::OpenOptions::new().write(true).open(dir.path().join("data/db")).unwrap();
        file.write_all_at(&[db[at] ^ (1 << (number % 8))], at as u64).unwrap();
        match SledStore::open(dir.path()) {
            Ok(store) => assert!(intact(&store), "a bit flipped at {at} went unnoticed and lost data"),
            Err(StoreError::Corrupt { quarantine: Some(at), .. }) => {
                assert!(at.join("db").exists());
                noticed += 1;
            }
            Err(other) => panic!("a bit flipped at {at}: {other}"),
        }
    }
    assert!(noticed > 0, "no flip hit live data");
}

#[test]
fn missing_files_are_damage() {
    for name in ["db", "tip", "FORMAT"] {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path());
        std::fs::remove_file(dir.path().join("data").join(name)).unwrap();
        let (_, detail) = expect_corrupt(dir.path());
        assert!(detail.contains(name), "{detail}");
    }
}

#[test]
fn an_unfinished_creation_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    drop(SledStore::open(dir.path()).unwrap());
    std::fs::remove_file(dir.path().join("data/FORMAT")).unwrap();
    drop(SledStore::open(dir.path()).unwrap());
    assert!(dir.path().join("data/FORMAT").exists());
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let format = dir.path().join("data/FORMAT");
    std::fs::write(&format, format!("{}\n", FORMAT + 1)).unwrap();
    let refused = SledStore::open(dir.path()).err().unwrap();
    assert!(matches!(refused, StoreError::TooNew { found, known, .. } if found == known + 1), "{refused}");
    std::fs::write(&format, format!("{FORMAT}\n")).unwrap();
    assert!(intact(&SledStore::open(dir.path()).unwrap()));
}

#[test]
fn a_locked_store_names_its_holder() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path()).unwrap();
    let refused = SledStore::open(dir.path()).err().unwrap();
    let expected = format!("process {} (this one)", std::process::id());
    assert!(matches!(&refused, StoreError::Locked { holder, .. } if *holder == expected), "{refused}");
    drop(store);
    SledStore::open(dir.path()).unwrap();
}
