//! What goes wrong: faults from the seed until they end, and then the repair of all of them.

use crate::clock::Ms;
use crate::net::{Net, Node};
use crate::plan::Mutation;
use crate::server::LAG;
use crate::world::World;

/// The longest that something stays down or cut off, but for one in twenty that stay four times as long.
const LONGEST: Ms = 12_000;

impl World {
    /// Faults come from now on, until [`World::heal`].
    pub(crate) fn run_faults(&mut self) {
        if self.plan.fault_every == 0 {
            return;
        }
        let pause = 1 + self.below(2 * self.plan.fault_every);
        self.after(pause, |w| {
            if w.rough {
                w.fault();
                w.run_faults();
            }
        });
    }

    /// After a drawn while, if faults still go on.
    fn later(&mut self, act: impl FnOnce(&mut World) + 'static) {
        let longest = if self.chance(50) { 4 * LONGEST } else { LONGEST };
        let pause = 100 + self.below(longest);
        self.after(pause, move |w| {
            if w.rough {
                act(w);
            }
        });
    }

    fn any(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    fn fault(&mut self) {
        let (s, a, c) =
            (self.any(self.servers.len()), self.any(self.aggregators.len()), self.any(self.clients.len()));
        match self.below(26) {
            0..=2 => {
                self.crash_server(s);
                self.later(move |w| w.start_server(s));
            }
            3..=5 => {
                self.crash_client(c);
                self.later(move |w| w.start_client(c));
            }
            6 => {
                self.crash_aggregator(a);
                self.later(move |w| w.start_aggregator(a));
            }
            7 => self.power_cut(),
            8 => self.split(),
            9 => self.isolate(Node::Server(s)),
            10 => self.isolate(Node::Client(c)),
            11 => self.one_way(),
            12 => {
                self.say("loss and jitter");
                self.net.loss = self.below(100) as u32;
                self.net.twice = self.below(100) as u32;
                self.net.jitter = self.below(300);
                self.net.unordered = self.chance(200);
                self.later(|w| w.net = Net { blocked: std::mem::take(&mut w.net.blocked), ..Net::calm() });
            }
            13 => {
                let slow = self.below(800);
                let node = if self.chance(500) { Node::Server(s) } else { Node::Client(c) };
                self.say(&format!("{node} is slow: {slow} ms"));
                self.net.slow.insert(node, slow);
                self.later(move |w| w.net.slow.retain(|slow, _| *slow != node));
            }
            14 => {
                let lag = self.below(3_000);
                self.say(&format!("s{s} applies {lag} ms late"));
                self.servers[s].lag = lag;
                self.later(move |w| w.servers[s].lag = LAG);
            }
            15 => {
                let disk = 5 + self.below(900);
                self.say(&format!("slow disks: {disk} ms"));
                self.servers[s].disk = disk;
                self.clients[c].disk = disk;
                self.later(move |w| {
                    w.servers[s].disk = 2;
                    w.clients[c].disk = 2;
                });
            }
            16 => {
                self.say(&format!("c{c}: disk full"));
                self.clients[c].full = true;
                self.later(move |w| w.clients[c].full = false);
            }
            17 => {
                let jump = self.below(30_000);
                self.say(&format!("c{c}: the clock is set {jump} ms forward"));
                self.clients[c].clock.jump(jump);
            }
            18 => self.stand(s, false),
            19 => {
                let linger = self.chance(500);
                self.say(&format!("c{c} stops, linger {linger}"));
                self.feed(c, zipnetd::core::Input::Stop { linger });
                self.later(move |w| {
                    w.crash_client(c);
                    w.start_client(c);
                });
            }
            20 => {
                let down = self.clients[c].up;
                self.feed(c, zipnetd::core::Input::SetPaused(down));
                self.later(move |w| w.feed(c, zipnetd::core::Input::SetPaused(false)));
            }
            21 => {
                // Between two writes, or between a write and what it is for.
                let after = self.below(40);
                self.after(after, move |w| {
                    if w.rough {
                        w.crash_server(s);
                        w.later(move |w| w.start_server(s));
                    }
                });
            }
            22 => self.gather_behind_one_server(s),
            23 => self.leave_server(s),
            24 => self.leave_aggregator(a),
            _ => {}
        }
    }

    fn power_cut(&mut self) {
        self.say("power cut");
        for node in self.nodes() {
            match node {
                Node::Server(s) => self.crash_server(s),
                Node::Aggregator(a) => self.crash_aggregator(a),
                Node::Client(c) => self.crash_client(c),
            }
            self.later(move |w| w.start(node));
        }
    }

    pub(crate) fn start(&mut self, node: Node) {
        match node {
            Node::Server(s) => self.start_server(s),
            Node::Aggregator(a) => self.start_aggregator(a),
            Node::Client(c) => self.start_client(c),
        }
    }

    fn block(&mut self, pairs: Vec<(Node, Node)>) {
        self.net.blocked.extend(pairs.iter().copied());
        self.later(move |w| {
            for pair in pairs {
                w.net.blocked.remove(&pair);
            }
        });
    }

    /// All nodes on two sides.
    fn split(&mut self) {
        let (left, right): (Vec<Node>, Vec<Node>) = self.nodes().into_iter().partition(|_| self.rng_bit());
        self.say(&left.iter().fold("split: ".to_owned(), |text, node| text + &format!("{node} ")));
        let pairs = left.iter().flat_map(|l| right.iter().flat_map(move |r| [(*l, *r), (*r, *l)]));
        self.block(pairs.collect());
    }

    fn rng_bit(&mut self) -> bool {
        self.chance(500)
    }

    fn isolate(&mut self, node: Node) {
        self.say(&format!("{node} is cut off"));
        let others = self.nodes().into_iter().filter(|other| *other != node);
        let pairs = others.flat_map(|other| [(node, other), (other, node)]).collect();
        self.block(pairs);
    }

    /// Some links carry one direction only.
    fn one_way(&mut self) {
        let nodes = self.nodes();
        let pairs: Vec<(Node, Node)> =
            (0..4).map(|_| (nodes[self.any(nodes.len())], nodes[self.any(nodes.len())])).collect();
        let pairs: Vec<_> = pairs.into_iter().filter(|(from, to)| from != to).collect();
        self.say(&format!("one way: {pairs:?}"));
        self.block(pairs);
    }

    /// Clients see only one server.
    fn gather_behind_one_server(&mut self, s: usize) {
        self.say(&format!("clients see only s{s}"));
        let others: Vec<usize> = (0..self.servers.len()).filter(|o| *o != s).collect();
        let clients = 0..self.clients.len();
        let pairs = clients.flat_map(|c| {
            others
                .iter()
                .flat_map(move |o| [(Node::Client(c), Node::Server(*o)), (Node::Server(*o), Node::Client(c))])
        });
        self.block(pairs.collect());
    }

    /// Everything works again from now on, and everybody is honest.
    pub(crate) fn heal(&mut self) {
        self.say("all faults end");
        self.rough = false;
        self.net = Net::calm();
        for server in &mut self.servers {
            (server.role, server.lag, server.disk) = (None, LAG, 2);
        }
        for aggregator in &mut self.aggregators {
            aggregator.role = None;
        }
        for client in &mut self.clients {
            (client.role, client.disk, client.full) = (None, 2, false);
        }
        for c in 0..self.clients.len() {
            self.feed(c, zipnetd::core::Input::SetPaused(false));
            if self.clients[c].up
                && self.clients[c].core.status(0).phase == zipnetd::core::status::Phase::Stopping
            {
                self.crash_client(c);
            }
        }
        if self.plan.mutation == Some(Mutation::TooFew) {
            return;
        }
        for node in self.nodes() {
            self.start(node);
        }
    }
}
