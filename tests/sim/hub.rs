//! Events from servers to those who listen, as `committee/src/server/events.rs` sends them.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use zipnet_dcnet::ids::HeaderDigest;
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::wire::{Ended, Event, RosterUpdate};

use crate::clock::Ms;
use crate::net::Node;
use crate::world::World;

/// Rosters kept for those who fetch one by digest.
const ROSTERS: usize = 4;

struct Listener {
    id: u64,
    /// When the last frame arrives.
    last: Ms,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Hub {
    open: Option<HeaderDigest>,
    rosters: VecDeque<([u8; 32], Roster)>,
    listeners: BTreeMap<Node, Listener>,
}

impl Hub {
    /// A roster by digest, if it is one of the last.
    pub(crate) fn roster(&self, digest: &[u8; 32]) -> Option<Roster> {
        self.rosters.iter().find(|(d, _)| d == digest).map(|(_, roster)| roster.clone())
    }
}

impl World {
    /// Tells of the open round, once, and of every ended round in `fresh`.
    pub(crate) fn publish(&mut self, s: usize, fresh: &BTreeMap<u64, Ended>) {
        for ended in fresh.values() {
            self.tell(s, Event::Ended(ended.clone()));
        }
        let server = &mut self.servers[s];
        let Some((round, header)) = server.state.round().and_then(|r| Some((r, r.signed_header()?))) else {
            return;
        };
        let hub = &mut server.hub;
        if hub.open == Some(round.digest) {
            return;
        }
        hub.open = Some(round.digest);
        let digest = round.header.roster;
        let roster = match hub.rosters.back() {
            Some((last, _)) if *last == digest => RosterUpdate::Same,
            Some((_, last)) => RosterUpdate::Delta(round.roster.delta(last)),
            None => RosterUpdate::Fetch,
        };
        if roster != RosterUpdate::Same {
            hub.rosters.push_back((digest, round.roster.clone()));
            if hub.rosters.len() > ROSTERS {
                hub.rosters.pop_front();
            }
        }
        self.tell(s, Event::Open { header: Box::new(header), roster });
    }

    fn tell(&mut self, s: usize, event: Event) {
        let event = Rc::new(self.tampered_event(s, event));
        let all: Vec<Node> = self.servers[s].hub.listeners.keys().copied().collect();
        for node in all {
            self.push(s, node, event.clone());
        }
    }

    fn push(&mut self, s: usize, node: Node, event: Rc<Event>) {
        let Some((id, last)) = self.servers[s].hub.listeners.get(&node).map(|l| (l.id, l.last)) else {
            return;
        };
        let arrives = self.frame(Node::Server(s), node, last, move |w| w.heard(node, s, id, &event));
        match arrives {
            Some(last) => {
                if let Some(listener) = self.servers[s].hub.listeners.get_mut(&node) {
                    listener.last = last;
                }
            }
            None => self.end_subscription(s, node),
        }
    }

    /// A node listens to a server from now on: what it gets first, as `Hub::subscribe` has it.
    pub(crate) fn listen(&mut self, s: usize, node: Node, id: u64) {
        let server = &mut self.servers[s];
        server.hub.listeners.insert(node, Listener { id, last: 0 });
        let state = &server.state;
        let mut first = vec![Event::Boot(server.core.boot())];
        let last = state.last().and_then(|record| state.recent().get(&record.round));
        first.extend(last.cloned().map(Event::Ended));
        if let Some(header) = state.round().and_then(zipnet_committee::state::Round::signed_header) {
            first.push(Event::Open { header: Box::new(header), roster: RosterUpdate::Fetch });
        }
        for event in first {
            let event = Rc::new(self.tampered_event(s, event));
            self.push(s, node, event);
        }
    }

    /// The stream is gone; the listener finds out after a while.
    fn end_subscription(&mut self, s: usize, node: Node) {
        if let Some(listener) = self.servers[s].hub.listeners.remove(&node) {
            let after = 200 + self.below(3_000);
            self.after(after, move |w| w.unheard(node, listener.id));
        }
    }

    pub(crate) fn end_subscriptions(&mut self, s: usize) {
        let all: Vec<Node> = self.servers[s].hub.listeners.keys().copied().collect();
        for node in all {
            self.end_subscription(s, node);
        }
    }
}
