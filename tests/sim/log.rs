//! The replicated log, as a model: openraft is tested by itself in `committee/src/raft/tests`.
//!
//! One totally ordered list of committed entries. A proposal waits at the leader; it is committed when the leader reaches
//! a majority. When another leader is elected, a drawn prefix of what waited survives (and is committed late), the rest is
//! lost. A leader that was replaced believes that it leads until it hears of the newer term: what it takes is lost.
//! Followers hear of commits with the next heartbeat, apply with a lag, and install a snapshot when they are far behind.
//! Nobody is elected who lacks a committed entry.

use std::rc::Rc;

use zipnet_committee::entry::Entry;
use zipnet_committee::state::State;
use zipnet_dcnet::signed::encode;

use crate::clock::Ms;
use crate::net::Node;
use crate::world::World;

/// How often the leader tells the others how far the log is.
const HEARTBEAT: Ms = 150;
/// Followers without a heartbeat for this long stand for election, plus up to as much again.
const ELECTION: Ms = 1_000;
/// A snapshot is made every so many entries.
const SNAPSHOT: usize = 32;
/// Who is this far behind gets a snapshot instead of entries.
const FAR: usize = 2 * SNAPSHOT;

/// What one server knows of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// The newest term it has heard of, and who leads it.
    pub(crate) term: u64,
    pub(crate) leader: Option<usize>,
    /// Committed entries that are on its disk.
    have: usize,
    /// How many of them it knows to be committed.
    pub(crate) known: usize,
    /// When it last heard the leader.
    heard: Ms,
    /// When it loses patience.
    patience: Ms,
}

struct Waiting {
    entry: Rc<Entry>,
    ready: Ms,
}

/// See the module.
pub(crate) struct Log {
    pub(crate) entries: Vec<Rc<Entry>>,
    waiting: Vec<Waiting>,
    /// The leader tries again to reach a majority.
    retrying: bool,
    term: u64,
    pub(crate) leader: Option<usize>,
    pub(crate) views: Vec<View>,
    /// The state after so many entries, as a snapshot has it.
    snapshots: Vec<(usize, Rc<Vec<u8>>)>,
    pub(crate) installed: u64,
    pub(crate) elections: u64,
    pub(crate) lost: u64,
}

impl Log {
    pub(crate) fn new(servers: usize) -> Self {
        let view = View { term: 1, leader: Some(0), ..View::default() };
        Self {
            entries: Vec::new(),
            waiting: Vec::new(),
            retrying: false,
            term: 1,
            leader: Some(0),
            views: vec![view; servers],
            snapshots: Vec::new(),
            installed: 0,
            elections: 0,
            lost: 0,
        }
    }

    /// Whether this server believes that it leads.
    pub(crate) fn leads(&self, server: usize) -> bool {
        self.views[server].leader == Some(server)
    }

    /// Who has heard of the term in which this server believes to lead, itself among them; `None` if it does not.
    pub(crate) fn heard(&self, server: usize) -> Option<Vec<usize>> {
        let of_term = |s: &usize| self.views[*s].term == self.views[server].term;
        self.leads(server).then(|| (0..self.views.len()).filter(of_term).collect())
    }

    /// Keeps a snapshot of the state after `applied` entries when it is time for one.
    pub(crate) fn snapshot(&mut self, applied: usize, state: &State) -> Option<Rc<Vec<u8>>> {
        if !applied.is_multiple_of(SNAPSHOT) {
            return None;
        }
        let bytes = Rc::new(encode(state));
        if self.snapshots.last().is_none_or(|(at, _)| *at < applied) {
            self.snapshots.push((applied, bytes.clone()));
        }
        Some(bytes)
    }

    /// The last snapshot at or before an index.
    pub(crate) fn snapshot_at(&self, index: usize) -> Option<(usize, Rc<Vec<u8>>)> {
        self.snapshots.iter().rev().find(|(at, _)| *at <= index).cloned()
    }

