//! Fetching records: one call at a time, with backoff; what is asked for never depends on having a message, restarts
//! with an unsettled one aside.

use std::collections::BTreeSet;

use zipnet_dcnet::ids::PeerId;

use super::draw::Draw;
use super::output::Output;

/// A call that has no answer after this is given up, in milliseconds.
const CALL_MS: u64 = 30_000;
/// Most places to fetch from that are waiting.
const MAX_WANTS: usize = 16;

/// See the module.
#[derive(Default)]
pub(super) struct Fetch {
    calling: Option<(u64, u64)>,
    wants: BTreeSet<(u64, u32)>,
    not: Option<PeerId>,
    failures: u32,
    retry_at: u64,
}

impl Fetch {
    /// Up to `limit` records from this round on are wanted.
    pub(super) fn want(&mut self, from_round: u64, limit: u32) {
        if self.calling.is_none_or(|(from, _)| from != from_round) && self.wants.len() < MAX_WANTS {
            self.wants.insert((from_round, limit));
        }
    }

    /// The call that is due.
    pub(super) fn poll(&mut self, now: u64, draw: &mut Draw, out: &mut Vec<Output>) {
        if let Some((from, since)) = self.calling
            && now >= since + CALL_MS
        {
            self.answered(from, None, false, now, draw);
        }
        if self.calling.is_none()
            && now >= self.retry_at
            && let Some((from_round, limit)) = self.wants.pop_first()
        {
            self.calling = Some((from_round, now));
            out.push(Output::FetchRecords { from_round, limit, not: self.not });
        }
    }

    /// An answer came; `useful` says whether it brought what it should. False when nothing was asked.
    pub(super) fn answered(
        &mut self,
        from_round: u64,
        server: Option<PeerId>,
        useful: bool,
        now: u64,
        draw: &mut Draw,
    ) -> bool {
        if self.calling.is_none_or(|(from, _)| from != from_round) {
            return false;
        }
        self.calling = None;
        if useful {
            (self.failures, self.not) = (0, None);
        } else {
            self.not = server;
            self.back_off(now, draw);
        }
        true
    }

    /// What came was of no use after all.
    pub(super) fn back_off(&mut self, now: u64, draw: &mut Draw) {
        self.failures = (self.failures + 1).min(8);
        self.retry_at = now + (50 << self.failures) + draw.backoff.below(50 << self.failures);
    }

    pub(super) fn is_calling(&self, from_round: u64) -> bool {
        self.calling.is_some_and(|(from, _)| from == from_round)
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        match self.calling {
            Some((_, since)) => Some(since + CALL_MS),
            None => (!self.wants.is_empty()).then_some(self.retry_at),
        }
    }
}
