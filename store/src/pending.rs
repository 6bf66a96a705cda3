//! The answer to a commit, for threads (`wait`) and for tasks (`.await`) alike.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::StoreError;

type Outcome = Result<(), StoreError>;

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    done: Condvar,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A state is two plain fields: no panic can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves when the batch is durable, or when it is certain that it was not acknowledged.
///
/// After an error the batch may still be found on the disk after a restart, as after a crash.
#[must_use = "the batch is durable only once this resolves"]
pub struct Pending {
    slot: Arc<Slot>,
}

impl Pending {
    /// A pending answer and the handle that gives it.
    pub(crate) fn new() -> (Completer, Pending) {
        let slot = Arc::new(Slot::default());
        (Completer { slot: Some(slot.clone()) }, Pending { slot })
    }

    /// An answer known at once.
    pub(crate) fn ready(outcome: Outcome) -> Pending {
        let (completer, pending) = Pending::new();
        completer.finish(outcome);
        pending
    }

    /// Blocks this thread until the answer is there. In async code `.await` instead.
    ///
    /// # Errors
    /// Why the batch is not durable.
    pub fn wait(self) -> Outcome {
        let mut state = self.slot.lock();
        loop {
            if let Some(outcome) = state.outcome.take() {
                return outcome;
            }
            state = self.slot.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Future for Pending {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.slot.lock();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Gives the answer to one [`Pending`]. Dropped without one (the writer died), it answers with an error.
pub(crate) struct Completer {
    slot: Option<Arc<Slot>>,
}

impl Completer {
    pub(crate) fn finish(mut self, outcome: Outcome) {
        self.answer(outcome);
    }

    fn answer(&mut self, outcome: Outcome) {
        let Some(slot) = self.slot.take() else { return };
        let mut state = slot.lock();
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        drop(state);
        slot.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Completer {
    fn drop(&mut self) {
        self.answer(Err(StoreError::Io {
            action: "write to",
            path: PathBuf::from("the store"),
            detail: "its writer ended before the batch was written".to_owned(),
        }));
    }
}
