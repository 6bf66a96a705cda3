//! What a session has been through: warm-up (R8), its place in the roster (R2), cadence and cover reservations (R12).

use std::collections::BTreeMap;

use zipnet_dcnet::ids::HeaderDigest;
use zipnet_dcnet::record::Record;

use super::draw::Draw;

/// Sealed rounds of the session whose records may still come.
const WINDOW: usize = 64;
/// Headers that may leave out a session they listed before, although all their servers vouch, before it counts as lost.
const GRACE: u32 = 3;
/// The same for a session that was never listed; doubles with every session lost.
const PATIENCE: u32 = 10;
/// Participants are remembered for this many minutes.
const MINUTES: u64 = 60;

/// See the module.
pub(super) struct Pace {
    /// Final records that listed this session.
    pub(super) seen: u32,
    /// How many have to before a message leaves: w to 2w.
    pub(super) needed: u32,
    /// The last header lists this session with the right vouches.
    pub(super) registered: bool,
    told_warm: bool,
    was_listed: bool,
    unlisted: u32,
    lost: u32,
    /// Talking rounds so far: every Nth one reserves.
    turns: u64,
    /// Sealed rounds: header and index.
    sealed: BTreeMap<u64, (HeaderDigest, u32)>,
    /// Fewest participants per minute.
    low: BTreeMap<u64, u32>,
}

/// w to 2w.
pub(super) fn draw_rounds(warm_up: u32, draw: &mut Draw) -> u32 {
    warm_up + draw.warm_up.below(u64::from(warm_up) + 1) as u32
}

impl Pace {
    pub(super) fn new(warm_up: u32, draw: &mut Draw) -> Self {
        Self {
            seen: 0,
            needed: draw_rounds(warm_up, draw),
            registered: false,
            told_warm: false,
            was_listed: false,
            unlisted: 0,
            lost: 0,
            turns: 0,
            sealed: BTreeMap::new(),
            low: BTreeMap::new(),
        }
    }

    pub(super) fn new_session(&mut self, warm_up: u32, draw: &mut Draw) {
        let keep = (std::mem::take(&mut self.low), self.turns, self.lost + 1);
        *self = Self::new(warm_up, draw);
        (self.low, self.turns, self.lost) = keep;
    }

    /// Whether the warm-up is over; true once when that is news.
    pub(super) fn newly_warm(&mut self) -> bool {
        let news = self.registered && self.seen >= self.needed && !self.told_warm;
        self.told_warm |= news;
        news
    }

    /// A header lists the session.
    pub(super) fn listed(&mut self) {
        (self.was_listed, self.unlisted, self.lost) = (true, 0, 0);
    }

    /// A header does not list it, although all its servers answered. Whether the session is lost.
    pub(super) fn unlisted(&mut self) -> bool {
        self.unlisted += 1;
        self.unlisted >= if self.was_listed { GRACE } else { PATIENCE << self.lost.min(6) }
    }

    /// Whether it is this session's turn to reserve; asked once per talking round.
    pub(super) fn turn(&mut self, cadence: u32) -> bool {
        let turn = self.turns.is_multiple_of(u64::from(cadence));
        self.turns += 1;
        turn
    }

    pub(super) fn sealed(&mut self, round: u64, header: HeaderDigest, index: u32) {
        self.sealed.insert(round, (header, index));
        if self.sealed.len() > WINDOW {
            self.sealed.pop_first();
        }
    }

    /// A record counts. Whether it lists this session.
    pub(super) fn record(&mut self, record: &Record, now: u64) -> bool {
        let minute = now / 60_000;
        let low = self.low.entry(minute).or_insert(u32::MAX);
        *low = (*low).min(record.count());
        self.low = self.low.split_off(&minute.saturating_sub(MINUTES - 1));
        let Some((header, index)) = self.sealed.get(&record.round) else { return false };
        if *header != record.header_digest || !record.participants.get(*index) {
            return false;
        }
        self.sealed.remove(&record.round);
        self.seen = self.seen.saturating_add(1);
        true
    }

    /// Fewest participants within the last hour.
    pub(super) fn lowest(&self, now: u64) -> Option<u32> {
        let from = (now / 60_000).saturating_sub(MINUTES - 1);
        self.low.range(from..).map(|(_, low)| *low).min()
    }
}

/// R12: whether a client without a message reserves. `coin` is uniform below `2 * participants`.
pub(super) fn cover_reserves(participants: u32, slots: u32, coin: u64) -> bool {
    participants <= slots || coin < u64::from(slots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    #[test]
    fn the_draw_is_w_to_2w_and_reaches_both() {
        let mut draw = Draw::new(&Zeroizing::new([1; 32]));
        let seen: std::collections::BTreeSet<u32> = (0..200).map(|_| draw_rounds(4, &mut draw)).collect();
        assert_eq!(seen, (4..=8).collect());
        assert_eq!(draw_rounds(0, &mut draw), 0);
    }

    #[test]
    fn cover_reserves_always_up_to_k_and_then_half_the_slots_worth() {
        assert!(cover_reserves(64, 64, u64::MAX));
        let share = (0..200).filter(|coin| cover_reserves(100, 64, *coin)).count();
        assert_eq!(share, 64, "K / (2 n) = 64 / 200");
    }

    #[test]
    fn every_nth_talking_round_is_a_turn() {
        let mut pace = Pace::new(0, &mut Draw::new(&Zeroizing::new([1; 32])));
        let turns: Vec<bool> = (0..6).map(|_| pace.turn(3)).collect();
        assert_eq!(turns, [true, false, false, true, false, false]);
    }

    #[test]
    fn a_listed_session_is_lost_after_three_headers_and_a_new_one_waits_longer_each_time() {
        let mut draw = Draw::new(&Zeroizing::new([1; 32]));
        let mut pace = Pace::new(0, &mut draw);
        pace.listed();
        assert_eq!([pace.unlisted(), pace.unlisted(), pace.unlisted()], [false, false, true]);
        pace.new_session(0, &mut draw);
        let patience = (1..1_000).find(|_| pace.unlisted());
        assert_eq!(patience, Some(20));
    }
}
