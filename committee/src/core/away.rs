//! A leader that cannot get rounds folded, and aggregators that say that they leave (section 7).

use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::wire::Ended;

use super::{Action, Attempt, Core};
use crate::state::State;

/// A leader steps back after this many rounds in a row that were given up because an aggregator brought it nothing.
pub const FRUITLESS_ROUNDS: u32 = 2;
/// From the first step back to the next one of the same server it takes at least this many round deadlines, if no
/// round became final meanwhile; doubled with each, up to [`STEP_BACK_MAX`] deadlines.
pub const STEP_BACK_MIN: u64 = 4;
/// The longest such pause, in round deadlines.
pub const STEP_BACK_MAX: u64 = 64;
/// What an aggregator says about leaving is believed for this long, in milliseconds: it could not say that it is back.
pub const AWAY_MS: u64 = 600_000;

/// An aggregator that said that it leaves is out for at least this long, in milliseconds: one that goes and comes all the
/// time must not void every header that is about to be opened.
pub const MIN_AWAY_MS: u64 = 5_000;

impl Core {
    /// Notes how the last round fared that this server collected for.
    pub(super) fn note_fruit(&mut self, state: &State) {
        let done = state.last().map_or(0, |last| last.round);
        if done > self.fruitless.last {
            // Somebody gets rounds folded, so stepping back helps.
            (self.fruitless.stepped, self.fruitless.not_before, self.fruitless.last) = (0, 0, done);
        }
        let over = |attempt: &mut Attempt| state.round().is_none_or(|r| r.header.round != attempt.round);
        let Some(attempt) = self.fruitless.attempt.take_if(over) else { return };
        match state.recent().get(&attempt.round) {
            Some(Ended::Abandoned(_)) if attempt.lacking => self.fruitless.rounds += 1,
            Some(Ended::Final(_)) => self.fruitless.rounds = 0,
            _ => {}
        }
    }

    /// A leader whose rounds are given up because it reaches no aggregator steps back. When nobody does, that goes on
    /// ever more rarely: it helps nobody then, and every change of the leader costs seconds.
    pub(super) fn leave_office(&mut self, now: u64, state: &State, out: &mut Vec<Action>) {
        let this = &mut self.fruitless;
        if this.rounds < FRUITLESS_ROUNDS || now < this.not_before {
            return;
        }
        let deadlines = (STEP_BACK_MIN << this.stepped.min(16)).min(STEP_BACK_MAX);
        this.not_before = now + deadlines * u64::from(state.descriptor().params.round_deadline_ms);
        (this.stepped, this.rounds) = (this.stepped + 1, 0);
        out.push(Action::StepBack);
    }

    /// An aggregator of this server's configuration says that it leaves: its policy is without it until it says that it
    /// is back, for [`AWAY_MS`] at most.
    pub fn aggregator_leaves(&mut self, now: u64, aggregator: PeerId) {
        if self.aggregators.contains(&aggregator) {
            self.away.insert(aggregator, (now + MIN_AWAY_MS, now + AWAY_MS));
        }
    }

    /// An aggregator says that it is here.
    pub fn aggregator_is_here(&mut self, aggregator: &PeerId) {
        if let Some((earliest, until)) = self.away.get_mut(aggregator) {
            *until = *earliest;
        }
    }

    /// Whether no round needs this aggregator any more because of this server: its policy in the log is without it,
    /// and the round under way does not name it.
    pub fn is_without(&self, state: &State, aggregator: &PeerId) -> bool {
        let named = state.round().is_some_and(|round| round.header.aggregators.contains(aggregator));
        let policy = state.server(&self.me()).is_some_and(|own| own.aggregators.contains(aggregator));
        !named && !policy
    }

    /// The aggregators that it takes envelopes from now.
    pub(super) fn policy(&mut self, now: u64) -> Vec<PeerId> {
        self.away.retain(|_, (_, until)| now < *until);
        self.aggregators.iter().filter(|a| !self.away.contains_key(a)).copied().collect()
    }
}
