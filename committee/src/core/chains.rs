//! The chains a server shares with sessions, in memory only (R2, R3).

use std::collections::BTreeMap;

use zipnet_dcnet::chain::{Chain, PadKey};
use zipnet_dcnet::ids::{ClientId, HeaderDigest, Session};
use zipnet_dcnet::register::Answer;
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::signed::Signed;

use crate::state::State;

/// Most sessions a server shares chains with.
pub const MAX_SESSIONS: usize = 1 << 17;
/// When room gets short, a registration whose vouch is not in the log after this long is dropped, in milliseconds.
/// Not before: the client believes that it is registered, and the log may only be standing still.
const UNVOUCHED_MS: u64 = 120_000;

/// One registration.
pub(super) struct Shared {
    pub(super) chain: Chain,
    /// For the same `e_cs` once more.
    pub(super) answer: Signed<Answer>,
    pub(super) since: u64,
}

/// All chains.
#[derive(Default)]
pub struct Chains {
    all: BTreeMap<(ClientId, Session), Shared>,
    /// Nothing is computed for this round or an earlier one.
    done: u64,
}

impl Chains {
    pub(super) fn get(&self, client: &ClientId, session: &Session) -> Option<&Shared> {
        self.all.get(&(*client, *session))
    }

    /// Adds a registration; `false` when there is no room.
    pub(super) fn insert(&mut self, client: ClientId, session: Session, shared: Shared) -> bool {
        if self.all.len() >= MAX_SESSIONS {
            return false;
        }
        self.all.insert((client, session), shared);
        true
    }

    /// The last round for which nothing is computed any more.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// All registrations.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Shared> {
        self.all.values()
    }

    /// The pad keys of these participants, and every chain moved past the round, participant or not (R3). `None` when
    /// the round is done already, or a chain is missing or was moved past: then nothing can be unblinded.
    pub fn take(
        &mut self,
        round: u64,
        header: &HeaderDigest,
        roster: &Roster,
        participants: impl Iterator<Item = u32>,
    ) -> Option<Vec<PadKey>> {
        if round <= self.done {
            return None;
        }
        let key = |i: u32| {
            let entry = roster.entries().get(i as usize)?;
            let shared = self.all.get_mut(&(entry.client, entry.session))?;
            shared.chain.take(round, header).ok()
        };
        let keys: Option<Vec<_>> = participants.map(key).collect();
        self.finish(round);
        keys
    }

    /// Sets `done` and moves every chain past the round. A chain that is too far behind is dropped.
    pub fn finish(&mut self, round: u64) {
        if round <= self.done {
            return;
        }
        self.done = round;
        self.all.retain(|_, shared| shared.chain.at() > round || shared.chain.advance(round + 1).is_ok());
    }

    /// Drops what the log evicted, unless it takes part in the round under way, and when room gets short what the log
    /// never took.
    pub fn sweep(&mut self, now: u64, state: &State, me: &zipnet_dcnet::ids::PeerId) {
        let crowded = self.all.len() >= MAX_SESSIONS / 2;
        let registry = state.registry();
        self.all.retain(|(client, session), shared| {
            if registry.is_evicted(session) {
                let mut roster = state.round().map(|r| &r.roster).into_iter();
                let entry = |r: &Roster| r.index(client).map(|i| r.entries()[i as usize].session);
                return roster.any(|r| entry(r) == Some(*session));
            }
            let waits = now.saturating_sub(shared.since) < UNVOUCHED_MS;
            !crowded || waits || registry.vouch_of(client, session, me).is_some()
        });
    }
}
