//! The queue: which messages there are, in which state, and what falls due when.
//!
//! Invariants (checked by [`Queue::check`] in tests): every message that is not terminal has a deadline; counts and
//! indexes agree with the messages; the bounds of [`super::config`] hold; every message that callers may see has one
//! change number, and no two have the same.
//!
//! Who watches messages keeps a number and asks for what has a higher one. A message that changes several times in
//! between is there once, as it is: nothing is kept per watcher.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use zeroize::Zeroizing;
use zipnet_dcnet::hash::{Use, keyed32};

use super::config::{MAX_MESSAGES, MAX_QUEUE_BYTES};
use super::message::{Failure, Message, MessageId, State};
use super::output::Refusal;
use super::status::QueueCounts;

/// What keeps a queued message from being sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Nothing.
    Free,
    /// Its acceptance is not durable yet: the ticket of the write.
    Storing(u64),
    /// It came from the disk, and the log was not read yet (section 7).
    FromDisk,
}

/// A message and what the store does not keep of it.
pub(super) struct Entry {
    pub(super) message: Message,
    pub(super) hold: Hold,
    /// Keyed digest of the payload, in memory only: on the disk it would say which message of the log was this one.
    digest: Option<[u8; 32]>,
    deadline: u64,
    /// The number of its last change; 0 for the standing message, which nobody watches.
    pub(super) changed: u64,
}

/// See the module.
pub(super) struct Queue {
    entries: BTreeMap<MessageId, Entry>,
    requests: BTreeMap<(u32, String), MessageId>,
    queued: BTreeSet<MessageId>,
    sealed: BTreeSet<MessageId>,
    deadlines: BTreeSet<(u64, MessageId)>,
    /// By the number of their last change.
    changes: BTreeMap<u64, MessageId>,
    /// Of the last change there was.
    last_change: u64,
    /// By the time they became terminal.
    terminal: VecDeque<MessageId>,
    live: usize,
    live_bytes: usize,
    digest_key: Zeroizing<[u8; 32]>,
}

impl Queue {
    pub(super) fn new(digest_key: Zeroizing<[u8; 32]>) -> Self {
        Self {
            entries: BTreeMap::new(),
            requests: BTreeMap::new(),
            queued: BTreeSet::new(),
            sealed: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            changes: BTreeMap::new(),
            last_change: 0,
            terminal: VecDeque::new(),
            live: 0,
            live_bytes: 0,
            digest_key,
        }
    }

    fn digest(&self, payload: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        keyed32(Use("zipnetd payload"), &*self.digest_key, &[payload], &mut out);
        out
    }

    /// The message that a request id stands for, if there is one.
    ///
    /// # Errors
    /// [`Refusal::RequestIdReused`] when it stands for another payload. A terminal message from the disk has no
    /// payload to compare with: its request id stands for whatever is asked.
    pub(super) fn request(&self, uid: u32, id: &str, payload: &[u8]) -> Result<Option<MessageId>, Refusal> {
        let Some(known) = self.requests.get(&(uid, id.to_owned())) else { return Ok(None) };
        let digest = self.entries.get(known).and_then(|e| e.digest);
        if digest.is_some_and(|d| d != self.digest(payload)) {
            return Err(Refusal::RequestIdReused(id.to_owned()));
        }
        Ok(Some(*known))
    }

    /// Whether a payload of this length fits.
    ///
    /// # Errors
    /// [`Refusal::QueueFull`].
    pub(super) fn room(&self, bytes: usize) -> Result<(), Refusal> {
        if self.live >= MAX_MESSAGES || self.live_bytes + bytes > MAX_QUEUE_BYTES {
            return Err(Refusal::QueueFull { messages: self.live, bytes: self.live_bytes });
        }
        Ok(())
    }

    /// Takes a message in, in whatever state.
    pub(super) fn insert(&mut self, message: Message, hold: Hold) {
        let id = message.id;
        if let Some(request) = &message.request_id {
            self.requests.insert((message.uid, request.clone()), id);
        }
        let digest = (!message.state.is_terminal()).then(|| self.digest(&message.payload));
        let deadline = message.expires_at;
        let entry = Entry { message, hold, digest, deadline, changed: 0 };
        self.index(&entry, true);
        if entry.message.state.is_terminal() && id != MessageId::STANDING {
            self.terminal.push_back(id);
        }
        self.entries.insert(id, entry);
        self.touch(&id);
    }

