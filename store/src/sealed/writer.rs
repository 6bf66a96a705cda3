//! What waits, and the one writer thread: a frame at each beat, whether or not anything waits.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::Salts;
use super::entry::{self, Trees, cost};
use super::frame::{Cipher, Name, ROOM};
use super::layout::{self, Layout};
use super::medium::Medium;
use crate::batch::Op;
use crate::pending::Completer;
use crate::{Batch, Pending, StoreError};

/// Bytes that may wait; beyond it `commit` waits itself. A batch alone always fits.
const WAITING_BYTES: usize = 1024 * 1024;

#[derive(Default)]
struct Inner {
    trees: Trees,
    /// Bytes of `trees` in a snapshot.
    used: usize,
    /// Entries that are not in a frame yet, the first one perhaps in part.
    waiting: VecDeque<u8>,
    /// Bytes of entries that are in frames.
    written: u64,
    /// Whom to answer, when so many bytes are written.
    callers: VecDeque<(u64, Completer)>,
    closing: bool,
    poison: Option<StoreError>,
}

impl Inner {
    /// Applies a batch and lets it wait for the writer; or, if the next snapshot would not hold it, changes nothing.
    fn apply(&mut self, batch: Batch, capacity: usize, path: &Path) -> Result<(), StoreError> {
        let ops = batch.into_ops();
        if ops.is_empty() {
            return Ok(());
        }
        let (waited, was) = (self.waiting.len(), self.used);
        entry::encode(&mut self.waiting, ops.iter().map(entry::borrowed));
        let mut before = Vec::with_capacity(ops.len());
        for Op { tree, key, value } in ops {
            let value = self.set(&tree, &key, value.map(Zeroizing::new));
            before.push((tree, key, value));
        }
        if self.used <= capacity.max(was) {
            return Ok(());
        }
        let needed = (self.used - was) as u64;
        for (tree, key, value) in before.into_iter().rev() {
            self.set(&tree, &key, value);
        }
        self.waiting.truncate(waited);
        let free = capacity.saturating_sub(was) as u64;
        Err(StoreError::Full { dir: path.to_owned(), free, needed })
    }

    /// Sets or removes a value, and gives back what was there.
    fn set(
        &mut self,
        tree: &str,
        key: &[u8],
        value: Option<Zeroizing<Vec<u8>>>,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let pairs = self.trees.entry(tree.to_owned()).or_default();
        let added = value.as_ref().map_or(0, |value| cost(tree, key, value));
        let before = match value {
            Some(value) => pairs.insert(key.to_vec(), value),
            None => pairs.remove(key),
        };
        self.used += added;
        self.used -= before.as_ref().map_or(0, |before| cost(tree, key, before));
        before
    }
}

/// What callers and the writer share.
#[derive(Default)]
pub(crate) struct State {
    inner: Mutex<Inner>,
    /// Signals the writer: the store closes.
    closes: Condvar,
    /// Signals callers: there is room again.
    room: Condvar,
}

impl State {
    pub(crate) fn new(trees: Trees) -> Self {
        let pairs = trees.iter().flat_map(|(tree, pairs)| pairs.iter().map(move |(k, v)| cost(tree, k, v)));
        let used = pairs.sum();
        Self { inner: Mutex::new(Inner { trees, used, ..Inner::default() }), ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Trees) -> T) -> T {
        read(&self.lock().trees)
    }

