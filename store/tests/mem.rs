//! The twin in memory forgets exactly what was not synced.
#![allow(clippy::unwrap_used)]

use zipnet_store::{Batch, MemStore, Pending, Store};

fn put(store: &MemStore, key: &str, value: &str) -> Pending {
    let mut batch = Batch::new();
    batch.put("t", key, value);
    store.commit(batch)
}

#[test]
fn a_crash_keeps_the_synced_and_loses_the_rest() {
    let store = MemStore::new();
    put(&store, "k", "synced").wait().unwrap();
    store.hold();
    let held = put(&store, "k", "held");
    assert_eq!(store.get("t", b"k").unwrap().unwrap(), b"held");
    let crashed = store.crash();
    assert_eq!(crashed.get("t", b"k").unwrap().unwrap(), b"synced");
    assert_eq!(crashed.last("t").unwrap().unwrap().1, b"synced");
    store.release();
    held.wait().unwrap();
    assert_eq!(store.crash().get("t", b"k").unwrap().unwrap(), b"held");
    assert_eq!(store.commits(), 2);
}

#[test]
fn an_injected_failure_poisons() {
    let store = MemStore::new();
    store.fail_at(2);
    put(&store, "a", "1").wait().unwrap();
    let failed = put(&store, "b", "2").wait().unwrap_err().to_string();
    assert!(failed.contains("injected"));
    assert_eq!(put(&store, "c", "3").wait().unwrap_err().to_string(), failed);
    assert_eq!(store.scan("t", &[], 10).unwrap().len(), 1);
    put(&store.crash(), "c", "3").wait().unwrap();
}
