//! The handler behind an aggregator's links.

use std::cell::LazyCell;

use zipnet_aggregator::fuzz::Door;

use crate::links::identity;

thread_local! {
    static DOOR: LazyCell<(Door, tokio::runtime::Runtime)> = const { LazyCell::new(door) };
}

fn door() -> (Door, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    (Door::new(identity), runtime)
}

/// Envelopes and requests for aggregates.
pub(crate) fn aggregator(data: &[u8]) {
    DOOR.with(|both| {
        let (door, runtime) = &**both;
        let _guard = runtime.enter();
        door.take(data);
    });
}

pub(crate) fn aggregator_seeds() -> Vec<Vec<u8>> {
    DOOR.with(|both| both.0.seeds())
}
