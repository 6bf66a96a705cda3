//! What was acknowledged is there after any end of the process.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use zipnet_store::{Batch, MAX_BATCH_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES, SledStore, Store, StoreError};

fn one(tree: &str, key: &[u8], value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put(tree, key, value);
    batch
}

/// The files as a killed process leaves them: what the kernel has at this moment, nothing closed.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn concurrent_callers_find_all_their_acknowledged_batches_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SledStore::open(dir.path()).unwrap());
    let callers: Vec<_> = (0..16u8)
        .map(|caller| {
            let store = store.clone();
            std::thread::spawn(move || {
                for number in 0..25u8 {
                    let mut batch = one("a", &[caller, number], &vec![number; 3000]);
                    batch.put("b", [number, caller], vec![caller; usize::from(number) * 1000]);
                    store.commit(batch).wait().unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.join().unwrap();
    }
    let killed = tempfile::tempdir().unwrap();
    copy(dir.path(), killed.path());

    let after = SledStore::open(killed.path()).unwrap();
    assert_eq!(after.scan("a", &[], 1000).unwrap().len(), 400);
    assert_eq!(after.scan("a", &[], 1000).unwrap(), store.scan("a", &[], 1000).unwrap());
    assert_eq!(after.scan("b", &[], 1000).unwrap(), store.scan("b", &[], 1000).unwrap());
}

#[test]
fn dropping_the_store_writes_what_was_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path()).unwrap();
    for number in 0..200u8 {
        drop(store.commit(one("t", &[number], b"v")));
    }
    drop(store);
    assert_eq!(SledStore::open(dir.path()).unwrap().scan("t", &[], 1000).unwrap().len(), 200);
}

#[test]
fn a_batch_is_atomic_for_readers() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SledStore::open(dir.path()).unwrap());
    let writer = std::thread::spawn({
        let store = store.clone();
        move || {
            for number in 0..60u8 {
                // In parts, and each time another number of them.
                store
                    .commit(one("t", b"k", &vec![number; 20_000 + usize::from(number) * 3001]))
                    .wait()
                    .unwrap();
            }
        }
    });
    while !writer.is_finished() {
        if let Some(value) = store.get("t", b"k").unwrap() {
            assert_eq!(value.len(), 20_000 + usize::from(value[0]) * 3001);
            assert!(value.iter().all(|byte| *byte == value[0]));
        }
    }
    writer.join().unwrap();
    assert_eq!(store.get("t", b"k").unwrap().unwrap().len(), 20_000 + 59 * 3001);
}

#[test]
fn limits_are_named_and_exact() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path()).unwrap();
    store.commit(one("t", &[1; MAX_KEY_BYTES], &vec![7; MAX_VALUE_BYTES])).wait().unwrap();
    assert_eq!(store.get("t", &[1; MAX_KEY_BYTES]).unwrap().unwrap(), vec![7; MAX_VALUE_BYTES]);
    let refused = store.commit(one("t", b"k", &vec![0; MAX_VALUE_BYTES + 1])).wait().unwrap_err();
    assert_eq!(refused.to_string(), "a value of 2097153 bytes is over the limit of 2097152");
    let refused = store.commit(one("t", &[0; MAX_KEY_BYTES + 1], b"")).wait().unwrap_err();
    assert_eq!(refused.to_string(), "a key of 513 bytes is over the limit of 512");
    assert!(matches!(store.commit(one("", b"k", b"")).wait(), Err(StoreError::TreeName { .. })));
    assert!(matches!(store.commit(one("a\0b", b"k", b"")).wait(), Err(StoreError::TreeName { .. })));
    let mut batch = Batch::new();
    let mut number = 0u32;
    while batch.bytes() <= MAX_BATCH_BYTES {
        batch.put("t", number.to_be_bytes(), vec![0; MAX_VALUE_BYTES]);
        number += 1;
    }
    assert!(matches!(store.commit(batch).wait(), Err(StoreError::TooLarge { what: "batch", .. })));
    // The refusals left nothing behind and the store goes on.
    assert_eq!(store.scan("t", &[], 10).unwrap().len(), 1);
    store.commit(one("t", b"k", b"v")).wait().unwrap();
}

#[test]
fn files_are_private() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("state/store");
    let store = SledStore::open(&dir).unwrap();
    store.commit(one("t", b"k", b"v")).wait().unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let mut folders = vec![dir];
    while let Some(folder) = folders.pop() {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
        }
    }
}
