//! The harness: servers over one log, virtual time, faults from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;
use zipnet_committee::core::{Action, Core, Marks};
use zipnet_committee::entry::Entry;
use zipnet_committee::state::{Refused, Stage, State};
use zipnet_dcnet::aggregate::{Aggregate, Fold};
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::header::Header;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{HeaderDigest, PeerId};
use zipnet_dcnet::params::{Params, majority};
use zipnet_dcnet::record::Record;
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::seal::Envelope;
use zipnet_dcnet::signed::{Signed, encode};
use zipnet_dcnet::wire::Ended;

use crate::audit::Audit;
use crate::client::{Client, FIRST, OTHERS, Said, Without};

/// One step of time, in milliseconds.
pub(crate) const TICK: u64 = 25;
/// Without a leader for this long after it died, in milliseconds.
const ELECTION: u64 = 1_500;

pub(crate) struct Server {
    pub(crate) identity: Arc<Identity>,
    /// Its configured aggregators.
    pub(crate) aggregators: Vec<PeerId>,
    pub(crate) core: Core,
    pub(crate) state: State,
    pub(crate) applied: usize,
    pub(crate) up: bool,
    /// What is on its disk.
    pub(crate) marks: Marks,
    /// Crashes when it has carried out this many more actions.
    pub(crate) fuse: Option<u32>,
    /// How many actions it has carried out.
    pub(crate) acted: u32,
    /// Entries reach it this much later than the others, in milliseconds.
    pub(crate) lag: u64,
    pub(crate) campaigns: u32,
}

/// What happens to proposals on their way into the log.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Of 100 proposals, how many are lost.
    pub(crate) loss: u32,
    /// Of 100 proposals, how many arrive twice.
    pub(crate) twice: u32,
    /// Longest way, in milliseconds.
    pub(crate) delay: u64,
}

struct Collect {
    at: u64,
    server: usize,
    header: Header,
    digest: HeaderDigest,
}

type Hold = Box<dyn Fn(&Entry) -> bool>;

pub(crate) struct Net {
    seed: u64,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) now: u64,
    pub(crate) descriptor: Descriptor,
    pub(crate) servers: Vec<Server>,
    pub(crate) clients: Vec<Client>,
    pub(crate) aggregators: Vec<Arc<Identity>>,
    pub(crate) leader: Option<usize>,
    /// Who led last, and which servers have answered it since.
    heard: (usize, BTreeSet<PeerId>),
    elect_at: u64,
    /// The log: when an entry was committed, and the entry.
    pub(crate) log: Vec<(u64, Entry)>,
    results: Vec<Result<(), Refused>>,
    wire: Vec<(u64, Entry)>,
    collects: Vec<Collect>,
    /// On their way from a client to an aggregator: when it arrives.
    sealed: Vec<(u64, HeaderDigest, usize, Envelope)>,
    folding: BTreeMap<HeaderDigest, BTreeMap<u32, (usize, Envelope)>>,
    said: BTreeMap<HeaderDigest, BTreeMap<u32, Said>>,
    rosters: BTreeMap<HeaderDigest, Roster>,
    checked: u64,
    /// Messages that came out as they were said.
    pub(crate) published: usize,
    pub(crate) faults: Faults,
    /// Proposals that do not get into the log, but into `held`.
    pub(crate) hold: Option<Hold>,
    pub(crate) held: Vec<Entry>,
    /// Clients whose envelopes the aggregators lose.
    pub(crate) omit: BTreeSet<usize>,
    /// So many collections bring nothing.
    pub(crate) fail_collects: u32,
    /// Servers that reach no aggregator.
    pub(crate) no_path: BTreeSet<usize>,
    /// Who stepped back, and when.
    pub(crate) stepped: Vec<(u64, usize)>,
    pub(crate) audit: Audit,
}

impl Drop for Net {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, at {} ms, log of {} entries", self.seed, self.now, self.log.len());
        }
    }
}

/// Small rounds at the times of `--dev`; m is a majority.
pub(crate) fn params(servers: u32) -> Params {
    let dev = Params::dev(servers);
    Params { slots: 16, slot_bytes: 48, cells: 96, min_servers: majority(servers), ..dev }
}

pub(crate) fn identity(rng: &mut ChaCha20Rng) -> Identity {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *seed);
    Identity::from_seed(seed)
}

