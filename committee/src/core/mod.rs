//! One committee server, as a pure state machine on top of the log's state.
//!
//! [`Core::react`] looks at the state and says what this server has to do now. It is level-triggered: calling it once
//! more is harmless, whatever was lost in between is asked for again, and after a restart it goes on from what the log
//! says. Actions are carried out in their order; a [`Action::Mark`] is durable before the one after it starts.

mod away;
mod chains;
mod follow;
mod lead;
mod leave;
mod marks;
mod register;
mod withdraw;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::{Zeroize, Zeroizing};
use zipnet_dcnet::aggregate::{Aggregate, Bitmap};
use zipnet_dcnet::header::Header;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{Bundle, HeaderDigest, PeerId};
use zipnet_dcnet::partial::Partial;
use zipnet_dcnet::signed::Signed;

pub use away::{AWAY_MS, FRUITLESS_ROUNDS, MIN_AWAY_MS, STEP_BACK_MAX, STEP_BACK_MIN};
pub use chains::{Chains, MAX_SESSIONS};
pub use marks::{Life, Mark, Marks};
pub use register::{Admission, Open, RegisterRefused};
pub use withdraw::RECONSIDER_MS;

use crate::entry::Entry;
use crate::state::{Stage, State};

/// An entry that was proposed and is not in the log after this long is proposed again, in milliseconds.
pub const REPEAT_MS: u64 = 1_000;

/// A server that begins to lead waits for this long for the others to answer it, in milliseconds, before it opens a round
/// without those that did not: one of them is likely the one that led before, and died. Where the round deadline, which is
/// chosen for the links, is over 10 s, it waits for a tenth of that.
pub const HEAR_MS: u64 = 1_000;

/// What a server has to do.
pub enum Action {
    /// Write this down durably before the next action.
    Mark(Mark),
    /// Get this into the log.
    Propose(Entry),
    /// Leader: collect aggregates for the open round; the answer comes back through [`Core::collected`].
    Collect {
        /// The open round's header.
        header: Box<Header>,
        /// Its digest.
        digest: HeaderDigest,
        /// Time until the fold deadline, in milliseconds.
        within_ms: u32,
        /// Nobody yet.
        without: Bitmap,
    },
    /// Follower: the leader does nothing; stand for election.
    Campaign,
    /// Leader: this server cannot get the rounds folded; let another lead.
    StepBack,
    /// The log knows another life of this server: its state folder was lost, or it runs twice. It must not go on, and
    /// nothing of what it says gets into the log ([`crate::state::Refused::Life`]).
    Forgot,
}

/// The partial of the round under way, made once and kept until the round ended: repeated requests get this one. Wiped
/// on drop, because it may never have left.
struct Unblinded(Partial);

impl Drop for Unblinded {
    fn drop(&mut self) {
        self.0.vector.zeroize();
    }
}

/// What the leader does with the open round.
enum Collecting {
    /// And when.
    Asked(HeaderDigest, u64),
    /// It brought nothing; when it was asked.
    Failed(HeaderDigest, u64),
    Got(HeaderDigest, Vec<Signed<Aggregate>>),
}

/// A round that the leader collected for.
struct Attempt {
    round: u64,
    /// How many were asked.
    aggregators: usize,
    /// Whether one of them brought nothing.
    lacking: bool,
}

/// How the leader fares at having rounds folded; see [`Core::leave_office`].
#[derive(Default)]
struct Fruitless {
    /// The round it collected for last.
    attempt: Option<Attempt>,
    /// Rounds in a row that were given up for that.
    rounds: u32,
    /// How often it stepped back since a round became final.
    stepped: u32,
    /// Not again before.
    not_before: u64,
    /// The last final round when it stepped back.
    last: u64,
}

/// What a server remembers besides the log. No `Debug`: it holds the chains.
pub struct Core {
    identity: Arc<Identity>,
    boot: [u8; 32],
    aggregators: Vec<PeerId>,
    rng: ChaCha20Rng,
    marks: Marks,
    chains: Chains,
    unblinded: Option<Unblinded>,
    collecting: Option<Collecting>,
    /// When this server first saw the round under way.
    seen: (u64, u64),
    /// The last round that this server saw open, all header signatures there, and since when.
    open: (u64, u64),
    /// When this server last saw the log move, and how far it was.
    moved: (u64, u64),
    /// Since when a round could be opened only with other servers than those that are eligible.
    short_since: Option<u64>,
    fruitless: Fruitless,
    /// Since when this server leads, if it does.
    led: Option<u64>,
    /// Aggregators that said that they leave: until when they are out whatever they say, and until when that is believed.
    away: BTreeMap<PeerId, (u64, u64)>,
    /// This server is about to stop.
    leaving: bool,
    /// The last look for a header to open that found none: how far the log was, and when.
    planned: Option<(u64, u64)>,
    proposed: BTreeMap<&'static str, (u64, u64)>,
    /// When it was last looked at who is still admitted.
    reconsidered: u64,
}

