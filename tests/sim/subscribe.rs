//! Listening to one server at a time, as clients and aggregators do.

use std::rc::Rc;

use zipnet_dcnet::wire::Event;

use crate::clock::Ms;
use crate::net::Node;
use crate::world::World;

/// What opening a stream may take.
const OPEN: Ms = 5_000;
/// A server that says nothing for so many round deadlines is left for another one.
const SILENT_DEADLINES: u64 = 3;
/// How often that is looked at.
const CHECK: Ms = 1_000;

/// Whom a node listens to.
pub(crate) struct Listening {
    server: usize,
    id: u64,
    heard: Ms,
}

impl World {
    /// Listens to some server from now on, another one than `not` if there is.
    pub(crate) fn follow(&mut self, node: Node, not: Option<usize>) {
        let s = self.pick_server(node, not);
        self.next_id += 1;
        let (id, heard) = (self.next_id, self.now);
        self.listening.insert(node, Listening { server: s, id, heard });
        let (pause, life) = (100 + self.below(400), self.life(node));
        self.after(pause, move |w| {
            if !w.is_up(node) || w.life(node) != life || !w.listens(node, id) {
                return;
            }
            w.call(
                node,
                Node::Server(s),
                OPEN,
                move |w, answer| {
                    w.listen(s, node, id);
                    answer(w, ());
                },
                move |w, opened: Option<()>| {
                    if opened.is_none() {
                        w.unheard(node, id);
                    }
                },
            );
        });
        self.after(CHECK, move |w| w.check_silence(node, id));
    }

    /// Some server: any of those that are linked, rather another one than `not`.
    pub(crate) fn pick_server(&mut self, node: Node, not: Option<usize>) -> usize {
        let all: Vec<usize> = (0..self.servers.len()).collect();
        let linked = |s: &usize| self.servers[*s].up && self.net.linked(node, Node::Server(*s));
        let up: Vec<usize> = all.iter().copied().filter(linked).collect();
        let other: Vec<usize> = up.iter().copied().filter(|s| Some(*s) != not).collect();
        let from = [other, up, all].into_iter().find(|list| !list.is_empty()).expect("there are servers");
        from[self.below(from.len() as u64) as usize]
    }

    fn listens(&self, node: Node, id: u64) -> bool {
        self.listening.get(&node).is_some_and(|l| l.id == id)
    }

    /// The stream ended: on to the next server.
    pub(crate) fn unheard(&mut self, node: Node, id: u64) {
        if self.is_up(node) && self.listens(node, id) {
            let not = self.listening[&node].server;
            self.follow(node, Some(not));
        }
    }

    fn check_silence(&mut self, node: Node, id: u64) {
        let limit = SILENT_DEADLINES * u64::from(self.plan.params.round_deadline_ms);
        let Some(listening) = self.listening.get(&node).filter(|l| l.id == id) else { return };
        if self.now > listening.heard + limit {
            self.unheard(node, id);
        } else {
            self.after(CHECK, move |w| w.check_silence(node, id));
        }
    }

    /// A frame came.
    pub(crate) fn heard(&mut self, node: Node, s: usize, id: u64, event: &Rc<Event>) {
        let now = self.now;
        let Some(listening) = self.listening.get_mut(&node).filter(|l| l.id == id) else { return };
        listening.heard = now;
        match node {
            Node::Client(c) => self.client_heard(c, s, event),
            Node::Aggregator(a) => self.aggregator_heard(a, s, event),
            Node::Server(_) => {}
        }
    }
}
