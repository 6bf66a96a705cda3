//! The chains a server shares with sessions, in memory only (R2, R3).

use std::collections::{BTreeMap, VecDeque};

use zipnet_dcnet::chain::{Chain, PadKey};
use zipnet_dcnet::ids::{Bundle, ClientId, HeaderDigest, PeerId, Session};
use zipnet_dcnet::register::Answer;
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::signed::Signed;
use zipnet_dcnet::statement::vouch_digest;
use zipnet_tdx::verify::Admitted;

use super::REPEAT_MS;
use crate::state::State;

/// Most sessions a server shares chains with.
pub const MAX_SESSIONS: usize = 1 << 17;
/// When room gets short, a registration whose vouch is not in the log after this long is dropped, in milliseconds.
/// Not before: the client believes that it is registered, and the log may only be standing still.
const UNVOUCHED_MS: u64 = 120_000;
/// Most vouches under way into the log at a time; the rest follow when these are in it.
const VOUCHES_AT_ONCE: usize = 64;
/// All chains are looked at when a round ended, and at the latest after this long, in milliseconds.
const SWEEP_MS: u64 = 10_000;

type Key = (ClientId, Session);

/// One registration.
pub(super) struct Shared {
    chain: Chain,
    /// For the same `e_cs` once more.
    pub(super) answer: Signed<Answer>,
    since: u64,
    /// What the vouch says of it.
    digest: [u8; 32],
    /// The vouch was seen in the log.
    said: bool,
    /// On which terms.
    admitted: Admitted,
}

impl Shared {
    pub(super) fn new(chain: Chain, answer: Signed<Answer>, admitted: Admitted, since: u64) -> Self {
        let keys = answer.trusted();
        let digest = vouch_digest(&keys.client_ephemeral, &keys.ephemeral);
        Self { chain, answer, since, digest, said: false, admitted }
    }

    /// Whether the log has the vouch for it.
    fn is_vouched(&self, state: &State, me: &PeerId, key: &Key) -> bool {
        state.registry().vouch_of(&key.0, &key.1, me) == Some(self.digest)
    }
}

/// All chains. What is done at every turn of a server does not grow with them.
#[derive(Default)]
pub struct Chains {
    all: BTreeMap<Key, Shared>,
    /// Nothing is computed for this round or an earlier one.
    done: u64,
    /// Registrations to vouch for, in turn.
    waiting: VecDeque<Key>,
    /// Those whose vouch is on its way into the log, and since when.
    asked: Vec<(Key, u64)>,
    /// The last ended round when all were looked at, and when that was.
    swept: (u64, u64),
}

impl Chains {
    pub(super) fn get(&self, client: &ClientId, session: &Session) -> Option<&Shared> {
        self.all.get(&(*client, *session))
    }

    /// Whether the vouch for it was in the log, and is not any longer.
    pub(super) fn is_void(&self, state: &State, me: &PeerId, client: &ClientId, session: &Session) -> bool {
        let vouched = |shared: &Shared| shared.is_vouched(state, me, &(*client, *session));
        self.get(client, session).is_some_and(|shared| shared.said && !vouched(shared))
    }

    /// Drops a registration that is void, to make room for the next; `false` if the round under way still needs it.
    pub(super) fn drop_void(
        &mut self,
        state: &State,
        me: &PeerId,
        client: &ClientId,
        session: &Session,
    ) -> bool {
        if self.is_void(state, me, client, session) {
            if takes_part(state, client, session) {
                return false;
            }
            self.all.remove(&(*client, *session));
        }
        true
    }

    /// What was vouched for on terms that do not hold any longer, and why: at most so many at once.
    pub(super) fn no_longer(
        &self,
        state: &State,
        me: &PeerId,
        still: impl Fn(&Admitted) -> Result<(), String>,
    ) -> Vec<(ClientId, Session, [u8; 32], String)> {
        let gone = |(key, shared): (&Key, &Shared)| {
            let why = still(&shared.admitted).err().filter(|_| shared.said)?;
            shared.is_vouched(state, me, key).then_some((key.0, key.1, shared.digest, why))
        };
        self.all.iter().filter_map(gone).take(VOUCHES_AT_ONCE).collect()
    }

    /// Adds a registration; `false` when there is no room.
    pub(super) fn insert(&mut self, client: ClientId, session: Session, shared: Shared) -> bool {
        if self.all.len() >= MAX_SESSIONS {
            return false;
        }
        if self.all.insert((client, session), shared).is_none() {
            self.waiting.push_back((client, session));
        }
        true
    }

    /// What to vouch for now: who, which session, and what the vouch says. Each is given again after [`REPEAT_MS`] if
    /// it is not in the log, behind all the others that wait.
    pub(super) fn next_vouches(
        &mut self,
        now: u64,
        state: &State,
        me: &PeerId,
    ) -> Vec<(Bundle, Session, [u8; 32])> {
        let (all, waiting) = (&mut self.all, &mut self.waiting);
        let mut said = |key: &Key| {
            let Some(shared) = all.get_mut(key) else { return true };
            shared.said = shared.is_vouched(state, me, key);
            shared.said
        };
        self.asked.retain(|(key, at)| {
            if said(key) {
                return false;
            }
            let lost = now.saturating_sub(*at) >= REPEAT_MS;
            if lost {
                waiting.push_back(*key);
            }
            !lost
        });
        let mut out = Vec::new();
        while self.asked.len() < VOUCHES_AT_ONCE
            && let Some(key) = waiting.pop_front()
        {
            if said(&key) {
                continue;
            }
            self.asked.push((key, now));
            out.push(key);
        }
        let vouch = |key: Key| {
            let shared = &self.all[&key];
            (shared.answer.trusted().client, key.1, shared.digest)
        };
        out.into_iter().map(vouch).collect()
    }

