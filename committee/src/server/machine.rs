//! The log's state machine: decodes entries, applies them, and says what changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tracing::debug;
use zipnet_dcnet::wire::Ended;

use super::{Applied, lock};
use crate::entry::Entry;
use crate::raft;
use crate::state::{Refused, State};

/// Ends of rounds that wait to be told; the oldest are dropped beyond it. The actor takes them at its next turn.
const MAX_TOLD: usize = 1_024;

/// How a round ended, for the log and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is final; whether it was quiet.
    Final(u64, bool),
    /// It was given up, and what stood in its way.
    Abandoned(u64, &'static str),
}

/// What changed since the actor last looked.
#[derive(Default)]
pub(super) struct Changes {
    /// Rounds that ended, or whose end got more signatures.
    pub(super) ended: BTreeMap<u64, Ended>,
    /// How rounds ended, once each.
    pub(super) told: Vec<Told>,
    /// The log was read; before that, entries were counted and told in an earlier life of this server.
    pub(super) live: bool,
}

/// [`Changes`], shared.
pub(super) type Fresh = Arc<Mutex<Changes>>;

/// See the module.
pub(super) struct Machine {
    applied: Arc<Mutex<Applied>>,
    fresh: Fresh,
    changed: watch::Sender<u64>,
    /// What doomed the round under way.
    doomed_by: &'static str,
}

/// A machine over `applied`.
pub(super) fn new(applied: Arc<Mutex<Applied>>) -> (Machine, Fresh) {
    let fresh = Fresh::default();
    (Machine { applied, fresh: fresh.clone(), changed: watch::Sender::new(0), doomed_by: "fold" }, fresh)
}

impl Machine {
    /// Moves with every applied entry.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Applies an entry and gives what there is to tell of it.
    fn take(&mut self, state: &mut State, entry: &Entry) -> (Result<(), Refused>, Option<Told>) {
        let before = state.round().map(|r| (r.header.round, r.stage(), r.quiet, r.doomed.is_some()));
        let result = state.apply(entry);
        let Some((round, stage, quiet, was_doomed)) = before else { return (result, None) };
        if !was_doomed && state.round().is_some_and(|r| r.doomed.is_some()) {
            self.doomed_by = result.as_ref().err().map_or("restart", Refused::reason);
        }
        let told = match entry {
            Entry::Partial(_) if result.is_ok() && state.round().is_none() => Some(Told::Final(round, quiet)),
            Entry::Abandon { .. } if result.is_ok() => {
                Some(Told::Abandoned(round, if was_doomed { self.doomed_by } else { stage.name() }))
            }
            _ => None,
        };
        (result, told)
    }
}

impl raft::Machine for Machine {
    fn apply(&mut self, index: u64, entry: &[u8]) {
        let shared = self.applied.clone();
        let mut applied = lock(&shared);
        applied.index = index;
        let mut told = None;
        let result = match borsh::from_slice::<Entry>(entry) {
            Ok(entry) => {
                let result;
                (result, told) = self.take(&mut applied.state, &entry);
                let round = match &entry {
                    Entry::Partial(p) => Some(p.trusted().round),
                    Entry::RecordSignature(s) => Some(s.round),
                    Entry::Abandon { round } => Some(*round),
                    Entry::Disclosure(d) => Some(d.trusted().round),
                    _ => None,
                };
                if let Some(ended) = round.and_then(|r| applied.state.recent().get(&r)) {
                    lock(&self.fresh).ended.insert(ended.round(), ended.clone());
                }
                result.map_err(|refused| (refused.reason(), refused.to_string()))
            }
            Err(error) => Err(("malformed", error.to_string())),
        };
        drop(applied);
        let mut fresh = lock(&self.fresh);
        if fresh.live {
            fresh.told.extend(told);
            let over = fresh.told.len().saturating_sub(MAX_TOLD);
            fresh.told.drain(..over);
        }
        if let Err((reason, text)) = result {
            if fresh.live {
                crate::metrics::entry_refused(reason);
            }
            debug!(index, reason, text, "entry refused");
        }
        drop(fresh);
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
        lock(&self.fresh).ended.extend(recent);
        self.changed.send_modify(|index| *index = index.wrapping_add(1));
        Ok(())
    }
}
