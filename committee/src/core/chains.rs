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
            assert!(chains.insert(id, session, Shared { chain, answer, since: 0 }));
            entries.push(Entry { client: id, session, vouches: Vec::new() });
        }
        (chains, Roster::new(entries).unwrap())
    }

    fn ats(chains: &Chains) -> Vec<u64> {
        chains.iter().map(|s| s.chain.at()).collect()
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
