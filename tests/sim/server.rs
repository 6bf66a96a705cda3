//! A committee server: the real core and state, with what `committee/src/server` does around them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use zeroize::Zeroizing;
use zipnet_committee::core::{Action, Core, Marks, Open, RegisterRefused};
use zipnet_committee::entry::Entry;
use zipnet_committee::state::State;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{Bundle, PeerId};
use zipnet_dcnet::register::RegisterError;
use zipnet_dcnet::signed::encode;
use zipnet_dcnet::wire::{Ended, RecordsCall, RecordsReply, RegisterCall, RegisterReply};
use zipnet_store::{Batch, MemStore, Store};
use zipnetd::core::input::RegisterFailure;

use crate::clock::{Clock, Ms};
use crate::hostile::ServerRole;
use crate::hub::Hub;
use crate::log::name;
use crate::net::Node;
use crate::plan::Mutation;
use crate::world::World;

/// The core looks at the clock this often, as `committee/src/server/actor.rs` has it.
const TICK: Ms = 50;
/// Between hearing of a commit and applying it, when all is well: what comes meanwhile is applied together.
pub(crate) const LAG: Ms = 10;
/// States that are kept for servers that come later.
const STATES: usize = 256;
/// Where the marks are.
const MARKS: (&str, &[u8]) = ("marks", b"marks");

/// See the module.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; any four of them can be true")]
pub(crate) struct Server {
    pub(crate) identity: Arc<Identity>,
    pub(crate) policy: Vec<PeerId>,
    pub(crate) up: bool,
    pub(crate) life: u64,
    pub(crate) clock: Clock,
    pub(crate) core: Core,
    /// Shared with servers that have applied the same entries; see [`World::apply`].
    pub(crate) state: Rc<State>,
    /// It applies every entry by itself.
    own: bool,
    /// Entries of the log that it has applied.
    pub(crate) applied: usize,
    store: MemStore,
    /// The marks that a crash leaves.
    pub(crate) durable: Marks,
    /// What a sync takes here.
    pub(crate) disk: Ms,
    /// It waits for its disk, and goes on with these.
    busy: bool,
    woken: bool,
    /// Between hearing of a commit and applying it.
    pub(crate) lag: Ms,
    fresh: BTreeMap<u64, Ended>,
    pub(crate) hub: Hub,
    pub(crate) archive: BTreeMap<u64, Ended>,
    /// The archive has no gap from here on.
    pub(crate) earliest: u64,
    pub(crate) role: Option<ServerRole>,
}

impl Server {
    pub(crate) fn new(
        identity: Arc<Identity>,
        policy: Vec<PeerId>,
        state: Rc<State>,
        own: bool,
        clock: Clock,
        seed: &Zeroizing<[u8; 32]>,
    ) -> Self {
        Self {
            core: Core::new(identity.clone(), policy.clone(), Marks::default(), seed),
            identity,
            policy,
            up: true,
            life: 0,
            clock,
            state,
            own,
            applied: 0,
            store: MemStore::new(),
            durable: Marks::default(),
            disk: 2,
            busy: false,
            woken: false,
            lag: LAG,
            fresh: BTreeMap::new(),
            hub: Hub::default(),
            archive: BTreeMap::new(),
            earliest: 0,
            role: None,
        }
    }

    pub(crate) fn id(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// As `Archive::keep`.
    fn keep(&mut self, fresh: &BTreeMap<u64, Ended>, retain: u64) {
        for (round, ended) in fresh {
            let last = self.archive.last_key_value().map(|(last, _)| *last);
            if last.is_none_or(|last| *round > last + 1) {
                self.archive.clear();
                self.earliest = *round;
            }
            self.earliest = self.earliest.min(*round);
            self.archive.insert(*round, ended.clone());
        }
        if let Some((last, _)) = self.archive.last_key_value() {
            self.earliest = self.earliest.max((last + 1).saturating_sub(retain));
            self.archive = self.archive.split_off(&self.earliest);
        }
    }

    /// As `Archive::read`.
    pub(crate) fn read(&self, call: &RecordsCall) -> RecordsReply {
        let Some((latest, _)) = self.archive.last_key_value() else {
            return RecordsReply { earliest: 0, latest: 0, items: Vec::new() };
        };
        let from = call.from.max(self.earliest);
        let items = self.archive.range(from..).take(call.limit as usize).map(|(_, e)| e.clone());
        RecordsReply { earliest: self.earliest, latest: *latest, items: items.collect() }
    }

    /// As `Service::register` and what the client makes of its refusals.
    pub(crate) fn register(
        &mut self,
        world: Ms,
        from: &Bundle,
        call: &RegisterCall,
    ) -> Result<RegisterReply, RegisterFailure> {
        let request = match call {
            RegisterCall::Boot(session) => {
                let known = self.core.shares(&self.state, &from.client_id(), session);
                return Ok(RegisterReply::Boot(self.core.boot(), self.core.bundle(), known));
            }
            RegisterCall::Register(request) => request,
        };
        if request.trusted().client != *from {
            return Err(RegisterFailure::Refused("a client registers only itself".to_owned()));
        }
        let answer = self.core.register(self.clock.at(world), &self.state, &Open, request);
        answer.map(|answer| RegisterReply::Answer(Box::new(answer))).map_err(|error| match error {
            RegisterRefused::Request(RegisterError::Mismatch("boot")) => RegisterFailure::Boot,
            RegisterRefused::Evicted | RegisterRefused::OtherKey => RegisterFailure::Evicted,
            RegisterRefused::Withdrawn | RegisterRefused::Starting | RegisterRefused::Full => {
                RegisterFailure::Unreachable
            }
            other => RegisterFailure::Refused(other.to_string()),
        })
    }
}

impl World {
    /// The server's loop turns at least this often.
    pub(crate) fn tick_server(&mut self, s: usize, life: u64) {
        if self.servers[s].life == life && self.servers[s].up {
            self.turn(s);
            self.after(TICK, move |w| w.tick_server(s, life));
        }
    }

