//! Places for connections, calls and streams: so many in all, and so many of one user, who cannot keep the others out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Default)]
struct Count {
    by_uid: BTreeMap<u32, usize>,
    total: usize,
}

/// Bounded places. Cheap to clone; clones share them.
#[derive(Clone)]
pub(super) struct Places {
    count: Arc<Mutex<Count>>,
    /// In all.
    pub(super) total: usize,
    /// Of one user.
    pub(super) per_uid: usize,
}

/// A taken place; given back on drop.
pub(super) struct Place {
    count: Arc<Mutex<Count>>,
    uid: u32,
}

impl Places {
    pub(super) fn new(total: usize, per_uid: usize) -> Self {
        Self { count: Arc::default(), total, per_uid }
    }

    /// A place for this user, if there is one.
    pub(super) fn take(&self, uid: u32) -> Option<Place> {
        let mut inner = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let of_uid = inner.by_uid.get(&uid).copied().unwrap_or(0);
        if inner.total >= self.total || of_uid >= self.per_uid {
            return None;
        }
        inner.total += 1;
        inner.by_uid.insert(uid, of_uid + 1);
        drop(inner);
        Some(Place { count: self.count.clone(), uid })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        inner.total -= 1;
        match inner.by_uid.get_mut(&self.uid) {
            Some(n) if *n > 1 => *n -= 1,
            _ => drop(inner.by_uid.remove(&self.uid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_leaves_room_for_the_others_and_a_place_comes_back() {
        let places = Places::new(3, 2);
        let first = places.take(1).unwrap();
        let _second = places.take(1).unwrap();
        assert!(places.take(1).is_none(), "its share is used up");
        let _other = places.take(2).unwrap();
        assert!(places.take(3).is_none(), "all are taken");
        drop(first);
        assert!(places.take(3).is_some());
        assert!(places.take(1).is_some());
    }
}
