//! Who has registered: sessions and their vouches (R2, R4).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use borsh::{BorshDeserialize, BorshSerialize};
use zipnet_dcnet::ids::{ClientId, PeerId, Session};
use zipnet_dcnet::roster::{Entry, MAX_ROSTER, Roster};
use zipnet_dcnet::statement::Vouch;

use super::Refused;

/// How many evicted sessions are remembered; the oldest is forgotten first.
pub const MAX_EVICTED: usize = 65_536;
/// Sessions of one client at a time: the one that takes part, and the one that takes over.
const MAX_SESSIONS: usize = 2;
/// A session that is in no roster for this many times `absence_limit` final rounds is forgotten: it is suspended, or
/// never registered with all servers, and nothing else would ever take it out.
const FORGET: u32 = 16;

#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Candidate {
    session: Session,
    vouches: BTreeMap<PeerId, [u8; 32]>,
    /// Final rounds in a row in whose roster it was without taking part.
    silent: u32,
    /// Final rounds in a row in whose roster it was not.
    unlisted: u32,
}

/// The sessions of all clients, newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Registry {
    clients: BTreeMap<ClientId, Vec<Candidate>>,
    evicted: VecDeque<Session>,
    evicted_set: BTreeSet<Session>,
}

impl Registry {
    /// Notes a vouch whose signature and boot are checked. A client's third session replaces the one that the fewest
    /// servers vouch for: a single server that makes sessions up cannot push out the one that takes part.
    pub(super) fn vouch(&mut self, vouch: &Vouch) -> Result<(), Refused> {
        if vouch.client.link_pk != [0; 32] {
            return Err(Refused::Vouch("the bundle is not a client's"));
        }
        if self.evicted_set.contains(&vouch.session) {
            return Err(Refused::Vouch("the session was evicted: the client starts a new one"));
        }
        let id = vouch.client.client_id();
        if !self.has_room(&id) {
            return Err(Refused::Vouch("the roster is full"));
        }
        let sessions = self.clients.entry(id).or_default();
        let at = sessions.iter().position(|s| s.session == vouch.session);
        let at = at.unwrap_or_else(|| {
            let fresh =
                Candidate { session: vouch.session, vouches: BTreeMap::new(), silent: 0, unlisted: 0 };
            sessions.push(fresh);
            sessions.len() - 1
        });
        sessions[at].vouches.insert(vouch.server, vouch.digest);
        if sessions.len() > MAX_SESSIONS {
            let others = (0..sessions.len()).filter(|i| *i != at);
            if let Some(least) = others.min_by_key(|i| sessions[*i].vouches.len()) {
                let old = sessions.remove(least).session;
                self.evict(old);
            }
        }
        Ok(())
    }

    /// The server restarted: its vouches are void.
    pub(super) fn lapse(&mut self, server: &PeerId) {
        for candidate in self.clients.values_mut().flatten() {
            candidate.vouches.remove(server);
        }
    }

    /// A round with this roster is final: who took part is not silent, who was silent for `limit` such rounds leaves
    /// for good, and a session that took over ends the one before it.
    pub(super) fn settle(&mut self, roster: &Roster, present: &BTreeSet<ClientId>, limit: u32) {
        let mut gone = Vec::new();
        for (client, sessions) in &mut self.clients {
            let listed = roster.index(client).map(|i| roster.entries()[i as usize].session);
            for s in sessions.iter_mut() {
                s.unlisted = if Some(s.session) == listed { 0 } else { s.unlisted + 1 };
            }
            if let Some(at) = sessions.iter().position(|s| Some(s.session) == listed) {
                sessions[at].silent = if present.contains(client) { 0 } else { sessions[at].silent + 1 };
                let end = if sessions[at].silent >= limit { at + 1 } else { at };
                gone.extend(sessions.drain(..end).map(|s| s.session));
            }
            let forgotten = sessions.extract_if(.., |s| s.unlisted >= limit.saturating_mul(FORGET));
            gone.extend(forgotten.map(|s| s.session));
        }
        self.clients.retain(|_, sessions| !sessions.is_empty());
        for session in gone {
            self.evict(session);
        }
    }

    fn evict(&mut self, session: Session) {
        if self.evicted_set.insert(session) {
            self.evicted.push_back(session);
        }
        while self.evicted.len() > MAX_EVICTED {
            if let Some(old) = self.evicted.pop_front() {
                self.evicted_set.remove(&old);
            }
        }
    }

    /// The roster for these servers: per client its newest session that all of them vouch for.
    pub fn roster(&self, servers: &[PeerId]) -> Roster {
        let entry = |(client, sessions): (&ClientId, &Vec<Candidate>)| {
            sessions.iter().rev().find_map(|s| {
                let vouches =
                    servers.iter().map(|server| s.vouches.get(server).copied()).collect::<Option<_>>()?;
                Some(Entry { client: *client, session: s.session, vouches })
            })
        };
        Roster::new(self.clients.iter().filter_map(entry).collect())
            .expect("invariant: the registry holds each client once and at most MAX_ROSTER")
    }

    /// Whether the server vouches for a session of this entry's client.
    pub fn is_vouched(&self, entry: &Entry, server: &PeerId) -> bool {
        let sessions = self.clients.get(&entry.client).into_iter().flatten();
        sessions.into_iter().any(|s| s.vouches.contains_key(server))
    }

    /// What the server vouched for this session, if it did.
    pub fn vouch_of(&self, client: &ClientId, session: &Session, server: &PeerId) -> Option<[u8; 32]> {
        let candidate = self.clients.get(client)?.iter().find(|s| s.session == *session)?;
        candidate.vouches.get(server).copied()
    }

    /// Whether the session was evicted.
    pub fn is_evicted(&self, session: &Session) -> bool {
        self.evicted_set.contains(session)
    }

    /// Whether a vouch for this client would find room.
    pub fn has_room(&self, client: &ClientId) -> bool {
        self.clients.len() < MAX_ROSTER || self.clients.contains_key(client)
    }

    /// Whether the log can have made it: not larger than it gets, and nothing counted to where counting on would overflow.
    pub(super) fn is_sound(&self) -> bool {
        let counted = |s: &Candidate| s.silent < u32::MAX / 2 && s.unlisted < u32::MAX / 2;
        self.clients.len() <= MAX_ROSTER
            && self.clients.values().all(|all| all.len() <= MAX_SESSIONS + 1 && all.iter().all(counted))
            && self.evicted.len() <= MAX_EVICTED
    }

    /// How many clients are registered with at least one server.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }
}