    /// Takes a message out for good: one that could not be kept, or a standing message that changed.
    pub(super) fn remove(&mut self, id: &MessageId) -> Option<Message> {
        let entry = self.entries.remove(id)?;
        self.index(&entry, false);
        self.changes.remove(&entry.changed);
        if let Some(request) = &entry.message.request_id {
            self.requests.remove(&(entry.message.uid, request.clone()));
        }
        Some(entry.message)
    }

    /// Changes a message. All indexes follow; a payload is wiped when its message becomes terminal, that of the
    /// standing message aside, which the configuration holds anyway.
    pub(super) fn change(&mut self, id: &MessageId, change: impl FnOnce(&mut Message)) -> Option<&Message> {
        let mut entry = self.entries.remove(id)?;
        self.index(&entry, false);
        let was_terminal = entry.message.state.is_terminal();
        change(&mut entry.message);
        entry.deadline = match entry.message.state {
            State::Sealed(_) => entry.deadline.max(entry.message.expires_at),
            _ => entry.message.expires_at,
        };
        let terminal = entry.message.state.is_terminal();
        if terminal && !was_terminal && *id != MessageId::STANDING {
            entry.message.payload = Zeroizing::new(Vec::new());
            self.terminal.push_back(*id);
        }
        self.index(&entry, true);
        self.entries.insert(*id, entry);
        self.touch(id);
        self.entries.get(id).map(|entry| &entry.message)
    }

    /// The message changed for who watches it: it gets the next number.
    pub(super) fn touch(&mut self, id: &MessageId) {
        let Some(entry) = self.entries.get_mut(id).filter(|_| *id != MessageId::STANDING) else { return };
        self.changes.remove(&entry.changed);
        self.last_change += 1;
        entry.changed = self.last_change;
        self.changes.insert(self.last_change, *id);
    }

    /// The number of the last change.
    pub(super) fn last_change(&self) -> u64 {
        self.last_change
    }

    /// What changed after the change `number`, in the order of the last changes: number and message.
    pub(super) fn changed_since(&self, number: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let from = number.saturating_add(1);
        self.changes.range(from..).map(|(number, id)| (*number, &self.entries[id]))
    }

    /// Messages with a greater id, in the order of acceptance; the standing one is none.
    pub(super) fn after(&self, id: MessageId) -> impl Iterator<Item = (&MessageId, &Entry)> {
        let range = (std::ops::Bound::Excluded(id), std::ops::Bound::Excluded(MessageId::STANDING));
        // An inverted range panics; nothing comes after the greatest id there can be.
        (id < MessageId::STANDING).then(|| self.entries.range(range)).into_iter().flatten()
    }

    /// A message that is not terminal and that nothing would ever look at again: there must be none.
    pub(super) fn stuck(&self) -> Option<MessageId> {
        let live = self.entries.values().filter(|e| !e.message.state.is_terminal());
        let mut live = live.filter(|e| e.message.id != MessageId::STANDING);
        live.find(|e| !self.deadlines.contains(&(e.deadline, e.message.id))).map(|e| e.message.id)
    }