    /// Something happened that the server should look at.
    pub(crate) fn wake(&mut self, s: usize) {
        if self.servers[s].up && !std::mem::replace(&mut self.servers[s].woken, true) {
            let (life, lag) = (self.servers[s].life, self.servers[s].lag);
            self.after(lag, move |w| {
                w.servers[s].woken = false;
                if w.servers[s].up && w.servers[s].life == life {
                    w.apply(s, w.log.views[s].known);
                    w.turn(s);
                }
            });
        }
    }

    /// Applies the log up to an index, as `server/machine.rs` does.
    ///
    /// Applying is a function of state and entry, and what it costs is signatures. So the first server, and every one
    /// whose state came from a snapshot, applies all entries by itself, as a check of each other; the rest share.
    pub(crate) fn apply(&mut self, s: usize, upto: usize) {
        if let Some((at, bytes)) = self.log.far_behind(self.servers[s].applied, upto) {
            self.log.installed += 1;
            self.say(&format!("s{s} installs the snapshot at {at}"));
            self.restore(s, at, &bytes);
        }
        while self.servers[s].applied < upto {
            let index = self.servers[s].applied;
            let entry = self.log.entries[index].clone();
            let server = &mut self.servers[s];
            server.applied += 1;
            if self.plan.mutation == Some(Mutation::SkipsEntry) && s == 0 && index == 300 {
                continue;
            }
            let shared = self.states.get(&(index + 1)).filter(|_| !server.own).cloned();
            let result = match &shared {
                Some(state) => {
                    server.state = state.clone();
                    None
                }
                None => Some(Rc::make_mut(&mut server.state).apply(&entry)),
            };
            if result.is_some() && !server.own {
                self.states.insert(index + 1, server.state.clone());
                while self.states.len() > STATES {
                    self.states.pop_first();
                }
            }
            let round = match &*entry {
                Entry::Partial(p) => Some(p.trusted().round),
                Entry::RecordSignature(s) => Some(s.round),
                Entry::Abandon { round } => Some(*round),
                Entry::Disclosure(d) => Some(d.trusted().round),
                _ => None,
            };
            if let Some(ended) = round.and_then(|r| server.state.recent().get(&r)) {
                server.fresh.insert(ended.round(), ended.clone());
            }
            let Some(result) = result else { continue };
            self.truth.applied(index, s, &entry, &result, &self.servers[s].state);
            if let Some(bytes) = self.log.snapshot(index + 1, &self.servers[s].state) {
                self.truth.snapshot(index + 1, s, &bytes);
            }
        }
    }

    fn restore(&mut self, s: usize, at: usize, bytes: &[u8]) {
        let server = &mut self.servers[s];
        server.state = Rc::new(borsh::from_slice(bytes).expect("a snapshot decodes"));
        server.own = true;
        server.applied = at;
        server.fresh.extend(server.state.recent().clone());
    }

    /// One turn of the actor's loop.
    pub(crate) fn turn(&mut self, s: usize) {
        if self.servers[s].busy {
            return;
        }
        let heard = self.log.heard(s);
        let heard = heard.map(|h| h.iter().map(|i| self.servers[*i].core.me()).collect::<BTreeSet<_>>());
        let server = &mut self.servers[s];
        let now = server.clock.at(self.now);
        let actions = server.core.react(now, &server.state, server.applied as u64, heard.as_ref());
        let marked = actions.iter().any(|action| matches!(action, Action::Mark(_)));
        let marks = marked.then(|| encode(server.core.marks()));
        self.carry_out(s, actions.into(), marks);
    }

