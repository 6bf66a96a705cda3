//! The in-memory twin of the store on disk, for tests of crashes and failures.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::batch::Op;
use crate::pending::Completer;
use crate::{Batch, Pair, Pending, Store, StoreError};

type Trees = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

#[derive(Default)]
struct Inner {
    /// What readers see.
    visible: Trees,
    /// What survives a crash. Always `visible` without the batches in `held`.
    synced: Trees,
    /// Applied, not synced, oldest first.
    held: Vec<(Vec<Op>, Completer)>,
    holding: bool,
    commits: u64,
    fail_at: Option<u64>,
    poison: Option<StoreError>,
}

/// A [`Store`] in memory with the same promises and the same failure rules as `SledStore`, plus levers for tests.
///
/// Commits are durable at once, unless [`MemStore::hold`] says that the disk is slow.
#[derive(Default)]
pub struct MemStore {
    inner: Mutex<Inner>,
}

impl MemStore {
    /// An empty store.
    pub fn new() -> MemStore {
        MemStore::default()
    }

    /// What a restart after a crash finds: a new store with exactly the synced batches. This one goes on as it was.
    pub fn crash(&self) -> MemStore {
        let synced = self.lock().synced.clone();
        MemStore { inner: Mutex::new(Inner { visible: synced.clone(), synced, ..Inner::default() }) }
    }

    /// From now on commits are applied but neither synced nor acknowledged, until [`MemStore::release`].
    pub fn hold(&self) {
        self.lock().holding = true;
    }

    /// Syncs and acknowledges everything held, in order, and ends the holding.
    pub fn release(&self) {
        let mut inner = self.lock();
        inner.holding = false;
        let held = std::mem::take(&mut inner.held);
        for (ops, completer) in held {
            apply(&mut inner.synced, &ops);
            completer.finish(Ok(()));
        }
    }

    /// Lets the `n`-th commit from now (1 is the next) fail as an I/O error. As on disk, the store then refuses all
    /// further commits with the same reason.
    pub fn fail_at(&self, n: u64) {
        let mut inner = self.lock();
        inner.fail_at = Some(inner.commits + n);
    }

    /// Number of commits so far, for tests that crash after each of them.
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn apply(trees: &mut Trees, ops: &[Op]) {
    for op in ops {
        let tree = trees.entry(op.tree.clone()).or_default();
        match &op.value {
            Some(value) => tree.insert(op.key.clone(), value.clone()),
            None => tree.remove(&op.key),
        };
    }
}

impl Store for MemStore {
    fn get(&self, tree: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().visible.get(tree).and_then(|tree| tree.get(key)).cloned())
    }

    fn scan(&self, tree: &str, from: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        let inner = self.lock();
        let Some(tree) = inner.visible.get(tree) else { return Ok(Vec::new()) };
        Ok(tree.range(from.to_vec()..).take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn last(&self, tree: &str) -> Result<Option<Pair>, StoreError> {
        let inner = self.lock();
        let last = inner.visible.get(tree).and_then(BTreeMap::last_key_value);
        Ok(last.map(|(key, value)| (key.clone(), value.clone())))
    }

    fn commit(&self, batch: Batch) -> Pending {
        if let Err(error) = batch.check() {
            return Pending::ready(Err(error));
        }
        let mut inner = self.lock();
        if let Some(error) = &inner.poison {
            return Pending::ready(Err(error.clone()));
        }
        inner.commits += 1;
        if inner.fail_at == Some(inner.commits) {
            let error = StoreError::Io {
                action: "write to",
                path: PathBuf::from("the store in memory"),
                detail: format!("failure injected at commit {}", inner.commits),
            };
            inner.poison = Some(error.clone());
            return Pending::ready(Err(error));
        }
        let ops = batch.into_ops();
        apply(&mut inner.visible, &ops);
        if inner.holding {
            let (completer, pending) = Pending::new();
            inner.held.push((ops, completer));
            return pending;
        }
        apply(&mut inner.synced, &ops);
        Pending::ready(Ok(()))
    }
}