    /// Sets what keeps a message from being sealed.
    pub(super) fn set_hold(&mut self, id: &MessageId, hold: Hold) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.hold = hold;
            self.touch(id);
        }
    }

    /// Looks at a message again at `at`, if it is not terminal by then.
    pub(super) fn set_deadline(&mut self, id: &MessageId, at: u64) {
        if let Some(entry) = self.entries.get_mut(id)
            && self.deadlines.remove(&(entry.deadline, *id))
        {
            entry.deadline = at;
            self.deadlines.insert((at, *id));
        }
    }

    fn index(&mut self, entry: &Entry, present: bool) {
        fn set<T: Ord>(set: &mut BTreeSet<T>, item: T, present: bool) {
            if present {
                set.insert(item)
            } else {
                set.remove(&item)
            };
        }
        let (m, standing) = (&entry.message, entry.message.id == MessageId::STANDING);
        match m.state {
            State::Queued if standing => {}
            State::Queued => set(&mut self.queued, m.id, present),
            State::Sealed(_) => set(&mut self.sealed, m.id, present),
            _ => return,
        }
        if !standing || matches!(m.state, State::Sealed(_)) {
            set(&mut self.deadlines, (entry.deadline, m.id), present);
        }
        if !standing {
            let (one, bytes) = (1, m.payload.len());
            self.live = if present { self.live + one } else { self.live - one };
            self.live_bytes = if present { self.live_bytes + bytes } else { self.live_bytes - bytes };
        }
    }

    pub(super) fn get(&self, id: &MessageId) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// The message for a slot of `round`: the oldest that is ready, else the standing one if nothing is queued.
    pub(super) fn pick(&self, round: u64, now: u64) -> Option<MessageId> {
        let ready = |id: &&MessageId| {
            let entry = &self.entries[*id];
            entry.hold == Hold::Free
                && entry.message.not_before_round <= round
                && entry.message.expires_at > now
        };
        if let Some(id) = self.queued.iter().find(ready) {
            return Some(*id);
        }
        let standing = self.entries.get(&MessageId::STANDING)?;
        let m = &standing.message;
        (self.queued.is_empty() && m.state == State::Queued && m.not_before_round <= round).then_some(m.id)
    }

    /// Sealed messages, oldest first.
    pub(super) fn sealed(&self) -> impl Iterator<Item = &Message> {
        self.sealed.iter().map(|id| &self.entries[id].message)
    }

    /// Messages from the disk for which the log was not read yet.
    pub(super) fn unread(&self) -> impl Iterator<Item = &Message> {
        let ids = self.queued.iter().chain(&self.sealed).map(|id| &self.entries[id]);
        ids.filter(|e| e.hold == Hold::FromDisk).map(|e| &e.message)
    }

    /// A message whose time has come.
    pub(super) fn due(&self, now: u64) -> Option<MessageId> {
        self.deadlines.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Rounds in which own messages are known to be published.
    pub(super) fn published_rounds(&self) -> BTreeSet<u64> {
        let rounds = self.terminal.iter().filter_map(|id| match self.entries.get(id)?.message.state {
            State::Published { round, .. } => Some(round),
            _ => None,
        });
        rounds.collect()
    }

    /// Forgets terminal messages beyond `most`, oldest first, and names them.
    pub(super) fn forget(&mut self, most: usize) -> Vec<MessageId> {
        let mut out = Vec::new();
        while self.terminal.len() > most {
            let Some(id) = self.terminal.pop_front() else { break };
            self.remove(&id);
            out.push(id);
        }
        out
    }

    /// Messages of `uid`, or of everybody, per state; `reserved` of the queued ones have a reservation under way.
    pub(super) fn counts(&self, uid: Option<u32>, reserved: Option<MessageId>) -> (QueueCounts, Option<u64>) {
        let (mut counts, mut oldest) = (QueueCounts::default(), None);
        for (id, entry) in &self.entries {
            let m = &entry.message;
            if *id == MessageId::STANDING || uid.is_some_and(|uid| uid != m.uid) {
                continue;
            }
            if !m.state.is_terminal() {
                oldest = Some(oldest.unwrap_or(u64::MAX).min(m.accepted_at));
            }
            let count = match m.state {
                State::Queued if Some(*id) == reserved => &mut counts.reserved,
                State::Queued => &mut counts.queued,
                State::Sealed(_) => &mut counts.sealed,
                State::Published { .. } => &mut counts.published,
                State::Cancelled => &mut counts.cancelled,
                State::Expired => &mut counts.expired,
                State::Failed(Failure::Exposed | Failure::Unknown) => &mut counts.failed,
            };
            *count += 1;
        }
        (counts, oldest)
    }

    /// The invariants, for tests.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let live: Vec<_> = self.entries.values().filter(|e| !e.message.state.is_terminal()).collect();
        let counted: Vec<_> = live.iter().filter(|e| e.message.id != MessageId::STANDING).collect();
        assert_eq!(counted.len(), self.live);
        assert_eq!(counted.iter().map(|e| e.message.payload.len()).sum::<usize>(), self.live_bytes);
        assert!(self.live <= MAX_MESSAGES && self.live_bytes <= MAX_QUEUE_BYTES);
        assert_eq!(self.stuck(), None, "waits for ever");
        for (number, id) in &self.changes {
            assert_eq!(self.entries[id].changed, *number);
        }
        let seen = self.entries.keys().filter(|id| **id != MessageId::STANDING);
        assert_eq!(self.changes.len(), seen.count());
        for entry in self.entries.values().filter(|e| e.message.state.is_terminal()) {
            let id = entry.message.id;
            assert!(!self.queued.contains(&id) && !self.sealed.contains(&id));
            assert!(id == MessageId::STANDING || entry.message.payload.is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::store::nothing;

    fn queue() -> Queue {
        Queue::new(Zeroizing::new([1; 32]))
    }

    fn message(n: u64, payload: &[u8]) -> Message {
        let payload = Zeroizing::new(payload.to_vec());
        let id = MessageId::new(n, 0, [0; 8]);
        Message { id, state: State::Queued, expires_at: 1_000, payload, ..nothing(0) }
    }

    #[test]
    fn the_ten_thousandth_message_fits_and_no_further() {
        let mut q = queue();
        for n in 1..MAX_MESSAGES as u64 {
            q.insert(message(n, b""), Hold::Free);
        }
        assert_eq!(q.room(0), Ok(()));
        q.insert(message(MAX_MESSAGES as u64, b""), Hold::Free);
        assert_eq!(q.room(0), Err(Refusal::QueueFull { messages: MAX_MESSAGES, bytes: 0 }));
        q.change(&MessageId::new(5, 0, [0; 8]), |m| m.state = State::Cancelled);
        assert_eq!(q.room(0), Ok(()), "terminal messages do not count");
        q.check();
    }

    #[test]
    fn bytes_are_bounded_at_their_edge() {
        let mut q = queue();
        let half = vec![0; MAX_QUEUE_BYTES / 2];
        q.insert(message(1, &half), Hold::Free);
        assert_eq!(q.room(half.len()), Ok(()));
        assert!(q.room(half.len() + 1).is_err());
        q.insert(message(2, &half), Hold::Free);
        assert!(q.room(1).is_err() && q.room(0).is_ok());
        q.check();
    }

    #[test]
    fn terminal_messages_lose_their_payload_and_the_oldest_are_forgotten() {
        let mut q = queue();
        for n in 1..=5 {
            let request_id = Some(n.to_string());
            q.insert(Message { request_id, ..message(n, b"text") }, Hold::Free);
            q.change(&MessageId::new(n, 0, [0; 8]), |m| m.state = State::Expired);
        }
        assert_eq!(q.request(0, "1", b"text"), Ok(Some(MessageId::new(1, 0, [0; 8]))));
        assert_eq!(q.forget(2), (1..=3).map(|n| MessageId::new(n, 0, [0; 8])).collect::<Vec<_>>());
        assert_eq!(q.request(0, "1", b"text"), Ok(None));
        assert!(q.request(0, "5", b"text").unwrap().is_some());
        assert!(matches!(q.request(0, "5", b"other"), Err(Refusal::RequestIdReused(_))));
        assert_eq!(q.request(7, "5", b"other"), Ok(None), "request ids are per uid");
        q.check();
    }

    #[test]
    fn a_message_has_one_change_number_however_often_it_changes() {
        let mut q = queue();
        let ids: Vec<_> = (1..=3).map(|n| MessageId::new(n, 0, [0; 8])).collect();
        (1..=3).for_each(|n| q.insert(message(n, b"x"), Hold::Free));
        let since = |q: &Queue, number| -> Vec<(u64, MessageId)> {
            q.changed_since(number).map(|(number, entry)| (number, entry.message.id)).collect()
        };
        assert_eq!(since(&q, 0), [(1, ids[0]), (2, ids[1]), (3, ids[2])]);
        (0..5).for_each(|_| q.touch(&ids[0]));
        q.change(&ids[1], |m| m.state = State::Cancelled);
        assert_eq!(since(&q, 3), [(8, ids[0]), (9, ids[1])]);
        assert_eq!((since(&q, 9), q.last_change()), (vec![], 9));
        assert_eq!(since(&q, u64::MAX), []);
        q.remove(&ids[0]);
        assert_eq!(since(&q, 0), [(3, ids[2]), (9, ids[1])]);
        assert_eq!(q.after(MessageId::STANDING).count(), 0);
        assert_eq!(q.after(ids[1]).map(|(id, _)| *id).collect::<Vec<_>>(), [ids[2]]);
        q.check();
    }

    #[test]
    fn the_oldest_ready_message_is_picked_and_the_standing_one_when_there_is_none() {
        let mut q = queue();
        let standing = Message { id: MessageId::STANDING, ..message(0, b"s") };
        q.insert(standing, Hold::Free);
        assert_eq!(q.pick(1, 0), Some(MessageId::STANDING));
        q.insert(message(1, b"a"), Hold::Storing(1));
        q.insert(Message { not_before_round: 5, ..message(2, b"b") }, Hold::Free);
        q.insert(message(3, b"c"), Hold::FromDisk);
        assert_eq!(q.pick(4, 0), None);
        assert_eq!(q.pick(5, 0), Some(MessageId::new(2, 0, [0; 8])));
        assert_eq!(q.pick(5, 1_000), None, "expired");
        q.set_hold(&MessageId::new(1, 0, [0; 8]), Hold::Free);
        assert_eq!(q.pick(5, 0), Some(MessageId::new(1, 0, [0; 8])));
    }
}
