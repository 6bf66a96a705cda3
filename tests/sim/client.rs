//! A client: the real core of zipnetd on the store's twin, with what `zipnetd/src/client` does around them.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use zeroize::Zeroizing;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{ClientId, PeerId};
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::seal::Envelope;
use zipnet_dcnet::wire::{Event, RecordsCall, RecordsReply, RegisterCall, RegisterReply};
use zipnet_store::{Batch, MemStore, Pending, Store};
use zipnetd::core::input::{RegisterFailure, StoreFailure};
use zipnetd::core::output::{Op, RECEIPTS, TREE};
use zipnetd::core::{Core, CoreConfig, Input, Loaded, Output};

use crate::clock::{Clock, Ms};
use crate::hostile::ClientRole;
use crate::net::Node;
use crate::plan::Mutation;
use crate::world::World;

/// How often links are looked at.
const LINK_POLL: Ms = 250;
const REGISTER_TIMEOUT: Ms = 10_000;
const ROSTER_TIMEOUT: Ms = 20_000;
const RECORDS_TIMEOUT: Ms = 10_000;
/// Between two tries to fetch records when nobody answered.
const RECORDS_PAUSE: Ms = 500;
/// What an aggregator gets beyond the end of its fold to say that it took an envelope.
const ENVELOPE_GRACE: Ms = 1_000;
/// Longest sleep of the core.
const MAX_SLEEP: Ms = 60_000;

/// See the module.
pub(crate) struct Client {
    pub(crate) identity: Arc<Identity>,
    pub(crate) up: bool,
    pub(crate) life: u64,
    pub(crate) clock: Clock,
    pub(crate) core: Core,
    store: MemStore,
    /// Writes that are not synced.
    writing: Vec<(u64, Pending)>,
    syncing: bool,
    /// What a sync takes.
    pub(crate) disk: Ms,
    /// The disk takes nothing.
    pub(crate) full: bool,
    links: BTreeMap<Node, bool>,
    /// When its core is woken next.
    waking: Option<Ms>,
    pub(crate) next_reply: u64,
    /// Which message a reply is about.
    pub(crate) asked: BTreeMap<u64, usize>,
    seed: Zeroizing<[u8; 32]>,
    pub(crate) role: Option<ClientRole>,
}

impl Client {
    pub(crate) fn id(&self) -> ClientId {
        self.identity.client_bundle().client_id()
    }
}

/// How a client of this world is configured.
fn config(w: &World, identity: &Arc<Identity>) -> CoreConfig {
    CoreConfig {
        identity: identity.clone(),
        descriptor: w.descriptor.clone(),
        pinned_servers: Vec::new(),
        cadence: 1,
        standing: None,
        daemon_uid: 0,
    }
}

impl World {
    pub(crate) fn new_client(&mut self, clock: Clock) -> Client {
        let identity = Arc::new(Identity::from_seed(self.secret()));
        let seed = self.secret();
        let core = Core::new(config(self, &identity), Loaded::default(), &seed, clock.at(self.now));
        Client {
            identity,
            up: true,
            life: 0,
            clock,
            core,
            store: MemStore::new(),
            writing: Vec::new(),
            syncing: false,
            disk: 2,
            full: false,
            links: BTreeMap::new(),
            waking: None,
            next_reply: 0,
            asked: BTreeMap::new(),
            seed,
            role: None,
        }
    }

    /// What a client does from its start on.
    pub(crate) fn run_client(&mut self, c: usize) {
        self.follow(Node::Client(c), None);
        self.feed(c, Input::Tick);
        self.poll_links(c, self.clients[c].life);
    }

    fn poll_links(&mut self, c: usize, life: u64) {
        if self.clients[c].life != life || !self.clients[c].up {
            return;
        }
        let servers = (0..self.servers.len()).map(|s| (Node::Server(s), self.servers[s].id()));
        let aggregators =
            (0..self.aggregators.len()).map(|a| (Node::Aggregator(a), self.aggregators[a].id()));
        for (node, peer) in servers.chain(aggregators).collect::<Vec<_>>() {
            let up = self.is_up(node) && self.net.linked(Node::Client(c), node);
            if self.clients[c].links.insert(node, up).unwrap_or(false) != up {
                self.feed(c, Input::Link { peer, up });
            }
        }
        self.after(LINK_POLL, move |w| w.poll_links(c, life));
    }

