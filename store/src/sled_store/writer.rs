//! The one writer thread: takes what is waiting, makes all of it durable with one fdatasync, then answers.
//!
//! After an I/O error the store is poisoned: what the kernel still holds and what reached the disk is unknown then
//! (a failed fsync may drop the dirty pages and succeed when repeated), so every later commit fails with the same
//! reason, until a restart reads back what is really there. Only the check for free space, made before anything is
//! written, refuses a single batch and goes on.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use crate::pending::Completer;
use crate::{Batch, MAX_BATCH_BYTES, Pending, StoreError};

use super::disk::Disk;
use super::folder::Tip;
use super::{RESERVE_BYTES, SEQUENCE, layout, unreadable};

/// Batches that may wait; beyond it `commit` waits itself.
const QUEUE_BATCHES: usize = 1024;
/// Bytes that may wait, so that a group's memory and its share of the disk stay bounded.
const QUEUE_BYTES: usize = 2 * MAX_BATCH_BYTES;
/// sled writes a batch, and again when it consolidates leaves: what a byte costs on disk until space is reclaimed.
const AMPLIFICATION: u64 = 3;

#[derive(Default)]
struct State {
    waiting: VecDeque<(Batch, Completer)>,
    bytes: usize,
    closing: bool,
    poison: Option<StoreError>,
}

/// The queue between callers and the writer thread.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Signals the writer: something waits, or the store closes.
    work: Condvar,
    /// Signals callers: there is room again.
    room: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, batch: Batch) -> Pending {
        let mut state = self.lock();
        // A batch alone always fits: it is smaller than QUEUE_BYTES.
        while state.poison.is_none()
            && (state.waiting.len() >= QUEUE_BATCHES || state.bytes + batch.bytes() > QUEUE_BYTES)
        {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(error) = &state.poison {
            return Pending::ready(Err(error.clone()));
        }
        let (completer, pending) = Pending::new();
        state.bytes += batch.bytes();
        state.waiting.push_back((batch, completer));
        drop(state);
        self.work.notify_one();
        pending
    }

    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
    }

    /// Everything waiting; `None` when the store closes and nothing is left.
    fn take(&self) -> Option<Vec<(Batch, Completer)>> {
        let mut state = self.lock();
        while state.waiting.is_empty() && !state.closing {
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.waiting.is_empty() {
            return None;
        }
        state.bytes = 0;
        let group = state.waiting.drain(..).collect();
        drop(state);
        self.room.notify_all();
        Some(group)
    }

    /// Refuses everything from now on, what is waiting too.
    fn poison(&self, error: &StoreError) {
        let mut state = self.lock();
        state.poison = Some(error.clone());
        state.bytes = 0;
        let waiting: Vec<_> = state.waiting.drain(..).collect();
        drop(state);
        self.room.notify_all();
        for (_, completer) in waiting {
            completer.finish(Err(error.clone()));
        }
    }
}

pub(crate) struct Writer {
    pub(crate) root: PathBuf,
    pub(crate) queue: Arc<Queue>,
    pub(crate) trees: super::Trees,
    /// Held for writing while a batch is applied, so that readers never see half of one.
    pub(crate) gate: Arc<RwLock<()>>,
    pub(crate) disk: Box<dyn Disk>,
    pub(crate) tip: Tip,
    /// Number of the last group.
    pub(crate) sequence: u64,
}

impl Writer {
    /// Runs until the queue is closed and empty, or poisoned.
    pub(crate) fn run(mut self) {
        while let Some(group) = self.queue.take() {
            let (admitted, completers) = self.admit(group);
            // sled asserts where others return errors; a panic of it must not look like a store that hangs.
            let written = catch_unwind(AssertUnwindSafe(|| self.write(admitted))).unwrap_or_else(|_| {
                Err(StoreError::Corrupt {
                    dir: self.root.clone(),
                    quarantine: None,
                    detail: "sled panicked while writing".to_owned(),
                })
            });
            if let Err(error) = &written {
                tracing::error!(store = %self.root.display(), %error, "the store refuses all writes from now on");
                self.queue.poison(error);
            }
            for completer in completers {
                completer.finish(written.clone());
            }
        }
    }

    /// Refuses what the disk has no room for. The rest, in order, with those to answer.
    fn admit(&self, group: Vec<(Batch, Completer)>) -> (Vec<Batch>, Vec<Completer>) {
        let free = match self.disk.free() {
            Ok(free) => free,
            Err(error) => {
                let error = StoreError::io("ask for the free space of", &self.root)(error);
                for (_, completer) in group {
                    completer.finish(Err(error.clone()));
                }
                return (Vec::new(), Vec::new());
            }
        };
        let mut left = free;
        let (mut admitted, mut completers) = (Vec::new(), Vec::new());
        for (batch, completer) in group {
            let cost = batch.bytes() as u64 * AMPLIFICATION;
            let reserve = if batch.only_deletes() { RESERVE_BYTES / 4 } else { RESERVE_BYTES };
            if left < cost + reserve {
                let dir = self.root.clone();
                completer.finish(Err(StoreError::Full { dir, free, needed: cost + reserve }));
                continue;
            }
            left -= cost;
            admitted.push(batch);
            completers.push(completer);
        }
        (admitted, completers)
    }

    fn write(&mut self, group: Vec<Batch>) -> Result<(), StoreError> {
        if group.iter().all(Batch::is_empty) {
            return Ok(());
        }
        let failed = |error| unreadable(&self.root, error);
        for batch in group {
            let ops = layout::encode(&self.trees.data, batch.into_ops()).map_err(failed)?;
            let _exclusive = self.gate.write().unwrap_or_else(PoisonError::into_inner);
            self.trees.data.apply_batch(ops).map_err(|error| failed(error.into()))?;
        }
        self.sequence += 1;
        // Behind the group in sled's log: if this number is there after a crash, so is the group.
        self.trees
            .meta
            .insert(SEQUENCE, &self.sequence.to_le_bytes())
            .and_then(|_| self.trees.meta.flush())
            .map_err(|error| failed(error.into()))?;
        self.disk.sync().map_err(StoreError::io("sync", &self.root))?;
        self.tip.write(self.sequence)
    }
}