    /// The snapshot that a server gets that has applied so much, if it is far behind.
    pub(crate) fn far_behind(&self, applied: usize, known: usize) -> Option<(usize, Rc<Vec<u8>>)> {
        let newest = self.snapshot_at(known)?;
        (newest.0 >= applied + FAR).then_some(newest)
    }
}

impl World {
    /// Starts the heartbeats.
    pub(crate) fn start_log(&mut self) {
        for server in 0..self.servers.len() {
            self.lose_patience_later(server);
        }
        self.beat();
    }

    fn beat(&mut self) {
        if let Some(leader) = self.log.leader.filter(|l| self.servers[*l].up) {
            for follower in 0..self.servers.len() {
                if follower != leader {
                    self.replicate(leader, follower);
                }
            }
        }
        self.elect_if_overdue();
        self.after(HEARTBEAT, World::beat);
    }

    /// Tells a follower what is committed.
    fn replicate(&mut self, leader: usize, follower: usize) {
        let (term, len) = (self.log.term, self.log.entries.len());
        let linked = self.net.linked(Node::Server(leader), Node::Server(follower));
        self.send(Node::Server(leader), Node::Server(follower), move |w| {
            let (now, view) = (w.now, &mut w.log.views[follower]);
            if term < view.term {
                return;
            }
            (view.term, view.leader, view.heard) = (term, Some(leader), now);
            // The entries themselves need answers, so both directions.
            if linked && len > view.known {
                view.have = view.have.max(len);
                view.known = len;
                w.wake(follower);
            }
        });
    }

    /// A proposal that reached `server`, which believes that it leads.
    pub(crate) fn append(&mut self, server: usize, entry: &Entry) {
        if self.log.leader != Some(server) {
            // Replaced already: nobody will ever commit it.
            self.log.lost += 1;
            return self.say(&format!("s{server} takes {} and loses it", name(entry)));
        }
        // As it comes out of the log's bytes.
        let entry: Entry = borsh::from_slice(&encode(entry)).expect("what is encoded can be decoded");
        let ready = self.now + 5 + self.net.delay + self.below(2 * self.net.jitter + 1);
        self.log.waiting.push(Waiting { entry: Rc::new(entry), ready });
        let term = self.log.term;
        self.at(ready, move |w| w.commit(term));
    }

    /// The leader of `term` commits what is ready, if it reaches a majority.
    fn commit(&mut self, term: u64) {
        let Some(leader) = self.log.leader.filter(|l| self.log.term == term && self.servers[*l].up) else {
            return;
        };
        let others = (0..self.servers.len()).filter(|s| *s != leader && self.servers[*s].up);
        let mut reached: Vec<usize> =
            others.filter(|s| self.net.linked(Node::Server(leader), Node::Server(*s))).collect();
        let majority = self.descriptor.majority();
        if reached.len() + 1 < majority {
            if !std::mem::replace(&mut self.log.retrying, true) {
                self.after(HEARTBEAT, move |w| {
                    w.log.retrying = false;
                    w.commit(w.log.term);
                });
            }
            return;
        }
        let ready = self.log.waiting.iter().take_while(|w| w.ready <= self.now).count();
        if ready == 0 && self.log.views[leader].known == self.log.entries.len() {
            return;
        }
        for waiting in self.log.waiting.drain(..ready).collect::<Vec<_>>() {
            self.say(&format!("log {} {}", self.log.entries.len(), name(&waiting.entry)));
            self.log.entries.push(waiting.entry);
        }
        let len = self.log.entries.len();
        // Just a majority has them for sure.
        while reached.len() + 1 > majority {
            let drop = self.below(reached.len() as u64) as usize;
            reached.remove(drop);
        }
        for server in reached.into_iter().chain([leader]) {
            self.log.views[server].have = len;
        }
        self.log.views[leader].known = len;
        self.wake(leader);
        for follower in (0..self.servers.len()).filter(|s| *s != leader) {
            self.replicate(leader, follower);
        }
    }

    fn lose_patience_later(&mut self, server: usize) {
        let patience = ELECTION + self.below(ELECTION);
        let now = self.now;
        (self.log.views[server].patience, self.log.views[server].heard) = (patience, now);
    }

