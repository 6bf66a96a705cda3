//! The log's state machine: decodes entries, applies them, and says that something changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tracing::debug;
use zipnet_dcnet::wire::Ended;

use super::{Applied, lock};
use crate::entry::Entry;
use crate::raft;
use crate::state::State;

/// Rounds that ended, or whose end got more signatures, since the archive last looked.
pub(super) type Fresh = Arc<Mutex<BTreeMap<u64, Ended>>>;

/// See the module.
pub(super) struct Machine {
    applied: Arc<Mutex<Applied>>,
    fresh: Fresh,
    changed: watch::Sender<u64>,
}

/// A machine over `applied`.
pub(super) fn new(applied: Arc<Mutex<Applied>>) -> (Machine, Fresh) {
    let fresh = Fresh::default();
    (Machine { applied, fresh: fresh.clone(), changed: watch::Sender::new(0) }, fresh)
}

impl Machine {
    /// Moves with every applied entry.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

impl raft::Machine for Machine {
    fn apply(&mut self, index: u64, entry: &[u8]) {
        let mut applied = lock(&self.applied);
        applied.index = index;
        let result = match borsh::from_slice::<Entry>(entry) {
            Ok(entry) => {
                let result = applied.state.apply(&entry);
                let round = match &entry {
                    Entry::Partial(p) => Some(p.trusted().round),
                    Entry::RecordSignature(s) => Some(s.round),
                    Entry::Abandon { round } => Some(*round),
                    Entry::Disclosure(d) => Some(d.trusted().round),
                    _ => None,
                };
                if let Some(ended) = round.and_then(|r| applied.state.recent().get(&r)) {
                    lock(&self.fresh).insert(ended.round(), ended.clone());
                }
                result.map_err(|refused| (refused.reason(), refused.to_string()))
            }
            Err(error) => Err(("malformed", error.to_string())),
        };
        drop(applied);
        if let Err((reason, text)) = result {
            metrics::counter!("zipnet_server_refused_total", "reason" => reason).increment(1);
            debug!(index, reason, text, "entry refused");
        }
        self.changed.send_replace(index);
    }

    fn snapshot(&self) -> Vec<u8> {
        zipnet_dcnet::signed::encode(&lock(&self.applied).state)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let state: State =
            borsh::from_slice(snapshot).map_err(|e| format!("the snapshot does not decode: {e}"))?;
        let mut applied = lock(&self.applied);
        let fits = state.check(applied.state.descriptor());
        fits.map_err(|what| format!("the snapshot has {what}"))?;
        applied.state = state;
        let recent = applied.state.recent().clone();
        drop(applied);
        lock(&self.fresh).extend(recent);
        self.changed.send_modify(|index| *index = index.wrapping_add(1));
        Ok(())
    }
}
