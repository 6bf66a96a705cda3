//! Stopping in good order: a server that gets out of headers first, an aggregator that says that it goes.

use crate::clock::Ms;
use crate::net::Node;
use crate::world::World;

/// How often a server that leaves looks whether it may go.
const POLL: Ms = 20;
/// What it gets for that.
const PATIENCE: Ms = 5_000;
/// What saying something to a server gets, and the pause before it is said again.
const SAY: Ms = 5_000;
/// What an aggregator gets that leaves.
const LEAVE: Ms = 3_000;
/// The longest that it stays away.
const AWAY: u64 = 8_000;

impl World {
    /// As `committee/src/server/leave.rs`; the server is back after a while.
    pub(crate) fn leave_server(&mut self, s: usize) {
        if !self.servers[s].up {
            return;
        }
        self.say(&format!("s{s} leaves"));
        self.servers[s].core.leave();
        let (until, life) = (self.now + PATIENCE, self.servers[s].life);
        self.leaving(s, life, until);
    }

    fn leaving(&mut self, s: usize, life: u64, until: Ms) {
        let server = &self.servers[s];
        if !server.up || server.life != life {
            return;
        }
        if self.now < until && !server.core.may_go(&server.state) {
            return self.after(POLL, move |w| w.leaving(s, life, until));
        }
        if self.log.leads(s) {
            self.step_back(s);
        }
        self.crash_server(s);
        let away = self.below(AWAY);
        self.after(away, move |w| w.start_server(s));
    }

    /// As `aggregator/src/presence.rs`; it is back after a while.
    pub(crate) fn leave_aggregator(&mut self, a: usize) {
        if !self.aggregators[a].up {
            return;
        }
        self.say(&format!("a{a} leaves"));
        for s in 0..self.servers.len() {
            self.tell_presence(a, s, false);
        }
        let life = self.aggregators[a].life;
        let away = LEAVE + self.below(AWAY);
        self.after(LEAVE, move |w| {
            if w.aggregators[a].life == life {
                w.crash_aggregator(a);
            }
        });
        self.after(away, move |w| w.start_aggregator(a));
    }

    /// Says that it is here until every server has heard it.
    pub(crate) fn say_here(&mut self, a: usize) {
        for s in 0..self.servers.len() {
            self.tell_presence(a, s, true);
        }
    }

    fn tell_presence(&mut self, a: usize, s: usize, here: bool) {
        let (id, life) = (self.aggregators[a].id(), self.aggregators[a].life);
        let heard = move |w: &mut World| {
            // A call of a process that has ended is not heard any more.
            if w.aggregators[a].life != life {
                return;
            }
            let server = &mut w.servers[s];
            if here {
                server.core.aggregator_is_here(&id);
            } else {
                server.core.aggregator_leaves(server.clock.at(w.now), id);
            }
            w.wake(s);
        };
        self.call(
            Node::Aggregator(a),
            Node::Server(s),
            SAY,
            move |w, answer| {
                heard(w);
                answer(w, ());
            },
            move |w, said: Option<()>| {
                if here && said.is_none() {
                    w.after(SAY, move |w| {
                        if w.aggregators[a].life == life && w.aggregators[a].up {
                            w.tell_presence(a, s, true);
                        }
                    });
                }
            },
        );
    }
}
