//! What only the leader does: opens rounds, collects the fold, abandons (R4, R6).

use std::collections::BTreeSet;

use zipnet_dcnet::aggregate::{Aggregate, Bitmap};
use zipnet_dcnet::header::Header;
use zipnet_dcnet::ids::{HeaderDigest, PeerId};
use zipnet_dcnet::signed::Signed;

use super::{Action, Attempt, Collecting, Core, HEAR_MS, REPEAT_MS};
use crate::entry::Entry;
use crate::state::{RETURN_ROUNDS, Stage, State};

impl Core {
    pub(super) fn lead(&mut self, now: u64, state: &State, heard: &BTreeSet<PeerId>, out: &mut Vec<Action>) {
        let params = &state.descriptor().params;
        let age = now.saturating_sub(self.seen.1);
        let Some(round) = state.round() else {
            self.collecting = None;
            let due = state.opened() == 0 || age >= u64::from(params.round_period_ms);
            if self.leaving || !due {
                return;
            }
            let silent = state.up().iter().any(|server| !heard.contains(server));
            let hear = HEAR_MS.max(u64::from(params.round_deadline_ms) / 10);
            if silent && self.led.is_none_or(|since| now.saturating_sub(since) < hear) {
                return;
            }
            if let Some(header) = self.plan(now, state, Some(heard)) {
                // Told apart by what it says: one that the log overtook is replaced at once.
                let digest = header.digest();
                let key = u64::from_le_bytes(digest[..8].try_into().expect("invariant: 8 of 32 bytes"));
                self.propose(now, "open", key, Entry::Open(header), out);
            }
            return;
        };
        let number = round.header.round;
        if round.doomed.is_some() || age >= u64::from(params.round_deadline_ms) {
            return self.propose(now, "abandon", number, Entry::Abandon { round: number }, out);
        }
        if round.stage() != Stage::Folding {
            return;
        }
        match &self.collecting {
            Some(Collecting::Got(digest, parts)) if *digest == round.digest => {
                let entry = Entry::Fold { round: number, parts: parts.clone() };
                self.propose(now, "fold", number, entry, out);
            }
            Some(Collecting::Asked(digest, _)) if *digest == round.digest => {}
            Some(Collecting::Failed(digest, at)) if *digest == round.digest && now < at + REPEAT_MS => {}
            _ => {
                self.collecting = Some(Collecting::Asked(round.digest, now));
                let aggregators = round.header.aggregators.len();
                self.fruitless.attempt = Some(Attempt { round: number, aggregators, lacking: true });
                // Clients seal from when all signatures were there, however long that took.
                let open = now.saturating_sub(self.open.1);
                out.push(Action::Collect {
                    header: Box::new(round.header.clone()),
                    digest: round.digest,
                    within_ms: u64::from(params.fold_deadline_ms).saturating_sub(open) as u32,
                    without: Bitmap::new(round.header.roster_len),
                });
            }
        }
    }

    /// The aggregates that the collection for this header brought, disjoint. None: it is asked for once more after
    /// [`REPEAT_MS`], until the deadline abandons.
    pub fn collected(&mut self, digest: HeaderDigest, parts: Vec<Signed<Aggregate>>) {
        if let Some(Collecting::Asked(asked, at)) = &self.collecting
            && *asked == digest
        {
            if let Some(attempt) = &mut self.fruitless.attempt {
                attempt.lacking = parts.len() < attempt.aggregators;
            }
            let next = if parts.is_empty() {
                Collecting::Failed(digest, *at)
            } else {
                Collecting::Got(digest, parts)
            };
            self.collecting = Some(next);
        }
    }

    /// The header to open next, if one can be opened: by all servers that are eligible and answer. When that opens nothing, and
    /// others would for as long as [`RETURN_ROUNDS`] periods, these take part: neither clients that never come back nor
    /// a server that nobody can register with may hold the log up.
    ///
    /// It builds the roster, which is costly: after a look that found nothing, the next one is when the log moved, or
    /// after [`REPEAT_MS`].
    pub(super) fn plan(
        &mut self,
        now: u64,
        state: &State,
        heard: Option<&BTreeSet<PeerId>>,
    ) -> Option<Header> {
        let applied = self.moved.1;
        if self.planned.is_some_and(|(index, at)| index == applied && now.saturating_sub(at) < REPEAT_MS) {
            return None;
        }
        let plan = self.plan_now(now, state, heard);
        self.planned = plan.is_none().then_some((applied, now));
        plan
    }

    fn plan_now(&mut self, now: u64, state: &State, heard: Option<&BTreeSet<PeerId>>) -> Option<Header> {
        let mut servers = state.eligible();
        let answers = |server: &&PeerId| heard.is_none_or(|heard| heard.contains(server));
        let answering: Vec<PeerId> = servers.iter().filter(answers).copied().collect();
        if answering.len() >= state.descriptor().majority() {
            servers = answering;
        }
        let enough = servers.len() >= state.descriptor().majority();
        let (header, _) = state.next_header(servers.clone());
        if state.check_open(&header).is_ok() {
            self.short_since = None;
            return Some(header);
        }
        let Some(header) = fewer(state, if enough { servers } else { state.up() }) else {
            self.short_since = None;
            return None;
        };
        let since = *self.short_since.get_or_insert(now);
        let patience = RETURN_ROUNDS * u64::from(state.descriptor().params.round_period_ms);
        (now.saturating_sub(since) >= patience).then_some(header)
    }
}

/// A header that opens a round with as many of these servers as can be: again and again without the one that costs the
/// most clients, or the aggregator.
fn fewer(state: &State, mut servers: Vec<PeerId>) -> Option<Header> {
    while servers.len() >= state.descriptor().majority() {
        let (header, _) = state.next_header(servers.clone());
        if state.check_open(&header).is_ok() {
            return Some(header);
        }
        let without = |i: &usize| {
            let mut rest = servers.clone();
            rest.remove(*i);
            let (header, _) = state.next_header(rest);
            (!header.aggregators.is_empty(), header.roster_len)
        };
        let worst = (0..servers.len()).max_by_key(without)?;
        servers.remove(worst);
    }
    None
}
