//! The writer against a disk that the test controls.
#![allow(clippy::unwrap_used)]

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use super::disk::{Disk, RealDisk};
use crate::{Batch, Pending, RESERVE_BYTES, SledStore, Store, StoreError};

#[derive(Default)]
struct Levers {
    free: AtomicU64,
    fail_sync: AtomicBool,
    syncs: Mutex<Syncs>,
    changed: Condvar,
}

#[derive(Default)]
struct Syncs {
    started: u64,
    allowed: u64,
}

struct TestDisk(Arc<Levers>, RealDisk);

impl Disk for TestDisk {
    fn free(&self) -> io::Result<u64> {
        Ok(self.0.free.load(Ordering::SeqCst))
    }

    fn sync(&self) -> io::Result<()> {
        let mut syncs = self.0.syncs.lock().unwrap();
        syncs.started += 1;
        self.0.changed.notify_all();
        let number = syncs.started;
        let _syncs = self.0.changed.wait_while(syncs, |syncs| syncs.allowed < number).unwrap();
        if self.0.fail_sync.load(Ordering::SeqCst) {
            return Err(io::Error::other("the medium is gone"));
        }
        self.1.sync()
    }
}

impl Levers {
    fn allow(&self, syncs: u64) {
        self.syncs.lock().unwrap().allowed = syncs;
        self.changed.notify_all();
    }

    fn wait_started(&self, syncs: u64) {
        drop(self.changed.wait_while(self.syncs.lock().unwrap(), |s| s.started < syncs).unwrap());
    }
}

fn open(dir: &Path) -> (SledStore, Arc<Levers>) {
    let levers = Arc::new(Levers::default());
    levers.free.store(u64::MAX, Ordering::SeqCst);
    levers.allow(u64::MAX);
    let store = SledStore::open_with(dir, |real| Box::new(TestDisk(levers.clone(), real))).unwrap();
    (store, levers)
}

fn put(store: &SledStore, key: &str, value: &[u8]) -> Pending {
    let mut batch = Batch::new();
    batch.put("t", key, value);
    store.commit(batch)
}

/// Whether the answer is there, without waiting for it.
fn answered(pending: &mut Pending) -> bool {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::Pin::new(pending).poll(&mut cx).is_ready()
}

#[test]
fn waiting_batches_share_one_sync_and_none_is_answered_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, levers) = open(dir.path());
    levers.allow(0);
    let mut first = put(&store, "first", b"1");
    levers.wait_started(1);
    let mut rest: Vec<_> = (0..100).map(|i| put(&store, &format!("rest {i}"), b"2")).collect();
    assert!(!answered(&mut first), "answered while its sync was still under way");
    levers.allow(1);
    first.wait().unwrap();
    levers.wait_started(2);
    assert!(!rest.iter_mut().any(answered));
    levers.allow(2);
    for pending in rest {
        pending.wait().unwrap();
    }
    assert_eq!(levers.syncs.lock().unwrap().started, 2);
}

#[test]
fn a_full_queue_makes_the_caller_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (store, levers) = open(dir.path());
    levers.allow(0);
    let first = put(&store, "first", b"1");
    levers.wait_started(1);
    let store = Arc::new(store);
    let pushed = Arc::new(AtomicU64::new(0));
    let pusher = std::thread::spawn({
        let (store, pushed) = (store.clone(), pushed.clone());
        move || {
            let pendings: Vec<_> = (0..1100)
                .map(|i| {
                    let pending = put(&store, &format!("{i}"), b"2");
                    pushed.fetch_add(1, Ordering::SeqCst);
                    pending
                })
                .collect();
            for pending in pendings {
                pending.wait().unwrap();
            }
        }
    });
    while pushed.load(Ordering::SeqCst) < 1024 {
        std::thread::yield_now();
    }
    assert_eq!(pushed.load(Ordering::SeqCst), 1024);
    assert!(!pusher.is_finished());
    levers.allow(u64::MAX);
    first.wait().unwrap();
    pusher.join().unwrap();
    assert_eq!(pushed.load(Ordering::SeqCst), 1100);
}

#[test]
fn a_full_disk_refuses_keeps_the_old_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let (store, levers) = open(dir.path());
    put(&store, "old", b"kept").wait().unwrap();
    levers.free.store(RESERVE_BYTES + 100, Ordering::SeqCst);
    let refused = put(&store, "new", &[0; 1000]).wait().unwrap_err();
    assert!(matches!(refused, StoreError::Full { free, needed, .. } if free < needed), "{refused}");
    assert_eq!(store.get("t", b"old").unwrap().unwrap(), b"kept");
    assert_eq!(store.get("t", b"new").unwrap(), None);
    // Deleting may use the reserve, and what fits goes on.
    levers.free.store(RESERVE_BYTES / 2, Ordering::SeqCst);
    let mut batch = Batch::new();
    batch.delete("t", "old");
    store.commit(batch).wait().unwrap();
    levers.free.store(RESERVE_BYTES * 2, Ordering::SeqCst);
    put(&store, "new", &[0; 1000]).wait().unwrap();
}

#[test]
fn after_a_failed_sync_every_commit_fails_with_its_reason_until_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let (store, levers) = open(dir.path());
    put(&store, "old", b"kept").wait().unwrap();
    levers.fail_sync.store(true, Ordering::SeqCst);
    let failed = put(&store, "new", b"?").wait().unwrap_err();
    assert!(failed.to_string().contains("the medium is gone"), "{failed}");
    levers.fail_sync.store(false, Ordering::SeqCst);
    let later = put(&store, "later", b"!").wait().unwrap_err();
    assert_eq!(later.to_string(), failed.to_string());
    drop(store);
    let (store, _) = open(dir.path());
    assert_eq!(store.get("t", b"old").unwrap().unwrap(), b"kept");
    assert_eq!(store.get("t", b"later").unwrap(), None);
    put(&store, "again", b"fine").wait().unwrap();
}