    pub(crate) fn used(&self) -> usize {
        self.lock().used
    }

    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.closes.notify_one();
    }

    pub(crate) fn push(&self, batch: Batch, capacity: usize, path: &Path) -> Pending {
        let mut inner = self.lock();
        while inner.poison.is_none()
            && !inner.waiting.is_empty()
            && inner.waiting.len() + batch.bytes() > WAITING_BYTES
        {
            inner = self.room.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(error) = &inner.poison {
            return Pending::ready(Err(error.clone()));
        }
        if let Err(error) = inner.apply(batch, capacity, path) {
            return Pending::ready(Err(error));
        }
        let (completer, pending) = Pending::new();
        let end = inner.written + inner.waiting.len() as u64;
        inner.callers.push_back((end, completer));
        pending
    }

    /// The bytes of the next frame, and who is answered when it is written; none when the store closes and nothing waits.
    fn next(&self) -> Option<(Zeroizing<Vec<u8>>, Vec<Completer>)> {
        let mut inner = self.lock();
        if inner.closing && inner.callers.is_empty() {
            return None;
        }
        let len = inner.waiting.len().min(ROOM);
        let bytes = Zeroizing::new(inner.waiting.drain(..len).collect::<Vec<u8>>());
        inner.written += len as u64;
        let written = inner.written;
        let done = inner.callers.iter().take_while(|(end, _)| *end <= written).count();
        let callers = inner.callers.drain(..done).map(|(_, completer)| completer).collect();
        drop(inner);
        self.room.notify_all();
        Some((bytes, callers))
    }

    /// Everything, for a snapshot: nothing has to be written besides. Who waits is answered with the first frame behind it, since
    /// a snapshot of which the first frame is lost cannot be told from one that was never finished.
    fn all(&self) -> Zeroizing<Vec<u8>> {
        let mut inner = self.lock();
        let bytes = entry::snapshot(&inner.trees);
        inner.waiting.clear();
        let written = inner.written;
        for (end, _) in &mut inner.callers {
            *end = written;
        }
        drop(inner);
        self.room.notify_all();
        bytes
    }

    /// Waits for the next beat; not at all when the store closes.
    fn wait(&self, until: Instant) {
        let mut inner = self.lock();
        while !inner.closing {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            inner = self.closes.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Refuses everything from now on, what is waiting too.
    fn poison(&self, error: &StoreError) {
        let mut inner = self.lock();
        inner.poison = Some(error.clone());
        inner.waiting.clear();
        let callers: Vec<_> = inner.callers.drain(..).collect();
        drop(inner);
        self.room.notify_all();
        for (_, completer) in callers {
            completer.finish(Err(error.clone()));
        }
    }
}

pub(crate) struct Writer {
    pub(crate) path: PathBuf,
    pub(crate) state: Arc<State>,
    pub(crate) medium: Box<dyn Medium>,
    pub(crate) layout: Layout,
    pub(crate) cipher: Cipher,
    /// The half that is written.
    pub(crate) half: u64,
    /// Of the next frame.
    pub(crate) next: Name,
    pub(crate) beat: Duration,
    pub(crate) salts: Salts,
}

impl Writer {
    /// Runs until the store closes and nothing waits, or a write fails: what is on the medium then is unknown, until a
    /// restart reads it.
    pub(crate) fn run(mut self) {
        let mut beat = Instant::now();
        loop {
            // A beat that was missed is left out: they never come faster.
            beat = (beat + self.beat).max(Instant::now());
            self.state.wait(beat);
            if self.next.index == self.layout.half {
                if let Err(error) = self.turn() {
                    return self.fail(error, Vec::new());
                }
                continue;
            }
            let Some((bytes, callers)) = self.state.next() else { return };
            if let Err(error) = self.frame(&bytes) {
                return self.fail(error, callers);
            }
            for caller in callers {
                caller.finish(Ok(()));
            }
        }
    }

    fn frame(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let frame = self.cipher.seal(self.next, bytes);
        self.medium.write(&frame, self.layout.at(self.half, self.next.index))?;
        self.next.index += 1;
        self.medium.sync()
    }

    /// This half is full: everything once more into the other one.
    fn turn(&mut self) -> std::io::Result<()> {
        self.half = 1 - self.half;
        let first = Name { salt: (self.salts)(), epoch: self.next.epoch + 1, index: 0 };
        let all = self.state.all();
        layout::begin(&*self.medium, self.layout, &self.cipher, self.half, first, &all)?;
        self.next = Name { index: self.layout.snapshot, ..first };
        Ok(())
    }

    fn fail(&self, error: std::io::Error, callers: Vec<Completer>) {
        let error = StoreError::io("write to", &self.path)(error);
        tracing::error!(store = %self.path.display(), %error, "the store refuses all writes from now on");
        self.state.poison(&error);
        for caller in callers {
            caller.finish(Err(error.clone()));
        }
    }
}
