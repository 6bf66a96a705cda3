//! Who has registered: sessions and their vouches (R2, R4).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use borsh::{BorshDeserialize, BorshSerialize};
use zipnet_dcnet::ids::{ClientId, PeerId, Session};
use zipnet_dcnet::params::majority;
use zipnet_dcnet::roster::{self, MAX_ROSTER, Roster};
use zipnet_dcnet::statement::{Vouch, Withdrawal};

use super::Refused;

/// How many evicted sessions are remembered; the oldest is forgotten first.
pub const MAX_EVICTED: usize = 65_536;
/// Sessions of one client at a time: the one that takes part, and the one that takes over.
const MAX_SESSIONS: usize = 2;
/// A session that is in no roster for this many times `absence_limit` final rounds is forgotten: it is suspended, or
/// never registered with all servers, and nothing else would ever take it out.
const FORGET: u32 = 16;
/// Longest encoded roster in bytes: the longest answer to `zipnet_network::links::Kind::Roster`.
pub const MAX_ROSTER_BYTES: usize = 32 << 20;
/// Bytes of an encoded roster entry besides its vouches: client, session, number of vouches.
const ENTRY_BYTES: usize = 32 + 32 + LENGTH_BYTES;
/// Bytes of a vouch in it.
const VOUCH_BYTES: usize = 32;
/// Bytes of the length of a list.
const LENGTH_BYTES: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Candidate {
    session: Session,
    vouches: BTreeMap<PeerId, [u8; 32]>,
    /// Final rounds in a row in whose roster it was without taking part.
    silent: u32,
    /// Final rounds in a row in whose roster it was not.
    unlisted: u32,
}

/// A client and its sessions, newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Client {
    sessions: Vec<Candidate>,
    /// A majority of the servers vouched for one of its sessions at some time: no lying minority made it up.
    confirmed: bool,
    /// Until then: its places in the lines of the servers that vouch for it.
    places: BTreeMap<PeerId, u64>,
}

impl Client {
    /// Drops the vouches of a server, and sessions that nobody is left to vouch for. For clients that are not confirmed.
    fn forsake(&mut self, server: &PeerId) {
        self.places.remove(server);
        for session in &mut self.sessions {
            session.vouches.remove(server);
        }
        self.sessions.retain(|session| !session.vouches.is_empty());
    }
}

/// The sessions of all clients.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Registry {
    /// How many servers the committee has.
    servers: u32,
    clients: BTreeMap<ClientId, Client>,
    /// For each server the clients that it vouches for and that are not confirmed, the longest known first.
    lines: BTreeMap<PeerId, BTreeMap<u64, ClientId>>,
    /// The next place in any line.
    next: u64,
    evicted: VecDeque<Session>,
    evicted_set: BTreeSet<Session>,
}

/// Most clients that a committee of so many servers registers: so many that the roster fits a frame of a link.
pub fn capacity(servers: u32) -> usize {
    let entry = ENTRY_BYTES + VOUCH_BYTES * servers as usize;
    MAX_ROSTER.min((MAX_ROSTER_BYTES - LENGTH_BYTES) / entry)
}

/// Most clients that one server may vouch for while no majority does: an equal share of the registry. Beyond it, the one
/// that waited longest is given up.
pub fn quota(servers: u32) -> usize {
    (capacity(servers) / servers.max(1) as usize).max(1)
}