    /// Does what the core wants, in order. `marks` is gone once they are written: one write covers those of a turn.
    fn carry_out(&mut self, s: usize, mut actions: VecDeque<Action>, mut marks: Option<Vec<u8>>) {
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Mark(_) => {
                    if let Some(marks) = marks.take() {
                        return self.write_marks(s, &marks, actions);
                    }
                }
                Action::Propose(entry) => {
                    if self.servers[s].role.is_some() {
                        // What its core would have said; what becomes of it nobody answers for.
                        self.check_proposal(s, &entry);
                    }
                    for entry in self.tampered_entries(s, entry) {
                        self.propose(s, entry);
                    }
                }
                Action::Collect { header, digest, within_ms, without } => {
                    self.collect(s, *header, digest, within_ms, without);
                }
                Action::Campaign => {
                    self.say(&format!("s{s} campaigns"));
                    self.stand(s, false);
                }
                Action::StepBack => self.step_back(s),
                Action::Forgot => unreachable!("what was synced survives every crash here"),
            }
        }
        let retain = u64::from(self.plan.params.retain);
        let fresh = std::mem::take(&mut self.servers[s].fresh);
        self.publish(s, &fresh);
        self.servers[s].keep(&fresh, retain);
    }

    fn write_marks(&mut self, s: usize, marks: &[u8], rest: VecDeque<Action>) {
        let server = &mut self.servers[s];
        let mut batch = Batch::default();
        batch.put(MARKS.0, MARKS.1, marks);
        if self.plan.mutation == Some(Mutation::ServerForgetsMarks) {
            // On with it: the disk is slow, nobody will notice.
            return self.carry_out(s, rest, None);
        }
        server.store.hold();
        drop(server.store.commit(batch));
        server.busy = true;
        let (life, disk) = (server.life, server.disk);
        self.after(disk, move |w| {
            if w.servers[s].life != life || !w.servers[s].up {
                return;
            }
            w.servers[s].store.release();
            w.servers[s].load_marks();
            w.servers[s].busy = false;
            w.carry_out(s, rest, None);
        });
    }

    fn check_proposal(&mut self, s: usize, entry: &Entry) {
        let server = &self.servers[s];
        self.truth.proposed(s, &server.durable, entry, &self.descriptor);
    }

    fn propose(&mut self, s: usize, entry: Entry) {
        if self.servers[s].role.is_none() {
            self.check_proposal(s, &entry);
        }
        if self.log.leads(s) {
            return self.append(s, &entry);
        }
        let Some(leader) = self.log.views[s].leader else { return };
        if entry.is_leaders() {
            return self.say(&format!("s{s} does not lead: {} refused", name(&entry)));
        }
        let entry = Rc::new(entry);
        self.send(Node::Server(s), Node::Server(leader), move |w| {
            if w.log.leads(leader) {
                w.append(leader, &entry);
            }
        });
    }

    /// Stops a server: what its disk had not synced is gone, or not, as with power.
    pub(crate) fn crash_server(&mut self, s: usize) {
        if !self.servers[s].up {
            return;
        }
        self.say(&format!("s{s} crashes"));
        let synced = self.chance(300);
        let server = &mut self.servers[s];
        if synced {
            server.store.release();
        }
        server.up = false;
        server.store = server.store.crash();
        server.busy = false;
        self.crash_log(s);
        self.end_subscriptions(s);
    }

    /// Starts it again: the last snapshot, what it knew to be committed, its marks, and no chains.
    pub(crate) fn start_server(&mut self, s: usize) {
        if self.servers[s].up {
            return;
        }
        let seed = self.secret();
        let server = &mut self.servers[s];
        server.life += 1;
        server.up = true;
        server.woken = false;
        server.load_marks();
        server.core =
            Core::new(server.identity.clone(), server.policy.clone(), server.durable.clone(), &seed);
        server.hub = Hub::default();
        server.state = Rc::new(State::new(self.descriptor.clone()));
        server.own = true;
        server.fresh.clear();
        let (life, applied) = (server.life, std::mem::take(&mut server.applied));
        if let Some((at, bytes)) = self.log.snapshot_at(applied) {
            self.restore(s, at, &bytes);
        }
        self.apply(s, applied);
        self.say(&format!("s{s} starts with {applied} entries"));
        self.tick_server(s, life);
    }
}

impl Server {
    fn load_marks(&mut self) {
        let bytes = self.store.crash().get(MARKS.0, MARKS.1).expect("the twin reads");
        self.durable = bytes.map_or_else(Marks::default, |b| borsh::from_slice(&b).expect("marks decode"));
    }
}
