//! The world: virtual time, all nodes, and what happens next.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;
use zipnet_committee::state::State;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::DeploymentId;

use crate::aggregator::Aggregator;
use crate::client::Client;
use crate::clock::{Clock, Ms};
use crate::log::Log;
use crate::net::{Net, Node};
use crate::plan::{Mutation, Plan};
use crate::server::Server;
use crate::subscribe::Listening;
use crate::trace::Trace;
use crate::truth::{Truth, Violation};

/// The longest that the faults go on, in round periods: rounds may not open at all under them.
const ROUGH_PERIODS: u64 = 150;
/// Of the rounds of a plan, how many see faults, in percent.
const ROUGH_PERCENT: u64 = 70;

/// What happens to the world at some moment.
pub(crate) type Act = Box<dyn FnOnce(&mut World)>;

struct Coming {
    at: Ms,
    /// Of two at the same time the one that was planned first comes first.
    number: u64,
    act: Act,
}

impl PartialEq for Coming {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Coming {}

impl PartialOrd for Coming {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Coming {
    /// Reversed: the heap gives its greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// See the module.
pub(crate) struct World {
    pub(crate) plan: Plan,
    rng: ChaCha20Rng,
    pub(crate) now: Ms,
    coming: BinaryHeap<Coming>,
    number: u64,
    pub(crate) next_id: u64,
    pub(crate) trace: Rc<RefCell<Trace>>,
    pub(crate) net: Net,
    pub(crate) descriptor: Descriptor,
    pub(crate) deployment: DeploymentId,
    pub(crate) log: Log,
    /// The state after so many entries, for servers that share it.
    pub(crate) states: BTreeMap<usize, Rc<State>>,
    pub(crate) servers: Vec<Server>,
    pub(crate) aggregators: Vec<Aggregator>,
    pub(crate) clients: Vec<Client>,
    pub(crate) listening: BTreeMap<Node, Listening>,
    /// Messages whose callers got no answer.
    pub(crate) unanswered: Vec<usize>,
    pub(crate) truth: Truth,
    /// Faults go on.
    pub(crate) rough: bool,
    /// Callers bring messages.
    pub(crate) talking: bool,
}

/// What a run was like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) hash: u64,
    pub(crate) opened: u64,
    pub(crate) finals: u64,
    pub(crate) quiet: u64,
    pub(crate) published: u64,
    pub(crate) messages: u64,
    pub(crate) exposed: u64,
    pub(crate) unknown: u64,
    pub(crate) expired: u64,
    pub(crate) elections: u64,
    pub(crate) lost: u64,
    pub(crate) snapshots: u64,
    /// Rounds from the end of the faults until all took part again.
    pub(crate) healed: u64,
    pub(crate) events: u64,
    pub(crate) virtual_ms: Ms,
}

impl World {
    pub(crate) fn new(plan: Plan, trace: Rc<RefCell<Trace>>) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(plan.seed);
        let mut secret = || {
            let mut out = Zeroizing::new([0; 32]);
            rng.fill_bytes(&mut *out);
            out
        };
        let mut identities: Vec<_> =
            (0..plan.servers).map(|_| Arc::new(Identity::from_seed(secret()))).collect();
        identities.sort_by_key(|i| i.peer_id());
        let ids = identities.iter().map(|i| i.peer_id()).collect();
        let aggregators: Vec<_> =
            (0..plan.aggregators).map(|_| Arc::new(Identity::from_seed(secret()))).collect();
        let policy: Vec<_> = aggregators.iter().map(|a| a.peer_id()).collect();
        let descriptor =
            Descriptor::new("sim", plan.params.clone(), ids).expect("the plan's parameters hold");
        let mut w = Self {
            now: 0,
            rng,
            coming: BinaryHeap::new(),
            number: 0,
            next_id: 0,
            trace,
            net: Net::calm(),
            deployment: descriptor.id(),
            log: Log::new(plan.servers),
            states: BTreeMap::new(),
            servers: Vec::new(),
            aggregators: Vec::new(),
            clients: Vec::new(),
            listening: BTreeMap::new(),
            unanswered: Vec::new(),
            truth: Truth::new(&plan, descriptor.clone()),
            rough: true,
            talking: true,
            descriptor,
            plan,
        };
        for identity in identities {
            let (clock, seed) = (w.draw_clock(0), w.secret());
            let (state, first) = (Rc::new(State::new(w.descriptor.clone())), w.servers.is_empty());
            w.servers.push(Server::new(identity, policy.clone(), state, first, clock, &seed));
        }
        for identity in aggregators {
            let clock = w.draw_clock(0);
            w.aggregators.push(Aggregator::new(identity, w.descriptor.clone(), clock));
        }
        for _ in 0..w.plan.clients {
            // Unix time, more or less.
            let clock = w.draw_clock(1_700_000_000_000);
            let client = w.new_client(clock);
            w.clients.push(client);
        }
        w.take_roles();
        w
    }