impl Registry {
    /// Nobody has registered with this many servers.
    pub(super) fn new(servers: u32) -> Self {
        Self {
            servers,
            clients: BTreeMap::new(),
            lines: BTreeMap::new(),
            next: 0,
            evicted: VecDeque::new(),
            evicted_set: BTreeSet::new(),
        }
    }

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
        let client = self.clients.entry(id).or_default();
        let sessions = &mut client.sessions;
        let at = sessions.iter().position(|s| s.session == vouch.session);
        let at = at.unwrap_or_else(|| {
            let fresh =
                Candidate { session: vouch.session, vouches: BTreeMap::new(), silent: 0, unlisted: 0 };
            sessions.push(fresh);
            sessions.len() - 1
        });
        sessions[at].vouches.insert(vouch.server, vouch.digest);
        client.confirmed |= sessions[at].vouches.len() as u32 >= majority(self.servers);
        let mut old = None;
        if sessions.len() > MAX_SESSIONS {
            let others = (0..sessions.len()).filter(|i| *i != at);
            let least = others.min_by_key(|i| sessions[*i].vouches.len());
            old = least.map(|least| sessions.remove(least).session);
        }
        if client.confirmed {
            let places = std::mem::take(&mut client.places);
            self.leave_lines(&places);
        } else if let Entry::Vacant(place) = client.places.entry(vouch.server) {
            place.insert(self.next);
            self.lines.entry(vouch.server).or_default().insert(self.next, id);
            self.next += 1;
            self.keep_quota(&vouch.server);
        }
        if let Some(old) = old {
            self.evict(old);
        }
        Ok(())
    }

    fn leave_lines(&mut self, places: &BTreeMap<PeerId, u64>) {
        for (server, place) in places {
            if let Some(line) = self.lines.get_mut(server) {
                line.remove(place);
            }
        }
    }

    /// A server that makes clients up pushes out only what it alone, or a minority, vouches for.
    fn keep_quota(&mut self, server: &PeerId) {
        let Some(line) = self.lines.get_mut(server) else { return };
        if line.len() > quota(self.servers)
            && let Some((_, oldest)) = line.pop_first()
        {
            self.give_up(server, &oldest);
        }
    }

    fn give_up(&mut self, server: &PeerId, id: &ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.forsake(server);
        if client.sessions.is_empty() {
            self.clients.remove(id);
        }
    }

    /// The server takes a vouch back, and only the very one that it names.
    pub(super) fn withdraw(&mut self, withdrawal: &Withdrawal) -> Result<(), Refused> {
        let Withdrawal { server, client: id, session, digest, .. } = withdrawal;
        if self.vouch_of(id, session, server) != Some(*digest) {
            return Err(Refused::Vouch("there is no such vouch to take back"));
        }
        let client = self.clients.get_mut(id).expect("invariant: somebody vouched for, just now");
        for candidate in client.sessions.iter_mut().filter(|s| s.session == *session) {
            candidate.vouches.remove(server);
        }
        let vouched = client.sessions.iter().any(|s| s.vouches.contains_key(server));
        if let Some(place) = client.places.get(server).filter(|_| !vouched) {
            self.lines.get_mut(server).expect("invariant: a place is in a line").remove(place);
            self.give_up(server, id);
        }
        Ok(())
    }

    /// The server restarted: its vouches are void. Clients that a majority once vouched for stay, to be vouched for anew.
    pub(super) fn lapse(&mut self, server: &PeerId) {
        for id in self.lines.remove(server).unwrap_or_default().into_values() {
            self.give_up(server, &id);
        }
        for candidate in self.clients.values_mut().flat_map(|client| &mut client.sessions) {
            candidate.vouches.remove(server);
        }
    }

    /// A round with this roster is final: who took part is not silent, who was silent for `limit` such rounds leaves
    /// for good, and a session that took over ends the one before it.
    pub(super) fn settle(&mut self, roster: &Roster, present: &BTreeSet<ClientId>, limit: u32) {
        let mut gone = Vec::new();
        for (id, client) in &mut self.clients {
            let sessions = &mut client.sessions;
            let listed = roster.index(id).map(|i| roster.entries()[i as usize].session);
            for s in sessions.iter_mut() {
                s.unlisted = if Some(s.session) == listed { 0 } else { s.unlisted + 1 };
            }
            if let Some(at) = sessions.iter().position(|s| Some(s.session) == listed) {
                sessions[at].silent = if present.contains(id) { 0 } else { sessions[at].silent + 1 };
                let end = if sessions[at].silent >= limit { at + 1 } else { at };
                gone.extend(sessions.drain(..end).map(|s| s.session));
            }
            let forgotten = sessions.extract_if(.., |s| s.unlisted >= limit.saturating_mul(FORGET));
            gone.extend(forgotten.map(|s| s.session));
        }
        let empty = self.clients.extract_if(.., |_, client| client.sessions.is_empty());
        for (_, client) in empty.collect::<Vec<_>>() {
            self.leave_lines(&client.places);
        }
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
        let entry = |(id, client): (&ClientId, &Client)| {
            client.sessions.iter().rev().find_map(|s| {
                let vouches =
                    servers.iter().map(|server| s.vouches.get(server).copied()).collect::<Option<_>>()?;
                Some(roster::Entry { client: *id, session: s.session, vouches })
            })
        };
        Roster::new(self.clients.iter().filter_map(entry).collect())
            .expect("invariant: the registry holds each client once and at most MAX_ROSTER")
    }

    /// Whether the server vouches for a session of this entry's client.
    pub fn is_vouched(&self, entry: &roster::Entry, server: &PeerId) -> bool {
        let sessions = self.clients.get(&entry.client).into_iter().flat_map(|client| &client.sessions);
        sessions.into_iter().any(|s| s.vouches.contains_key(server))
    }

    /// What the server vouched for this session, if it did.
    pub fn vouch_of(&self, client: &ClientId, session: &Session, server: &PeerId) -> Option<[u8; 32]> {
        let candidate = self.clients.get(client)?.sessions.iter().find(|s| s.session == *session)?;
        candidate.vouches.get(server).copied()
    }

    /// Whether the session was evicted.
    pub fn is_evicted(&self, session: &Session) -> bool {
        self.evicted_set.contains(session)
    }

    /// Whether a vouch for this client would find room.
    pub fn has_room(&self, client: &ClientId) -> bool {
        self.clients.len() < capacity(self.servers) || self.clients.contains_key(client)
    }

    /// Whether the log of so many servers can have made it: not larger than it gets, its parts agree, and nothing is
    /// counted to where counting on would overflow.
    pub(super) fn is_sound(&self, servers: u32) -> bool {
        let counted = |s: &Candidate| s.silent < u32::MAX / 2 && s.unlisted < u32::MAX / 2;
        let in_line = |id: &ClientId, (server, place): (&PeerId, &u64)| {
            *place < self.next && self.lines.get(server).and_then(|line| line.get(place)) == Some(id)
        };
        let client = |(id, client): (&ClientId, &Client)| {
            (1..=MAX_SESSIONS).contains(&client.sessions.len())
                && client.sessions.iter().all(counted)
                && (!client.confirmed || client.places.is_empty())
                && client.places.iter().all(|place| in_line(id, place))
        };
        let places: usize = self.clients.values().map(|client| client.places.len()).sum();
        self.servers == servers
            && self.clients.len() <= capacity(servers)
            && self.clients.iter().all(client)
            && self.lines.values().map(BTreeMap::len).sum::<usize>() == places
            && self.lines.values().all(|line| line.len() <= quota(servers))
            && self.next < u64::MAX / 2
            && self.evicted.len() <= MAX_EVICTED
            && self.evicted_set.iter().eq(self.evicted.iter().collect::<BTreeSet<_>>())
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

#[cfg(test)]
mod tests;