    /// One step of a client's core, and all that comes out of it.
    pub(crate) fn feed(&mut self, c: usize, input: Input) {
        let client = &mut self.clients[c];
        if !client.up {
            return;
        }
        let now = client.clock.at(self.now);
        let outputs = client.core.step(now, input);
        self.truth.client_stepped(c, &client.core);
        for output in outputs {
            self.execute(c, now, output);
        }
        let client = &mut self.clients[c];
        if !client.up {
            return;
        }
        let wake = client.core.next_wake().min(now + MAX_SLEEP);
        let at = client.clock.when(wake).max(self.now + 1);
        if client.waking.is_none_or(|waking| at < waking) {
            client.waking = Some(at);
            let life = client.life;
            self.at(at, move |w| {
                if w.clients[c].life == life && w.clients[c].waking == Some(at) {
                    w.clients[c].waking = None;
                    w.feed(c, Input::Tick);
                }
            });
        }
    }

    fn execute(&mut self, c: usize, now: Ms, output: Output) {
        match output {
            Output::Write { ticket, ops } => self.write(c, ticket, ops),
            Output::Register { server, call } => self.register(c, server, call),
            Output::Attest { .. } => unreachable!("invariant: simulated deployments admit anybody"),
            Output::FetchRoster { from, digest } => self.fetch_roster(c, from, digest),
            Output::FetchRecords { from_round, limit, not } => self.fetch_records(c, from_round, limit, not),
            Output::SendEnvelope { aggregator, envelope, not_before, not_after } => {
                self.sealed(c, now, aggregator, envelope, not_before, not_after);
            }
            Output::Reply { reply, answer } => self.replied(c, reply, answer),
            Output::Notice(notice) => self.say(&format!("c{c} {notice:?}")),
            Output::Stopped => {
                // Everything it had to write is written, so this is a crash that loses nothing.
                self.say(&format!("c{c} stopped"));
                self.crash_client(c);
            }
        }
    }

    fn write(&mut self, c: usize, ticket: u64, ops: Vec<Op>) {
        let client = &mut self.clients[c];
        let (life, disk) = (client.life, client.disk);
        if client.full {
            return self.after(disk, move |w| {
                if w.clients[c].life == life {
                    w.feed(c, Input::Stored { ticket, result: Err(StoreFailure::Full) });
                }
            });
        }
        let mut batch = Batch::new();
        for op in ops {
            match op {
                Op::Put { key, value } => batch.put(TREE, key, value),
                Op::Delete { key } => batch.delete(TREE, key),
                Op::PutReceipt { key, value } => batch.put(RECEIPTS, key, value),
                Op::DeleteReceipt { key } => batch.delete(RECEIPTS, key),
            };
        }
        client.store.hold();
        client.writing.push((ticket, client.store.commit(batch)));
        let forgets = self.plan.mutation == Some(Mutation::ClientForgetsSync);
        if !std::mem::replace(&mut self.clients[c].syncing, true) {
            let disk = if forgets { 20_000 } else { disk };
            self.after(disk, move |w| w.synced(c, life));
        }
        if forgets {
            self.after(1, move |w| {
                if w.clients[c].life == life {
                    w.feed(c, Input::Stored { ticket, result: Ok(()) });
                }
            });
        }
    }

    fn synced(&mut self, c: usize, life: u64) {
        let client = &mut self.clients[c];
        if client.life != life || !client.up {
            return;
        }
        client.store.release();
        client.syncing = false;
        for (ticket, pending) in std::mem::take(&mut client.writing) {
            let result = pending.now_or_never().expect("what was released is answered");
            let result = result.map_err(|_| StoreFailure::Failed);
            self.feed(c, Input::Stored { ticket, result });
        }
    }

    fn server_of(&self, peer: &PeerId) -> Option<usize> {
        self.descriptor.servers.binary_search(peer).ok()
    }

    fn register(&mut self, c: usize, server: PeerId, call: RegisterCall) {
        let Some(s) = self.server_of(&server) else { return };
        let bundle = self.clients[c].identity.client_bundle();
        self.call(
            Node::Client(c),
            Node::Server(s),
            REGISTER_TIMEOUT,
            move |w, answer| {
                let reply = w.servers[s].register(w.now, &bundle, &call);
                w.wake(s);
                answer(w, reply);
            },
            move |w, reply: Option<Result<RegisterReply, RegisterFailure>>| {
                let result = reply.unwrap_or(Err(RegisterFailure::Unreachable));
                w.feed(c, Input::Register { server, result });
            },
        );
    }

    fn fetch_roster(&mut self, c: usize, from: PeerId, digest: [u8; 32]) {
        let Some(s) = self.server_of(&from) else { return };
        self.call(
            Node::Client(c),
            Node::Server(s),
            ROSTER_TIMEOUT,
            move |w, answer| {
                let roster = w.servers[s].hub.roster(&digest);
                answer(w, roster);
            },
            move |w, roster: Option<Option<Roster>>| {
                let roster = roster.flatten().map(Box::new);
                w.feed(c, Input::Roster { digest, roster });
            },
        );
    }