    fn elect_if_overdue(&mut self) {
        for server in 0..self.servers.len() {
            let view = &self.log.views[server];
            if self.servers[server].up && !self.log.leads(server) && self.now >= view.heard + view.patience {
                self.lose_patience_later(server);
                self.stand(server, true);
            }
        }
    }

    /// A server stands for election: by itself, or because its core wants the leader replaced. Who hears a leader votes
    /// for nobody, unless that leader is being deposed.
    pub(crate) fn stand(&mut self, candidate: usize, patient: bool) {
        let now = self.now;
        let votes = (0..self.servers.len()).filter(|voter| {
            let hears = now < self.log.views[*voter].heard + ELECTION && *voter != candidate;
            self.servers[*voter].up
                && self.net.linked(Node::Server(candidate), Node::Server(*voter))
                && self.log.views[*voter].have <= self.log.views[candidate].have
                && !(hears && patient)
        });
        if votes.count() < self.descriptor.majority()
            || self.log.views[candidate].have < self.log.entries.len()
        {
            return self.say(&format!("s{candidate} is not elected"));
        }
        let survive = self.below(self.log.waiting.len() as u64 + 1) as usize;
        self.log.lost += (self.log.waiting.len() - survive) as u64;
        self.log.waiting.truncate(survive);
        self.log.term += 1;
        self.log.elections += 1;
        let term = self.log.term;
        self.log.leader = Some(candidate);
        let view = &mut self.log.views[candidate];
        (view.term, view.leader, view.heard) = (term, Some(candidate), now);
        self.say(&format!("s{candidate} leads term {term}, {survive} entries survive"));
        let wait = 5 + self.below(100);
        let ready = now + wait;
        for waiting in &mut self.log.waiting {
            waiting.ready = ready;
        }
        self.at(ready, move |w| w.commit(term));
        self.wake(candidate);
    }

    /// A leader that knows no way to an aggregator lets somebody else lead: it stays silent until then.
    pub(crate) fn step_back(&mut self, server: usize) {
        if self.log.leader == Some(server) {
            self.log.leader = None;
            self.log.views[server].leader = None;
            self.lose_patience_later(server);
            self.say(&format!("s{server} steps back"));
        }
    }

    /// What the log's server keeps over a crash: its entries. That it leads, it does not.
    pub(crate) fn crash_log(&mut self, server: usize) {
        if self.log.leader == Some(server) {
            self.log.leader = None;
        }
        let view = &mut self.log.views[server];
        view.leader = None;
        view.known = view.known.min(view.have);
        self.lose_patience_later(server);
    }
}

/// A word for an entry.
pub(crate) fn name(entry: &Entry) -> String {
    match entry {
        Entry::Vouch(e) => {
            let v = e.trusted();
            format!("vouch {} for {}", v.server.short(), v.client.client_id().short())
        }
        Entry::Withdrawal(e) => {
            let w = e.trusted();
            format!("withdrawal {} for {}", w.server.short(), w.client.short())
        }
        Entry::Open(h) => format!("open {} roster {} servers {}", h.round, h.roster_len, h.servers.len()),
        Entry::HeaderSignature(s) => format!("header {} {}", s.round, s.server.short()),
        Entry::Fold { round, parts } => format!("fold {round} of {}", parts.len()),
        Entry::Commitment(e) => format!("commitment {} {}", e.trusted().round, e.trusted().server.short()),
        Entry::Partial(e) => format!("partial {} {}", e.trusted().round, e.trusted().server.short()),
        Entry::RecordSignature(s) => format!("record {} {}", s.round, s.server.short()),
        Entry::Abandon { round } => format!("abandon {round}"),
        Entry::Disclosure(e) => {
            let d = e.trusted();
            format!("disclosure {} {} {}", d.round, d.server.short(), d.revealed)
        }
        // What a server says of itself: short.
        other => format!("{other:?}").chars().filter(|c| !c.is_whitespace()).take(200).collect(),
    }
}