impl Net {
    pub(crate) fn new(seed: u64, servers: u32, clients: usize) -> Self {
        Self::with(seed, servers, clients, params(servers))
    }

    /// Nothing has happened yet; server 0 leads.
    pub(crate) fn with(seed: u64, servers: u32, clients: usize, params: Params) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut identities: Vec<_> = (0..servers).map(|_| Arc::new(identity(&mut rng))).collect();
        identities.sort_by_key(|i| i.peer_id());
        let ids = identities.iter().map(|i| i.peer_id()).collect();
        let descriptor = Descriptor::new("test", params, ids).unwrap();
        let aggregators = vec![Arc::new(identity(&mut rng))];
        let policy: Vec<_> = aggregators.iter().map(|a| a.peer_id()).collect();
        let release = |i| if i == 0 { FIRST } else { OTHERS };
        let clients = (0..clients).map(|i| Client::new(identity(&mut rng), release(i), &mut rng)).collect();
        let servers = identities
            .into_iter()
            .map(|identity| Server {
                core: core(&identity, &policy, Marks::default(), &mut rng),
                identity,
                aggregators: policy.clone(),
                state: State::new(descriptor.clone()),
                applied: 0,
                up: true,
                marks: Marks::default(),
                fuse: None,
                acted: 0,
                lag: 0,
                campaigns: 0,
            })
            .collect();
        Self {
            seed,
            rng,
            now: 0,
            descriptor,
            servers,
            clients,
            aggregators,
            leader: Some(0),
            heard: (0, BTreeSet::new()),
            elect_at: 0,
            log: Vec::new(),
            results: Vec::new(),
            wire: Vec::new(),
            collects: Vec::new(),
            sealed: Vec::new(),
            folding: BTreeMap::new(),
            said: BTreeMap::new(),
            rosters: BTreeMap::new(),
            checked: 0,
            published: 0,
            faults: Faults { delay: 40, ..Faults::default() },
            hold: None,
            held: Vec::new(),
            omit: BTreeSet::new(),
            fail_collects: 0,
            no_path: BTreeSet::new(),
            stepped: Vec::new(),
            audit: Audit::default(),
        }
    }

    /// A net in which round 1 is final.
    pub(crate) fn started(seed: u64, servers: u32, clients: usize) -> Self {
        let mut net = Self::new(seed, servers, clients);
        net.until("round 1 is final", |n| n.finals() >= 1);
        net
    }

    /// A client starts anew.
    pub(crate) fn new_session(&mut self, client: usize) {
        self.clients[client].restart(&mut self.rng);
    }

    /// Another client comes.
    pub(crate) fn newcomer(&mut self) {
        let identity = identity(&mut self.rng);
        self.clients.push(Client::new(identity, OTHERS, &mut self.rng));
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.rng.next_u64() % n.max(1)
    }

    /// The state that is furthest.
    pub(crate) fn state(&self) -> &State {
        let newest = self.servers.iter().max_by_key(|s| s.applied);
        &newest.unwrap().state
    }

    pub(crate) fn id(&self, server: usize) -> PeerId {
        self.descriptor.servers[server]
    }

    pub(crate) fn last(&self) -> &Record {
        self.state().last().unwrap()
    }

    /// The last final round, 0 for none.
    pub(crate) fn finals(&self) -> u64 {
        self.state().last().map_or(0, |last| last.round)
    }

    pub(crate) fn stage(&self) -> Option<Stage> {
        Some(self.state().round()?.stage())
    }

    /// Rounds that were abandoned, of the last 64.
    pub(crate) fn abandoned(&self) -> Vec<u64> {
        let recent = self.state().recent().values();
        recent.filter(|e| matches!(e, Ended::Abandoned(_))).map(Ended::round).collect()
    }

    /// Whether an entry of the log is refused, and how.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (&Entry, &Refused)> {
        let pairs = self.log.iter().zip(&self.results);
        pairs.filter_map(|((_, entry), result)| Some((entry, result.as_ref().err()?)))
    }

    /// Stops a server: everything but disk is lost. Another leads after a while.
    pub(crate) fn crash(&mut self, server: usize) {
        self.servers[server].up = false;
        self.servers[server].fuse = None;
        if self.leader == Some(server) {
            self.leader = None;
            self.elect_at = self.now + ELECTION;
        }
    }

    /// Starts it again, with its log and its marks.
    pub(crate) fn restart(&mut self, server: usize) {
        let s = &mut self.servers[server];
        assert!(!s.up, "server {server} is up");
        s.core = core(&s.identity, &s.aggregators, s.marks.clone(), &mut self.rng);
        s.up = true;
    }

    /// The leader is silent until another leads.
    fn step_back(&mut self, server: usize) {
        self.stepped.push((self.now, server));
        self.leader = None;
        self.elect_at = self.now + ELECTION;
    }

    /// Ends a server as SIGTERM does: it leaves, hands its office over, and stops.
    pub(crate) fn stop(&mut self, server: usize) {
        self.servers[server].core.leave();
        self.within(20_000, "no round needs it", |n| {
            let s = &n.servers[server];
            s.core.may_go(&s.state)
        });
        if self.leader == Some(server) {
            self.step_back(server);
            self.within(3_000, "another leads", |n| n.leader.is_some());
        }
        self.crash(server);
    }

    fn quorum(&self) -> bool {
        self.servers.iter().filter(|s| s.up).count() >= self.descriptor.majority()
    }

    pub(crate) fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            self.tick();
        }
    }

    /// Runs until `done`; three virtual minutes are too long for anything.
    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        self.within(180_000, what, done);
    }

    pub(crate) fn within(&mut self, ms: u64, what: &str, done: impl Fn(&Self) -> bool) {
        let end = self.now + ms;
        while !done(self) {
            let stands =
                self.state().round().map(|r| (r.header.round, r.stage(), r.doomed.clone(), r.missing()));
            assert!(self.now < end, "not in {ms} ms: {what}; {stands:?} after {}", self.state().opened());
            self.tick();
        }
    }

    /// So many more rounds become final.
    pub(crate) fn rounds(&mut self, more: u64) {
        for _ in 0..more {
            let last = self.finals();
            self.until("another round is final", |n| n.finals() > last);
        }
    }

    pub(crate) fn tick(&mut self) {
        self.now += TICK;
        if self.leader.is_none() && self.now >= self.elect_at && self.quorum() {
            // Whoever comes after the one that stepped back last.
            let n = self.servers.len();
            let after = self.stepped.last().map_or(0, |(_, server)| server + 1);
            self.leader = (after..after + n).map(|i| i % n).find(|i| self.servers[*i].up);
        }
        self.commit();
        self.apply();
        self.act_clients();
        self.act_aggregators();
        for server in 0..self.servers.len() {
            if self.servers[server].up {
                self.act_server(server);
            }
        }
    }

    fn commit(&mut self) {
        let now = self.now;
        let (mut due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.wire).into_iter().partition(|w| w.0 <= now);
        self.wire = later;
        due.sort_by_key(|w| w.0);
        if self.leader.is_some() && self.quorum() {
            self.log.extend(due.into_iter().map(|(_, entry)| (now, entry)));
        }
    }

    /// Every server applies what reached it; all must get the same result and the same state.
    fn apply(&mut self) {
        let mut states: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        for s in self.servers.iter_mut().filter(|s| s.up) {
            let before = s.applied;
            while let Some((at, entry)) = self.log.get(s.applied)
                && at + s.lag <= self.now
            {
                // The others are compared with the first.
                let first = self.results.len() == s.applied;
                let unchanged = first.then(|| encode(&s.state));
                let result = s.state.apply(entry);
                if result.is_err() && first && !matches!(entry, Entry::Fold { .. }) {
                    let now = Some(encode(&s.state));
                    assert!(unchanged == now, "a refused entry changed the state: {result:?}");
                }
                match self.results.get(s.applied) {
                    Some(first) => assert_eq!(*first, result, "entry {} differs", s.applied),
                    None => self.results.push(result),
                }
                s.applied += 1;
            }
            if s.applied > before {
                let bytes = encode(&s.state);
                let first = states.entry(s.applied).or_insert_with(|| bytes.clone());
                assert_eq!(*first, bytes, "states differ after entry {}", s.applied);
            }
        }
        self.check_records();
    }

    /// What came out is what participants said, no more and no less.
    fn check_records(&mut self) {
        let finals = self.state().recent().range(self.checked + 1..).map(|(_, ended)| ended.clone());
        for ended in finals.collect::<Vec<_>>() {
            self.checked = ended.round();
            let Ended::Final(signed) = ended else { continue };
            let record = &signed.record;
            record.check(&self.descriptor, &self.descriptor.id()).unwrap();
            let said = self.said.remove(&record.header_digest).unwrap_or_default();
            let inside = said.iter().filter(|(index, _)| record.participants.get(**index));
            let mut expected: Vec<_> = inside.map(|(_, s)| (s.slot, s.payload.clone())).collect();
            expected.sort();
            assert_eq!(record.messages, expected, "round {}", record.round);
            assert_eq!(record.garbled, Vec::<u32>::new(), "round {}", record.round);
            self.published += expected.len();
        }
    }

    fn act_clients(&mut self) {
        for client in self.clients.iter_mut().filter(|c| c.up) {
            for s in self.servers.iter_mut().filter(|s| s.up) {
                client.register(self.now, &mut s.core, &s.state, &mut self.rng);
            }
        }
        let Some(newest) = self.servers.iter().filter(|s| s.up).max_by_key(|s| s.applied) else { return };
        let Some(round) = newest.state.round().filter(|r| r.stage() == Stage::Folding) else { return };
        let signed = round.signed_header().unwrap();
        for (i, client) in self.clients.iter_mut().enumerate().filter(|(_, c)| c.up) {
            let Some((envelope, said)) = client.seal(&newest.state, &signed, &round.roster, &mut self.rng)
            else {
                continue;
            };
            if let Some(said) = said {
                self.said.entry(round.digest).or_default().insert(envelope.index, said);
            }
            let wait = self.rng.next_u64() % u64::from(self.descriptor.params.fold_deadline_ms) * 6 / 10;
            self.sealed.push((self.now + wait, round.digest, i, envelope));
        }
        self.rosters.entry(round.digest).or_insert_with(|| round.roster.clone());
    }

    fn act_aggregators(&mut self) {
        let now = self.now;
        for (_, digest, i, envelope) in self.sealed.extract_if(.., |s| s.0 <= now) {
            if !self.omit.contains(&i) {
                self.folding.entry(digest).or_default().insert(envelope.index, (i, envelope));
            }
        }
        let full = |c: &Collect| {
            let arrived = self.folding.get(&c.digest).map_or(0, BTreeMap::len);
            c.at <= now || arrived == c.header.roster_len as usize
        };
        for collect in self.collects.extract_if(.., |c| full(c)).collect::<Vec<_>>() {
            let mut parts = self.aggregates(&collect.header, &collect.digest);
            if self.no_path.contains(&collect.server) {
                parts.clear();
            }
            if self.fail_collects > 0 {
                self.fail_collects -= 1;
                parts.clear();
            }
            if self.servers[collect.server].up {
                self.servers[collect.server].core.collected(collect.digest, parts);
            }
        }
    }

    /// What the aggregators of a header have: client i sends to number i modulo how many there are.
    pub(crate) fn aggregates(&self, header: &Header, digest: &HeaderDigest) -> Vec<Signed<Aggregate>> {
        let of_header = |a: &&Arc<Identity>| header.aggregators.contains(&a.peer_id());
        let aggregators: Vec<_> = self.aggregators.iter().filter(of_header).collect();
        let mut out = Vec::new();
        for (n, aggregator) in aggregators.iter().enumerate() {
            let mut fold = Fold::new(&self.descriptor.params, header);
            for (i, envelope) in self.folding.get(digest).into_iter().flat_map(BTreeMap::values) {
                if i % aggregators.len() == n {
                    fold.add(envelope).unwrap();
                }
            }
            out.push(Signed::new(aggregator, aggregate(header, &fold, aggregator.peer_id())));
        }
        out
    }

    fn act_server(&mut self, i: usize) {
        let leads = self.leader == Some(i);
        if leads {
            if self.heard.0 != i {
                self.heard = (i, BTreeSet::new());
            }
            let up = self.servers.iter().filter(|s| s.up);
            self.heard.1.extend(up.map(|s| s.core.me()));
        }
        let s = &mut self.servers[i];
        let actions = s.core.react(self.now, &s.state, s.applied as u64, leads.then_some(&self.heard.1));
        for action in actions {
            let s = &mut self.servers[i];
            match &mut s.fuse {
                Some(0) => return self.crash(i),
                Some(left) => *left -= 1,
                None => {}
            }
            s.acted += 1;
            match action {
                Action::Mark(mark) => s.marks.note(&mark),
                Action::Propose(entry) => self.propose(i, entry),
                Action::Collect { header, digest, within_ms, without } => {
                    assert!(leads && without.is_empty());
                    let at = self.now + u64::from(within_ms);
                    self.collects.push(Collect { at, server: i, header: *header, digest });
                }
                Action::Forgot => return self.crash(i),
                Action::StepBack => {
                    assert!(leads);
                    self.step_back(i);
                }
                Action::Campaign => {
                    s.campaigns += 1;
                    if self.quorum() {
                        self.leader = Some(i);
                    }
                }
            }
        }
    }

    fn propose(&mut self, i: usize, entry: Entry) {
        let s = &self.servers[i];
        self.audit.said(s.identity.peer_id(), &s.marks, &entry);
        assert!(!entry.is_leaders() || self.leader == Some(i), "a follower opens, folds or abandons");
        if self.hold.as_ref().is_some_and(|hold| hold(&entry)) {
            return self.held.push(entry);
        }
        let Faults { loss, twice, delay } = self.faults;
        let copies = u32::from(self.below(100) as u32 >= loss) + u32::from((self.below(100) as u32) < twice);
        for _ in 0..copies {
            let at = self.now + self.below(delay + 1);
            self.wire.push((at, entry.clone()));
        }
    }

    /// How many the last header lists.
    pub(crate) fn last_roster(&self) -> u32 {
        let round = self.state().round().map(|round| round.header.roster_len);
        round.unwrap_or_else(|| self.state().next_header(self.descriptor.servers.clone()).0.roster_len)
    }

    /// The server no longer admits a release: what it takes back goes its way.
    pub(crate) fn withdraw(&mut self, server: usize, release: &'static str) {
        for _ in 0..10_000 {
            let s = &mut self.servers[server];
            let gone = s.core.reconsider(self.now, &s.state, &Without(release));
            if !gone.is_empty() {
                return gone.into_iter().for_each(|(entry, _)| self.propose(server, entry));
            }
            self.tick();
        }
        panic!("nothing to take back");
    }

    /// Gets an entry into the log by itself.
    pub(crate) fn inject(&mut self, entry: Entry) {
        self.log.push((self.now, entry));
    }

    /// What was held back goes its way.
    pub(crate) fn release(&mut self) {
        self.hold = None;
        let now = self.now;
        self.wire.extend(self.held.drain(..).map(|entry| (now, entry)));
    }

    /// Runs until a round that is not quiet is at this stage, and what leads out of it is held back.
    pub(crate) fn freeze(&mut self, stage: Stage) -> u64 {
        let last = self.finals();
        self.hold = Some(Box::new(move |entry| match stage {
            Stage::Signing => matches!(entry, Entry::HeaderSignature(_)),
            Stage::Folding => matches!(entry, Entry::Fold { .. }),
            Stage::Committing => matches!(entry, Entry::Commitment(_)),
            Stage::Revealing => matches!(entry, Entry::Partial(_)),
        }));
        self.until("the stage is reached", |n| {
            n.stage() == Some(stage)
                && n.state().opened() > last
                && (stage != Stage::Folding || !n.held.is_empty())
        });
        self.state().opened()
    }

    /// All servers up and even: a replay of the log from nothing gives the same bytes.
    pub(crate) fn check_replay(&self) {
        let mut state = State::new(self.descriptor.clone());
        for ((_, entry), result) in self.log.iter().zip(&self.results) {
            assert_eq!(state.apply(entry), *result);
        }
        assert_eq!(encode(&state), encode(self.state()));
        let copy: State = borsh::from_slice(&encode(&state)).unwrap();
        assert_eq!(copy, state, "a snapshot is the state");
    }
}

pub(crate) fn aggregate(header: &Header, fold: &Fold, aggregator: PeerId) -> Aggregate {
    Aggregate {
        deployment: header.deployment,
        round: header.round,
        header_digest: fold.header_digest,
        aggregator,
        participants: fold.participants.clone(),
        vector: fold.vector.clone(),
    }
}

fn core(identity: &Arc<Identity>, policy: &[PeerId], marks: Marks, rng: &mut ChaCha20Rng) -> Core {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *seed);
    Core::new(identity.clone(), policy.to_vec(), marks, &seed)
}