    fn fetch_records(&mut self, c: usize, from_round: u64, limit: u32, not: Option<PeerId>) {
        let not = not.and_then(|peer| self.server_of(&peer));
        let s = self.pick_server(Node::Client(c), not);
        let server = self.servers[s].id();
        let call = RecordsCall { from: from_round, limit };
        self.call(
            Node::Client(c),
            Node::Server(s),
            RECORDS_TIMEOUT,
            move |w, answer| {
                let reply = w.servers[s].read(&call);
                let reply = w.tampered_records(s, reply);
                answer(w, reply);
            },
            move |w, reply: Option<RecordsReply>| {
                if reply.is_some() {
                    return w.feed(c, Input::Records { from_round, server, reply });
                }
                let life = w.clients[c].life;
                w.after(RECORDS_PAUSE, move |w| {
                    if w.clients[c].life == life {
                        w.feed(c, Input::Records { from_round, server, reply: None });
                    }
                });
            },
        );
    }

    fn sealed(
        &mut self,
        c: usize,
        now: Ms,
        aggregator: PeerId,
        envelope: Envelope,
        not_before: Ms,
        not_after: Ms,
    ) {
        let (id, clock, life) = (self.clients[c].id(), self.clients[c].clock, self.clients[c].life);
        self.truth.sealed(c, &id, &envelope);
        if self.plan.mutation == Some(Mutation::SameSeedTwice) && self.chance(100) {
            self.after(1, move |w| {
                w.crash_client(c);
                w.start_client(c);
            });
        }
        let moment = clock.when(not_before.max(now)).max(self.now);
        let end = clock.when(not_after).max(moment);
        self.at(moment, move |w| {
            if w.clients[c].life != life || !w.clients[c].up {
                return;
            }
            let round = envelope.round;
            let first = w.aggregators.iter().position(|a| a.id() == aggregator);
            let Some(first) = first.filter(|_| w.now < end) else {
                return w.feed(c, Input::Envelope { round, taken: false });
            };
            let left = end - w.now + ENVELOPE_GRACE;
            for (n, (a, envelope)) in w.tampered_envelopes(c, first, envelope).into_iter().enumerate() {
                w.call(
                    Node::Client(c),
                    Node::Aggregator(a),
                    left,
                    move |w, answer| w.envelope(a, id, envelope.clone(), answer),
                    move |w, taken: Option<bool>| {
                        if n == 0 {
                            w.feed(c, Input::Envelope { round, taken: taken == Some(true) });
                        }
                    },
                );
            }
        });
    }

    /// A server said something.
    pub(crate) fn client_heard(&mut self, c: usize, s: usize, event: &Event) {
        let from = self.servers[s].id();
        let ended = matches!(event, Event::Ended(_));
        self.feed(c, Input::Event { from, event: event.clone() });
        if ended && self.clients[c].up {
            let last = self.clients[c].core.status(0).last_verified;
            self.truth.verified(c, last);
        }
    }

    /// The process dies. What was not synced is gone, or not, as with power.
    pub(crate) fn crash_client(&mut self, c: usize) {
        if !self.clients[c].up {
            return;
        }
        self.say(&format!("c{c} dies"));
        let forgets = self.plan.mutation == Some(Mutation::ClientForgetsSync);
        let kept = self.chance(300) && !forgets;
        let client = &mut self.clients[c];
        client.up = false;
        if kept {
            client.store.release();
        }
        client.writing.clear();
        client.store = client.store.crash();
        self.listening.remove(&Node::Client(c));
        for (_, message) in std::mem::take(&mut self.clients[c].asked) {
            self.unanswered.push(message);
        }
    }

    /// It starts again on what is on its disk.
    pub(crate) fn start_client(&mut self, c: usize) {
        if self.clients[c].up {
            return;
        }
        let fresh = Identity::from_seed(self.secret());
        let seed = self.secret();
        let twice = self.plan.mutation == Some(Mutation::SameSeedTwice);
        if !self.plan.sealed_storage && !twice {
            self.clients[c].identity = Arc::new(fresh);
        }
        let seed = if twice { self.clients[c].seed.clone() } else { seed };
        let config = config(self, &self.clients[c].identity);
        let client = &mut self.clients[c];
        let pairs = client.store.scan(TREE, &[], usize::MAX).expect("the twin reads");
        let receipts = client.store.scan(RECEIPTS, &[], usize::MAX).expect("the twin reads");
        let loaded = Loaded::from_pairs(pairs)
            .and_then(|l| l.with_receipts(receipts.into_iter().map(|(key, value)| (key, value.len()))))
            .expect("what was written is read");
        client.core = Core::new(config, loaded, &seed, client.clock.at(self.now));
        client.life += 1;
        client.up = true;
        (client.syncing, client.waking) = (false, None);
        client.links.clear();
        client.next_reply += 1_000;
        let id = client.id().short();
        self.truth.client_started(c, &self.clients[c].core);
        self.say(&format!("c{c} starts as {id}"));
        self.run_client(c);
    }
}