    fn take_roles(&mut self) {
        if let Some((s, role)) = self.plan.hostile_server.clone() {
            self.servers[s].role = Some(role);
        }
        if let Some((a, role)) = self.plan.hostile_aggregator {
            self.aggregators[a].role = Some(role);
        }
        if let Some((c, role)) = self.plan.hostile_client {
            self.clients[c].role = Some(role);
        }
    }

    fn draw_clock(&mut self, offset: Ms) -> Clock {
        let (ahead, ppm) = (self.below(30_000), self.below(20_001).cast_signed() - 10_000);
        Clock::new(offset + ahead, ppm)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.rng.next_u64() % n.max(1)
    }

    /// True in so many of 1,000 cases.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < u64::from(per_mille)
    }

    /// 32 random bytes.
    pub(crate) fn secret(&mut self) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        self.rng.fill_bytes(&mut *out);
        out
    }

    pub(crate) fn at(&mut self, at: Ms, act: impl FnOnce(&mut World) + 'static) {
        self.number += 1;
        self.coming.push(Coming { at: at.max(self.now), number: self.number, act: Box::new(act) });
    }

    pub(crate) fn after(&mut self, ms: Ms, act: impl FnOnce(&mut World) + 'static) {
        self.at(self.now + ms, act);
    }

    pub(crate) fn say(&self, what: &str) {
        self.trace.borrow_mut().say(self.now, what);
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        let servers = (0..self.servers.len()).map(Node::Server);
        let aggregators = (0..self.aggregators.len()).map(Node::Aggregator);
        servers.chain(aggregators).chain((0..self.clients.len()).map(Node::Client)).collect()
    }

    pub(crate) fn is_up(&self, node: Node) -> bool {
        match node {
            Node::Server(s) => self.servers[s].up,
            Node::Aggregator(a) => self.aggregators[a].up,
            Node::Client(c) => self.clients[c].up,
        }
    }

    /// How often it was started.
    pub(crate) fn life(&self, node: Node) -> u64 {
        match node {
            Node::Server(s) => self.servers[s].life,
            Node::Aggregator(a) => self.aggregators[a].life,
            Node::Client(c) => self.clients[c].life,
        }
    }

    /// Starts everything.
    fn begin(&mut self) {
        self.start_log();
        for s in 0..self.servers.len() {
            self.tick_server(s, 0);
        }
        for a in 0..self.aggregators.len() {
            self.follow(Node::Aggregator(a), None);
        }
        for c in 0..self.clients.len() {
            self.run_client(c);
            self.run_caller(c);
        }
        self.ask_again();
        self.run_faults();
        if self.plan.mutation == Some(Mutation::TooFew) {
            self.after(20_000, |w| (2..w.clients.len()).for_each(|c| w.crash_client(c)));
        }
    }

    /// Lets the next thing happen.
    fn step(&mut self) -> Result<(), Violation> {
        let Some(next) = self.coming.pop() else { return Ok(()) };
        self.now = next.at;
        (next.act)(self);
        self.truth.result()
    }

    /// Goes on until `done`. False when it is not by `end`.
    pub(crate) fn until(&mut self, end: Ms, done: impl Fn(&World) -> bool) -> Result<bool, Violation> {
        while !done(self) {
            if self.now >= end {
                return Ok(false);
            }
            self.step()?;
        }
        Ok(true)
    }

    /// The whole run of the plan.
    pub(crate) fn run(&mut self) -> Result<Summary, Violation> {
        self.begin();
        let period = u64::from(self.plan.params.round_period_ms);
        let rough = self.plan.rounds * ROUGH_PERCENT / 100;
        self.until(ROUGH_PERIODS * period, |w| w.truth.opened() >= rough)?;
        self.heal();
        self.after_healing(period)?;
        let (rounds, end) = (self.plan.rounds, self.now + 2 * self.plan.rounds * period);
        self.until(end, |w| w.truth.opened() >= rounds)?;
        self.check_logs()?;
        let t = &self.truth;
        Ok(Summary {
            hash: self.trace.borrow().hash(),
            events: self.number,
            elections: self.log.elections,
            lost: self.log.lost,
            snapshots: self.log.installed,
            virtual_ms: self.now,
            ..t.summary()
        })
    }
}
