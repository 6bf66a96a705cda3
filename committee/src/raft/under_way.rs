//! Entries on their way into the log. Whoever needs one asks for it again and again, and would fill the log of a slow or cut
//! off leader with copies, which then have to get over the same slow links before anything else.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The entries under way. Bounded by whoever bounds how many are.
#[derive(Clone, Default)]
pub(crate) struct UnderWay(Arc<Mutex<BTreeSet<Arc<[u8]>>>>);

/// An entry is under way as long as this lives.
pub(crate) struct Entered {
    all: UnderWay,
    entry: Arc<[u8]>,
}

impl UnderWay {
    /// Notes that this entry is under way; `None` if it is already.
    pub(crate) fn enter(&self, entry: &[u8]) -> Option<Entered> {
        let entry: Arc<[u8]> = entry.into();
        self.set().insert(entry.clone()).then(|| Entered { all: self.clone(), entry })
    }

    fn set(&self) -> MutexGuard<'_, BTreeSet<Arc<[u8]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.all.set().remove(&self.entry);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_same_entry_is_under_way_once_at_a_time() {
        let all = UnderWay::default();
        let first = all.enter(b"one").unwrap();
        assert!(all.enter(b"one").is_none());
        let second = all.enter(b"two").unwrap();
        drop(first);
        assert!(all.enter(b"two").is_none());
        drop(second);
        assert!(all.enter(b"one").is_some() && all.set().is_empty());
    }
}
