//! The network between nodes: delay, loss, duplication, reordering, partitions in both directions or in one.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use crate::clock::Ms;
use crate::world::World;

/// Who talks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Node {
    Server(usize),
    Aggregator(usize),
    Client(usize),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(n) => write!(f, "s{n}"),
            Self::Aggregator(n) => write!(f, "a{n}"),
            Self::Client(n) => write!(f, "c{n}"),
        }
    }
}

/// How the network does.
pub(crate) struct Net {
    /// From the first to the second nothing arrives.
    pub(crate) blocked: BTreeSet<(Node, Node)>,
    /// Of 1,000 messages so many are lost.
    pub(crate) loss: u32,
    /// Of 1,000 messages so many arrive twice.
    pub(crate) twice: u32,
    /// Every message takes this long, and up to `jitter` longer: so later ones overtake.
    pub(crate) delay: Ms,
    pub(crate) jitter: Ms,
    /// Streams do not keep the order of their frames either.
    pub(crate) unordered: bool,
    /// What all messages of a node take in addition.
    pub(crate) slow: BTreeMap<Node, Ms>,
}

impl Net {
    /// As it should be.
    pub(crate) fn calm() -> Self {
        Self {
            blocked: BTreeSet::new(),
            loss: 0,
            twice: 0,
            delay: 2,
            jitter: 10,
            unordered: false,
            slow: BTreeMap::new(),
        }
    }

    /// Whether both hear each other.
    pub(crate) fn linked(&self, a: Node, b: Node) -> bool {
        a == b || !(self.blocked.contains(&(a, b)) || self.blocked.contains(&(b, a)))
    }
}

/// Gives the answer to a call.
pub(crate) type Answer<R> = Box<dyn FnOnce(&mut World, R)>;

type Done<R> = Box<dyn FnOnce(&mut World, Option<R>)>;

impl World {
    /// When a message that leaves now arrives; `None` when it does not.
    fn way(&mut self, from: Node, to: Node) -> Option<Ms> {
        let lost = self.chance(self.net.loss);
        let jitter = self.below(self.net.jitter + 1);
        let slow = |node| self.net.slow.get(&node).copied().unwrap_or(0);
        let at = self.now + self.net.delay + jitter + slow(from) + slow(to);
        (!lost && !self.net.blocked.contains(&(from, to))).then_some(at)
    }

    /// Sends a message. It is lost too when the receiver is down, or starts anew in between.
    pub(crate) fn send(&mut self, from: Node, to: Node, deliver: impl Fn(&mut World) + 'static) {
        let copies = 1 + u32::from(self.chance(self.net.twice));
        let (life, deliver) = (self.life(to), Rc::new(deliver));
        for _ in 0..copies {
            let Some(at) = self.way(from, to) else { continue };
            let deliver = deliver.clone();
            self.at(at, move |w| {
                if w.is_up(to) && w.life(to) == life {
                    deliver(w);
                }
            });
        }
    }

    /// A call: `serve` runs at `to` for every copy of the request that arrives, `done` once at `from`, with `None` when
    /// no answer came in time.
    pub(crate) fn call<R: Clone + 'static>(
        &mut self,
        from: Node,
        to: Node,
        timeout: Ms,
        serve: impl Fn(&mut World, Answer<R>) + 'static,
        done: impl FnOnce(&mut World, Option<R>) + 'static,
    ) {
        let life = self.life(from);
        let waiting: RefCell<Option<Done<R>>> = RefCell::new(Some(Box::new(done)));
        let finish = Rc::new(move |w: &mut World, answer: Option<R>| {
            let done = waiting.borrow_mut().take();
            if let Some(done) = done.filter(|_| w.is_up(from) && w.life(from) == life) {
                done(w, answer);
            }
        });
        let back = finish.clone();
        self.send(from, to, move |w| {
            let back = back.clone();
            let answer = move |w: &mut World, answer: R| {
                w.send(to, from, move |w| back(w, Some(answer.clone())));
            };
            serve(w, Box::new(answer));
        });
        self.after(timeout, move |w| finish(w, None));
    }

    /// One frame of a stream: in order, and late rather than lost. `last` is when the frame before arrives. `None`: the
    /// stream is broken.
    pub(crate) fn frame(
        &mut self,
        from: Node,
        to: Node,
        last: Ms,
        deliver: impl Fn(&mut World) + 'static,
    ) -> Option<Ms> {
        if self.net.blocked.contains(&(from, to)) || !self.is_up(to) {
            return None;
        }
        let copies = 1 + u32::from(self.chance(self.net.twice));
        let (life, deliver, mut end) = (self.life(to), Rc::new(deliver), last);
        for _ in 0..copies {
            let again = 200 + self.below(400);
            let at = self.way(from, to).unwrap_or(self.now + self.net.delay + again);
            let at = if self.net.unordered { at } else { at.max(last) };
            end = end.max(at);
            let deliver = deliver.clone();
            self.at(at, move |w| {
                if w.is_up(to) && w.life(to) == life {
                    deliver(w);
                }
            });
        }
        Some(end)
    }
}