    /// The last round for which nothing is computed any more.
    pub fn done(&self) -> u64 {
        self.done
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

    /// Drops what the log evicted or forgot, unless it takes part in the round under way, and when room gets short
    /// what the log never took.
    pub fn sweep(&mut self, now: u64, state: &State, me: &PeerId) {
        let ended = state.recent().last_key_value().map_or(0, |(round, _)| *round);
        if self.swept.0 == ended && now.saturating_sub(self.swept.1) < SWEEP_MS {
            return;
        }
        self.swept = (ended, now);
        let crowded = self.all.len() >= MAX_SESSIONS / 2;
        let registry = state.registry();
        self.all.retain(|(client, session), shared| {
            let vouched = registry.vouch_of(client, session, me).is_some();
            if registry.is_evicted(session) || (shared.said && !vouched) {
                return takes_part(state, client, session);
            }
            let waits = now.saturating_sub(shared.since) < UNVOUCHED_MS;
            !crowded || waits || vouched
        });
    }
}

/// Whether the session is in the roster of the round under way.
fn takes_part(state: &State, client: &ClientId, session: &Session) -> bool {
    let roster = state.round().map(|round| &round.roster);
    let index = roster.and_then(|roster| Some((roster, roster.index(client)?)));
    index.is_some_and(|(roster, i)| roster.entries()[i as usize].session == *session)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use zeroize::Zeroizing;
    use zipnet_dcnet::identity::Identity;
    use zipnet_dcnet::ids::DeploymentId;
    use zipnet_dcnet::register::{self, Pending};
    use zipnet_dcnet::roster::Entry;

    use super::*;

    const DEPLOYMENT: DeploymentId = DeploymentId([1; 32]);
    const H: HeaderDigest = [2; 32];

    /// Chains from round 5 on with these clients, and their roster.
    fn chains(clients: u8) -> (Chains, Roster) {
        let server = Identity::from_seed(Zeroizing::new([100; 32]));
        let (mut chains, mut entries) = (Chains::default(), Vec::new());
        for n in 0..clients {
            let client = Identity::from_seed(Zeroizing::new([n; 32]));
            let random = Zeroizing::new([n + 1; 32]);
            let session = [n; 32];
            let (_, request) =
                Pending::new(&client, DEPLOYMENT, server.peer_id(), [3; 32], session, Vec::new(), &random);
            let (chain, answer) =
                register::answer(&server, DEPLOYMENT, [3; 32], 5, &request, &random).unwrap();
            let id = client.client_bundle().client_id();
            let admitted = Admitted { release: String::new(), until: u64::MAX };
            assert!(chains.insert(id, session, Shared::new(chain, answer, admitted, 0)));
            entries.push(Entry { client: id, session, vouches: Vec::new() });
        }
        (chains, Roster::new(entries).unwrap())
    }

    fn ats(chains: &Chains) -> Vec<u64> {
        chains.all.values().map(|s| s.chain.at()).collect()
    }

    #[test]
    fn no_pad_twice_whatever_is_asked() {
        let (mut chains, roster) = chains(4);
        assert_eq!(chains.take(6, &H, &roster, [0, 2].into_iter()).unwrap().len(), 2);
        assert_eq!(ats(&chains), [7; 4], "participant or not");
        // The same again, for others, under another header, for an earlier round.
        assert!(chains.take(6, &H, &roster, [0, 2].into_iter()).is_none());
        assert!(chains.take(6, &H, &roster, [1, 3].into_iter()).is_none());
        assert!(chains.take(6, &[9; 32], &roster, [1].into_iter()).is_none());
        assert!(chains.take(5, &H, &roster, [1].into_iter()).is_none());
        assert!(chains.take(7, &H, &roster, 0..4).is_some());
    }

    #[test]
    fn a_missing_chain_gives_nothing_and_the_round_is_done_all_the_same() {
        let (mut chains, mut roster) = chains(3);
        let stranger = Entry { client: ClientId([0; 32]), session: [0; 32], vouches: Vec::new() };
        roster = Roster::new(roster.entries().iter().cloned().chain([stranger]).collect()).unwrap();
        assert!(chains.take(8, &H, &roster, 0..4).is_none());
        assert_eq!((chains.done(), ats(&chains)), (8, vec![9; 3]));
        assert!(chains.take(8, &H, &roster, 1..4).is_none(), "nor without the missing one");
        assert!(chains.take(9, &H, &roster, [99].into_iter()).is_none(), "nor for who is not in the roster");
    }

    #[test]
    fn a_finished_round_gives_nothing() {
        let (mut chains, roster) = chains(3);
        chains.finish(20);
        assert_eq!((chains.done(), ats(&chains)), (20, vec![21; 3]));
        assert!(chains.take(20, &H, &roster, 0..3).is_none());
        chains.finish(10);
        assert_eq!(chains.done(), 20, "done never goes back");
        // Further than a chain may move: dropped, and the client registers again.
        chains.finish(21 + zipnet_dcnet::chain::MAX_STEPS + 1);
        assert_eq!(ats(&chains), Vec::<u64>::new());
    }
}
