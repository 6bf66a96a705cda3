//! Telling subscribers what happens: one encoding per event, shared by all of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::broadcast;
use zipnet_dcnet::ids::{ClientId, HeaderDigest};
use zipnet_dcnet::roster::{Entry, Roster, RosterDelta};
use zipnet_dcnet::signed::encode;
use zipnet_dcnet::wire::{Ended, Event, EventsCall, RosterUpdate};

use super::held::Held;
use super::lock;
use crate::state::State;

/// Events a subscriber may be behind before it is sent away to subscribe anew.
const BACKLOG: usize = 256;
/// Rosters kept for those who fetch one by digest.
const ROSTERS: usize = 4;

/// Longest change of the roster that is sent to all subscribers, in bytes; who gets none fetches the whole roster. A frame
/// that is longer than its kind allows would end every subscriber's stream.
const MAX_DELTA_BYTES: usize = 4 << 20;

/// A frame on its way to all subscribers.
pub(crate) type Frame = Arc<Vec<u8>>;

#[derive(Default)]
struct Told {
    open: Option<HeaderDigest>,
    held: Held,
    rosters: VecDeque<([u8; 32], Roster)>,
}

/// See the module.
pub(crate) struct Hub {
    frames: broadcast::Sender<Frame>,
    told: Mutex<Told>,
}

fn update(delta: RosterDelta) -> RosterUpdate {
    let entry = |e: &Entry| encode(e).len();
    let joined: usize = delta.joined.first().map_or(0, entry) * delta.joined.len();
    if joined + delta.left.len() * size_of::<ClientId>() > MAX_DELTA_BYTES {
        return RosterUpdate::Fetch;
    }
    RosterUpdate::Delta(delta)
}

impl Hub {
    pub(super) fn new() -> Self {
        Self { frames: broadcast::Sender::new(BACKLOG), told: Mutex::default() }
    }

    /// Tells of the open round, once, and of the rounds that ended; `fresh` has what changed since the last call. To be
    /// called often: records may wait for signatures (see [`super::held`]).
    pub(super) fn publish(&self, now: u64, state: &State, fresh: &BTreeMap<u64, Ended>) {
        let mut told = lock(&self.told);
        let untold = state.round().filter(|round| told.open != Some(round.digest));
        let opened = untold.and_then(|round| Some((round, round.signed_header()?)));
        for ended in told.held.take(now, fresh, opened.is_some()) {
            self.send(&Event::Ended(ended));
        }
        let Some((round, header)) = opened else { return };
        told.open = Some(round.digest);
        let digest = round.header.roster;
        let roster = match told.rosters.back() {
            Some((last, _)) if *last == digest => RosterUpdate::Same,
            Some((_, last)) => update(round.roster.delta(last)),
            None => RosterUpdate::Fetch,
        };
        if roster != RosterUpdate::Same {
            told.rosters.push_back((digest, round.roster.clone()));
            while told.rosters.len() > ROSTERS {
                told.rosters.pop_front();
            }
        }
        drop(told);
        self.send(&Event::Open { header: Box::new(header), roster });
    }

    fn send(&self, event: &Event) {
        // Nobody listening is fine.
        let _ = self.frames.send(Arc::new(encode(event)));
    }

    /// What a new subscriber gets first, and where the rest comes from. Some of it may come twice.
    pub(super) fn subscribe(
        &self,
        state: &State,
        boot: [u8; 32],
        call: &EventsCall,
    ) -> (Vec<Frame>, broadcast::Receiver<Frame>) {
        let receiver = self.frames.subscribe();
        let mut first = vec![Event::Boot(boot)];
        let last = state.last().and_then(|record| state.recent().get(&record.round));
        first.extend(last.cloned().map(Event::Ended));
        if let Some((round, header)) = state.round().and_then(|r| Some((r, r.signed_header()?))) {
            let has = call.roster == round.header.roster;
            let roster = if has { RosterUpdate::Same } else { RosterUpdate::Fetch };
            first.push(Event::Open { header: Box::new(header), roster });
        }
        (first.iter().map(|e| Arc::new(encode(e))).collect(), receiver)
    }

    /// A roster by digest, if it is one of the last.
    pub(super) fn roster(&self, digest: &[u8; 32]) -> Option<Roster> {
        let told = lock(&self.told);
        told.rosters.iter().find(|(d, _)| d == digest).map(|(_, roster)| roster.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(joined: usize) -> RosterDelta {
        let entry = Entry { client: ClientId([1; 32]), session: [2; 32], vouches: vec![[3; 32]; 3] };
        RosterDelta { base: [0; 32], left: vec![ClientId([1; 32]); joined], joined: vec![entry; joined] }
    }

    #[test]
    fn a_change_that_is_too_long_for_a_frame_is_fetched() {
        let each = 32 + 32 + 4 + 3 * 32 + 32;
        let most = MAX_DELTA_BYTES / each;
        let RosterUpdate::Delta(sent) = update(delta(most)) else { panic!("short enough") };
        assert!(encode(&sent).len() <= zipnet_network::links::Kind::Events.max_answer());
        assert_eq!(update(delta(most + 1)), RosterUpdate::Fetch);
    }
}