impl Core {
    /// A server that just started; `marks` is what it wrote down before, `seed` 32 fresh random bytes.
    pub fn new(
        identity: Arc<Identity>,
        mut aggregators: Vec<PeerId>,
        marks: Marks,
        seed: &Zeroizing<[u8; 32]>,
    ) -> Self {
        let mut rng = ChaCha20Rng::from_seed(**seed);
        let mut random = [0; 16];
        rng.fill_bytes(&mut random);
        let boot = marks.boot(random);
        aggregators.sort();
        aggregators.dedup();
        Self {
            identity,
            boot,
            aggregators,
            rng,
            marks,
            chains: Chains::default(),
            unblinded: None,
            collecting: None,
            seen: (0, 0),
            open: (0, 0),
            moved: (0, 0),
            short_since: None,
            fruitless: Fruitless::default(),
            led: None,
            away: BTreeMap::new(),
            leaving: false,
            planned: None,
            proposed: BTreeMap::new(),
            reconsidered: 0,
        }
    }

    /// This start's nonce.
    pub fn boot(&self) -> [u8; 32] {
        self.boot
    }

    /// What this server publishes about itself.
    pub fn bundle(&self) -> Bundle {
        self.identity.server_bundle()
    }

    /// What was written down so far.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The round under way whose partial was computed here, if it was.
    pub fn unblinded_round(&self) -> Option<u64> {
        self.unblinded.as_ref().map(|u| u.0.round)
    }

    /// This server.
    pub fn me(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// What to do now. `applied` is the log index that `state` stands at, `now` milliseconds of a steady clock, `heard` the
    /// servers that answered this one since it began to lead, itself among them; `None` if it does not lead.
    pub fn react(
        &mut self,
        now: u64,
        state: &State,
        applied: u64,
        heard: Option<&BTreeSet<PeerId>>,
    ) -> Vec<Action> {
        if self.moved.1 != applied || self.moved.0 == 0 {
            self.moved = (now.max(1), applied);
        }
        if self.seen.0 != state.opened() {
            self.seen = (state.opened(), now);
        }
        if let Some(round) = state.round()
            && round.stage() >= Stage::Folding
            && self.open.0 != round.header.round
        {
            self.open = (round.header.round, now);
        }
        let mut out = Vec::new();
        self.follow(now, state, &mut out);
        self.note_fruit(state);
        if let Some(heard) = heard {
            self.led.get_or_insert(now);
            self.lead(now, state, heard, &mut out);
            self.leave_office(now, state, &mut out);
        } else {
            self.led = None;
            self.collecting = None;
            self.fruitless.rounds = 0;
            self.watch(now, state, &mut out);
        }
        out
    }

    /// A follower whose leader logged nothing for three round deadlines, although a round is under way or could be
    /// opened, deposes it (section 7).
    fn watch(&mut self, now: u64, state: &State, out: &mut Vec<Action>) {
        let limit = 3 * u64::from(state.descriptor().params.round_deadline_ms);
        // In this order: what could be opened is costly to know.
        if now.saturating_sub(self.moved.0) > limit
            && (state.round().is_some() || self.plan(now, state, None).is_some())
        {
            self.moved.0 = now;
            out.push(Action::Campaign);
        }
    }

    /// Proposes, unless the same was proposed just now. `what` and `key` tell proposals apart.
    fn propose(&mut self, now: u64, what: &'static str, key: u64, entry: Entry, out: &mut Vec<Action>) {
        if self.due(now, what, key) {
            out.push(Action::Propose(entry));
        }
    }

    /// Whether this was not proposed within the last [`REPEAT_MS`]; from now on it was.
    fn due(&mut self, now: u64, what: &'static str, key: u64) -> bool {
        let last = self.proposed.get(what);
        if last.is_some_and(|(k, at)| *k == key && now.saturating_sub(*at) < REPEAT_MS) {
            return false;
        }
        self.proposed.insert(what, (key, now));
        true
    }
}
