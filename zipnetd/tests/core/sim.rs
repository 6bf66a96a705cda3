//! A committee of three, an aggregator and some cores in one thread with virtual time. The arithmetic is the real one:
//! real registrations, envelopes, partials, records and signatures.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zeroize::Zeroizing;
use zipnet_dcnet::aggregate::Fold;
use zipnet_dcnet::chain::Chain;
use zipnet_dcnet::descriptor::{Admission, Descriptor};
use zipnet_dcnet::header::{Header, SignedHeader};
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{ClientId, DeploymentId, HeaderDigest, PeerId, RecordDigest, Session};
use zipnet_dcnet::pad;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::record::{Record, SignedRecord, finalize, owned_slots};
use zipnet_dcnet::register;
use zipnet_dcnet::roster::{Entry, Roster};
use zipnet_dcnet::seal::Envelope;
use zipnet_dcnet::signed::Signed;
use zipnet_dcnet::slot;
use zipnet_dcnet::statement::{Disclosure, vouch_digest};
use zipnet_dcnet::wire::{Abandoned, Ended, Event, RecordsReply, RegisterCall, RegisterReply, RosterUpdate};
use zipnetd::core::input::{Command, RegisterFailure};
use zipnetd::core::message::{Failure, State};
use zipnetd::core::{Answer, CoreConfig, Input, MessageId, Output, Refusal};

use crate::client::Client;

pub(crate) const UID: u32 = 1_000;
pub(crate) const STEP_MS: u64 = 50;
/// Servers that ask for quotes take none that is older, in final rounds.
pub(crate) const QUOTE_ROUNDS: usize = 20;

pub(crate) fn identity(n: u8) -> Identity {
    Identity::from_seed(Zeroizing::new([n; 32]))
}

/// Small slots so that rounds are fast; otherwise the `--dev` column, with room for four who are certain.
pub(crate) fn params() -> Params {
    Params { slots: 8, slot_bytes: 48, cells: 48, ..Params::dev(3) }
}

struct Server {
    identity: Identity,
    boot: [u8; 32],
    chains: BTreeMap<ClientId, (Session, Chain)>,
    answers: BTreeMap<[u8; 32], RegisterReply>,
}

/// How a round goes; the default is well.
#[derive(Clone)]
pub(crate) struct Plan {
    /// Clients whose envelopes are lost.
    pub(crate) lost: Vec<usize>,
    /// An aggregator that garbles every slot.
    pub(crate) garble: bool,
    /// Abandoned: who discloses what.
    pub(crate) abandon: Option<Vec<(usize, bool)>>,
    /// Servers named.
    pub(crate) servers: Vec<usize>,
    /// Servers that sign the record at once.
    pub(crate) sign: Vec<usize>,
    /// The end of the round is told.
    pub(crate) tell: bool,
    /// Changes the header before it is signed.
    pub(crate) header: fn(&mut Header),
    /// Changes the roster that the header names.
    pub(crate) roster: fn(&mut Vec<Entry>),
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            lost: vec![],
            garble: false,
            abandon: None,
            servers: vec![0, 1, 2],
            sign: vec![0, 1, 2],
            tell: true,
            header: |_| {},
            roster: |_| {},
        }
    }
}

pub(crate) struct World {
    servers: Vec<Server>,
    pub(crate) descriptor: Descriptor,
    pub(crate) deployment: DeploymentId,
    pub(crate) clients: Vec<Client>,
    vouches: BTreeMap<(ClientId, Session), BTreeMap<PeerId, [u8; 32]>>,
    newest: BTreeMap<ClientId, Session>,
    pub(crate) evicted: BTreeSet<Session>,
    pub(crate) log: BTreeMap<u64, Ended>,
    /// The log serves from here on.
    pub(crate) earliest: u64,
    pub(crate) last: Option<(Record, RecordDigest)>,
    pub(crate) opened: u64,
    pub(crate) now: u64,
    pub(crate) headers: BTreeMap<u64, SignedHeader>,
    /// Answers that are given first when records are fetched, whoever asks.
    pub(crate) hostile: BTreeMap<u64, RecordsReply>,
    rosters: BTreeMap<[u8; 32], Roster>,
    random: u64,
    /// Whether there are quotes.
    pub(crate) helper: Result<(), String>,
    /// Quotes that were asked for: of which client, over which record.
    pub(crate) quotes: Vec<(usize, RecordDigest)>,
}

impl World {
    pub(crate) fn new(params: Params, clients: usize) -> Self {
        Self::with(params, clients, |_, _| {})
    }

    pub(crate) fn with(params: Params, clients: usize, tune: fn(usize, &mut CoreConfig)) -> Self {
        Self::admitting(Admission::Open, params, clients, tune)
    }

    /// Servers that admit by quotes, which here are the session and the record in the clear.
    pub(crate) fn attested(clients: usize) -> Self {
        Self::admitting(Admission::Tdx, params(), clients, |_, _| {})
    }

    fn admitting(
        admission: Admission,
        params: Params,
        clients: usize,
        tune: fn(usize, &mut CoreConfig),
    ) -> Self {
        let mut servers: Vec<Server> = (100..103)
            .map(|n| Server {
                identity: identity(n),
                boot: [n; 32],
                chains: BTreeMap::new(),
                answers: BTreeMap::new(),
            })
            .collect();
        servers.sort_by_key(|s| s.identity.peer_id());
        let ids = servers.iter().map(|s| s.identity.peer_id()).collect();
        let descriptor = Descriptor { admission, ..Descriptor::new("test", params, ids).unwrap() };
        let deployment = descriptor.id();
        let mut world = Self {
            servers,
            deployment,
            clients: vec![],
            vouches: BTreeMap::new(),
            newest: BTreeMap::new(),
            evicted: BTreeSet::new(),
            log: BTreeMap::new(),
            earliest: 1,
            last: None,
            opened: 0,
            now: 1_700_000_000_000,
            headers: BTreeMap::new(),
            hostile: BTreeMap::new(),
            rosters: BTreeMap::new(),
            random: 0,
            helper: Ok(()),
            quotes: vec![],
            descriptor: descriptor.clone(),
        };
        for n in 0..clients {
            let descriptor = descriptor.clone();
            let cfg = move || {
                let mut cfg = CoreConfig {
                    identity: Arc::new(identity(n as u8 + 1)),
                    descriptor: descriptor.clone(),
                    pinned_servers: vec![],
                    cadence: 1,
                    standing: None,
                    daemon_uid: 77,
                };
                tune(n, &mut cfg);
                cfg
            };
            let client = Client::new(Box::new(cfg), n as u8, world.now);
            world.clients.push(client);
        }
        world.pump();
        world
    }

    pub(crate) fn server(&self, n: usize) -> PeerId {
        self.servers[n].identity.peer_id()
    }

    pub(crate) fn server_identity(&self, n: usize) -> &Identity {
        &self.servers[n].identity
    }

    fn fresh(&mut self) -> Zeroizing<[u8; 32]> {
        self.random += 1;
        let mut out = Zeroizing::new([9; 32]);
        out[..8].copy_from_slice(&self.random.to_le_bytes());
        out
    }

    /// Hands an input to a client, and does what it wants until it wants nothing more.
    pub(crate) fn feed(&mut self, client: usize, input: Input) {
        let now = self.now;
        self.clients[client].feed(now, input);
        self.pump();
    }

    pub(crate) fn pump(&mut self) {
        for n in 0..self.clients.len() {
            while let Some(output) = self.clients[n].todo.pop_front() {
                self.act(n, output);
            }
        }
    }

    fn act(&mut self, n: usize, output: Output) {
        let now = self.now;
        let online = self.clients[n].online;
        match output {
            Output::Register { server, call } => {
                let result =
                    if online { self.register(&server, call) } else { Err(RegisterFailure::Unreachable) };
                self.clients[n].feed(now, Input::Register { server, result });
            }
            Output::Attest { session, record } => {
                self.quotes.push((n, record));
                let result = self.helper.clone().map(|()| [session, record].concat());
                self.clients[n].feed(now, Input::Attested { session, result });
            }
            Output::FetchRoster { digest, .. } => {
                let roster = self.rosters.get(&digest).filter(|_| online).cloned().map(Box::new);
                self.clients[n].feed(now, Input::Roster { digest, roster });
            }
            Output::FetchRecords { from_round, limit, not } => {
                let server = self.server(usize::from(not == Some(self.server(0))));
                if let Some((_, reply)) = self.hostile.pop_first() {
                    let reply = Some(reply);
                    return self.clients[n].feed(now, Input::Records { from_round, server, reply });
                }
                let reply = online.then(|| {
                    let from = from_round.max(self.earliest);
                    let items = self.log.range(from..).take(limit as usize).map(|(_, e)| e.clone());
                    let latest = self.log.keys().last().copied().unwrap_or(0);
                    RecordsReply { earliest: self.earliest, latest, items: items.collect() }
                });
                self.clients[n].feed(now, Input::Records { from_round, server, reply });
            }
            _ => unreachable!("handled by the client"),
        }
    }

    fn register(&mut self, server: &PeerId, call: RegisterCall) -> Result<RegisterReply, RegisterFailure> {
        let at = self.servers.iter().position(|s| s.identity.peer_id() == *server).unwrap();
        let random = self.fresh();
        let s = &mut self.servers[at];
        let request = match call {
            RegisterCall::Boot(session) => {
                let known = s.chains.values().any(|(of, _)| *of == session);
                return Ok(RegisterReply::Boot(s.boot, s.identity.server_bundle(), known));
            }
            RegisterCall::Register(request) => request,
        };
        let r = request.verify().unwrap().clone();
        if self.evicted.contains(&r.session) {
            return Err(RegisterFailure::Evicted);
        }
        if let Some(known) = s.answers.get(&r.ephemeral) {
            return Ok(known.clone());
        }
        if self.descriptor.admission == Admission::Tdx {
            let finals = self.log.values().rev().filter_map(|ended| match ended {
                Ended::Final(signed) => Some(signed.record.digest()),
                Ended::Abandoned(_) => None,
            });
            let mut recent: Vec<RecordDigest> = finals.take(QUOTE_ROUNDS).collect();
            if recent.len() < QUOTE_ROUNDS {
                recent.push(self.deployment.0);
            }
            if !recent.iter().any(|record| r.evidence == [r.session, *record].concat()) {
                return Err(RegisterFailure::NotAdmitted("no evidence, or old".to_owned()));
            }
        }
        let start = self.opened + 1;
        let answer = register::answer(&s.identity, self.deployment, s.boot, start, &request, &random);
        let (chain, answer) = match answer {
            Ok(answer) => answer,
            Err(register::RegisterError::Mismatch("boot")) => return Err(RegisterFailure::Boot),
            Err(error) => return Err(RegisterFailure::Refused(error.to_string())),
        };
        let id = r.client.client_id();
        s.chains.insert(id, (r.session, chain));
        let digest = vouch_digest(&r.ephemeral, &answer.trusted().ephemeral);
        self.vouches.entry((id, r.session)).or_default().insert(*server, digest);
        self.newest.insert(id, r.session);
        let reply = RegisterReply::Answer(Box::new(answer));
        s.answers.insert(r.ephemeral, reply.clone());
        Ok(reply)
    }

    /// A server takes back what it vouched for this client.
    pub(crate) fn withdraw(&mut self, n: usize, client: usize) {
        let (server, id) = (self.server(n), self.clients[client].id);
        self.servers[n].chains.remove(&id);
        self.servers[n].answers.clear();
        for ((of, _), given) in &mut self.vouches {
            if *of == id {
                given.remove(&server);
            }
        }
    }

    /// The server restarts: its chains and vouches are gone. `told` clients hear of it.
    pub(crate) fn restart_server(&mut self, n: usize, told: bool) {
        let server = self.server(n);
        let boot = *self.fresh();
        let s = &mut self.servers[n];
        s.boot = boot;
        s.chains.clear();
        s.answers.clear();
        for given in self.vouches.values_mut() {
            given.remove(&server);
        }
        if told {
            for client in 0..self.clients.len() {
                self.feed(client, Input::Event { from: server, event: Event::Boot(boot) });
            }
        }
    }

    /// Everybody hears a server's boot nonce, as on a new link.
    pub(crate) fn tell_boot(&mut self, n: usize) {
        let (from, boot) = (self.server(n), self.servers[n].boot);
        for client in 0..self.clients.len() {
            self.feed(client, Input::Event { from, event: Event::Boot(boot) });
        }
    }

    /// A session of this client leaves for good.
    pub(crate) fn evict(&mut self, client: usize) {
        let id = self.clients[client].id;
        if let Some(session) = self.newest.remove(&id) {
            self.vouches.remove(&(id, session));
            self.evicted.insert(session);
        }
    }

    fn make_roster(&self, servers: &[PeerId]) -> Vec<Entry> {
        let entry = |(client, session): (&ClientId, &Session)| {
            let given = &self.vouches.get(&(*client, *session))?;
            let vouches = servers.iter().map(|s| given.get(s).copied()).collect::<Option<_>>()?;
            Some(Entry { client: *client, session: *session, vouches })
        };
        self.newest.iter().filter_map(entry).collect()
    }

    /// Opens a round and signs its header; nobody hears of it yet.
    pub(crate) fn open(&mut self, plan: &Plan) -> SignedHeader {
        self.opened += 1;
        let servers: Vec<PeerId> = plan.servers.iter().map(|n| self.server(*n)).collect();
        let mut entries = self.make_roster(&servers);
        (plan.roster)(&mut entries);
        let roster = Roster::new(entries).unwrap();
        let mut header = Header {
            deployment: self.deployment,
            round: self.opened,
            prev: self.last.as_ref().map_or(self.deployment.0, |last| last.1),
            servers,
            aggregators: vec![PeerId([1; 32]), PeerId([2; 32])],
            roster: roster.digest(),
            roster_len: roster.entries().len() as u32,
        };
        (plan.header)(&mut header);
        self.rosters.insert(roster.digest(), roster);
        let signatures = plan.servers.iter().map(|n| header.sign(&self.servers[*n].identity)).collect();
        let signed = SignedHeader { header, signatures };
        self.headers.insert(self.opened, signed.clone());
        signed
    }

    pub(crate) fn tell(&mut self, event: &Event) {
        let from = self.server(0);
        for n in (0..self.clients.len()).filter(|n| self.clients[*n].online).collect::<Vec<_>>() {
            self.feed(n, Input::Event { from, event: event.clone() });
        }
    }

    /// Lets time pass; envelopes whose moment came are given back.
    pub(crate) fn pass(&mut self, ms: u64) -> Vec<(usize, Envelope)> {
        let mut sent = Vec::new();
        let until = self.now + ms;
        while self.now < until {
            self.now += STEP_MS;
            for n in 0..self.clients.len() {
                self.feed(n, Input::Tick);
                let now = self.now;
                let client = &mut self.clients[n];
                let (due, later) = client.outbox.drain(..).partition::<Vec<_>, _>(|(at, _)| *at <= now);
                client.outbox = later;
                for (_, envelope) in due.into_iter().filter(|_| client.online) {
                    client.left.push(envelope.round);
                    sent.push((n, envelope));
                }
            }
        }
        sent
    }

    /// One round from its opening to the next.
    pub(crate) fn round(&mut self, plan: &Plan) {
        let signed = self.open(plan);
        let roster = RosterUpdate::Fetch;
        self.tell(&Event::Open { header: Box::new(signed.clone()), roster });
        let fold = u64::from(self.descriptor.params.fold_deadline_ms);
        let sent = self.pass(fold);
        for (n, envelope) in &sent {
            self.feed(*n, Input::Envelope { round: envelope.round, taken: true });
        }
        self.finish(plan, &signed, sent);
        let rest = u64::from(self.descriptor.params.round_period_ms) - fold;
        self.pass(rest);
    }

    pub(crate) fn finish(&mut self, plan: &Plan, signed: &SignedHeader, sent: Vec<(usize, Envelope)>) {
        let header = &signed.header;
        let round = header.round;
        let digest = header.digest();
        let params = self.descriptor.params.clone();
        let mut fold = Fold::new(&params, header);
        for (n, envelope) in sent.into_iter().filter(|(n, _)| !plan.lost.contains(n)) {
            assert_eq!(envelope.round, round);
            assert_eq!(self.rosters[&header.roster].index(&self.clients[n].id), Some(envelope.index));
            fold.add(&envelope).unwrap();
        }
        if plan.garble {
            for s in 0..params.slots {
                fold.vector[slot::range(&params, s)].iter_mut().for_each(|b| *b ^= 0x55);
            }
        }
        let ended = match &plan.abandon {
            Some(disclosures) => {
                let disclosures =
                    disclosures.iter().map(|(n, revealed)| self.disclose(*n, round, digest, *revealed));
                Ended::Abandoned(Abandoned {
                    round,
                    header_digest: digest,
                    disclosures: disclosures.collect(),
                })
            }
            None => {
                fold.check_count(&params).unwrap();
                let partials = self.partials(header, &fold);
                let partials: Vec<&[u8]> = partials.iter().map(Vec::as_slice).collect();
                let owned = owned_slots(&params, header, self.last.as_ref().map(|(r, d)| (r, d)));
                let record = finalize(&params, header, owned, &fold, &partials);
                self.last = Some((record.clone(), record.digest()));
                Ended::Final(Box::new(self.signed(record, &plan.sign)))
            }
        };
        for s in &mut self.servers {
            for (_, chain) in s.chains.values_mut() {
                if chain.at() <= round {
                    chain.advance(round + 1).unwrap();
                }
            }
        }
        self.log.insert(round, ended.clone());
        if plan.tell {
            self.tell(&Event::Ended(ended));
        }
    }

    fn partials(&mut self, header: &Header, fold: &Fold) -> Vec<Vec<u8>> {
        let bytes = self.descriptor.params.vector_bytes();
        let roster = self.rosters[&header.roster].clone();
        let digest = header.digest();
        let mut out = vec![];
        for s in self.servers.iter_mut().filter(|s| header.servers.contains(&s.identity.peer_id())) {
            let keys: Vec<_> = fold
                .participants
                .ones()
                .map(|i| {
                    let entry = &roster.entries()[i as usize];
                    let (session, chain) = s.chains.get_mut(&entry.client).unwrap();
                    assert_eq!(*session, entry.session);
                    chain.take(header.round, &digest).unwrap()
                })
                .collect();
            out.push(pad::sum(&keys, bytes).to_vec());
        }
        out
    }

    pub(crate) fn signed(&self, record: Record, signers: &[usize]) -> SignedRecord {
        let signatures =
            signers.iter().map(|n| (self.server(*n), record.sign(&self.servers[*n].identity))).collect();
        SignedRecord { record, signatures }
    }

    pub(crate) fn disclose(
        &self,
        n: usize,
        round: u64,
        header_digest: HeaderDigest,
        revealed: bool,
    ) -> Signed<Disclosure> {
        let (server, deployment) = (self.server(n), self.deployment);
        let body = Disclosure { deployment, server, round, header_digest, revealed };
        Signed::new(&self.servers[n].identity, body)
    }

    /// More disclosures about an abandoned round come in.
    pub(crate) fn disclose_all(&mut self, round: u64, revealed: &[(usize, bool)]) {
        let header_digest = self.headers[&round].header.digest();
        let disclosures = revealed.iter().map(|(n, r)| self.disclose(*n, round, header_digest, *r)).collect();
        let ended = Ended::Abandoned(Abandoned { round, header_digest, disclosures });
        self.log.insert(round, ended.clone());
        self.tell(&Event::Ended(ended));
    }

    pub(crate) fn rounds(&mut self, n: usize) {
        (0..n).for_each(|_| self.round(&Plan::default()));
    }

    pub(crate) fn accept(&mut self, client: usize, payload: &[u8]) -> MessageId {
        match self.ask(client, UID, payload, None, None) {
            Ok(Answer::Accepted { id, .. }) => id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn ask(
        &mut self,
        client: usize,
        uid: u32,
        payload: &[u8],
        request_id: Option<&str>,
        ttl_ms: Option<u64>,
    ) -> Result<Answer, Refusal> {
        let (payload, request_id) = (payload.to_vec(), request_id.map(str::to_owned));
        let receipt = false;
        let reply = self.command(client, Command::Accept { uid, payload, request_id, ttl_ms, receipt });
        self.clients[client].answers.remove(&reply).expect("answered at once")
    }

    /// As `accept`, and asks for a receipt.
    pub(crate) fn accept_with_receipt(&mut self, client: usize, payload: &[u8]) -> MessageId {
        let accept = Command::Accept {
            uid: UID,
            payload: payload.to_vec(),
            request_id: None,
            ttl_ms: None,
            receipt: true,
        };
        let reply = self.command(client, accept);
        match self.clients[client].answers.remove(&reply) {
            Some(Ok(Answer::Accepted { id, .. })) => id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn cancel(&mut self, client: usize, uid: u32, id: MessageId) -> Result<Answer, Refusal> {
        let reply = self.command(client, Command::Cancel { uid, id });
        self.clients[client].answers.remove(&reply).expect("answered at once")
    }

    pub(crate) fn command(&mut self, client: usize, command: Command) -> u64 {
        self.clients[client].next_reply += 1;
        let reply = self.clients[client].next_reply;
        self.feed(client, Input::Command { reply, command });
        reply
    }

    pub(crate) fn state(&self, client: usize, id: MessageId) -> State {
        self.clients[client].core.message(UID, &id).unwrap().state
    }

    /// How often a payload is in the log.
    pub(crate) fn published(&self, payload: &[u8]) -> usize {
        let records = self.log.values().filter_map(|ended| match ended {
            Ended::Final(signed) => Some(&signed.record),
            Ended::Abandoned(_) => None,
        });
        records.flat_map(|r| &r.messages).filter(|(_, p)| p == payload).count()
    }

    pub(crate) fn record(&self, round: u64) -> Record {
        match &self.log[&round] {
            Ended::Final(signed) => signed.record.clone(),
            Ended::Abandoned(_) => panic!("round {round} was abandoned"),
        }
    }

    /// The process dies and starts again on what is on its disk.
    pub(crate) fn restart(&mut self, client: usize) {
        let now = self.now;
        self.clients[client].restart(now);
        self.pump();
    }

    /// Until a message is sealed, and its envelope is on the way: gives the round's header and the envelopes.
    pub(crate) fn until_sealed(
        &mut self,
        client: usize,
        id: MessageId,
    ) -> (SignedHeader, Vec<(usize, Envelope)>) {
        for _ in 0..100 {
            let signed = self.open(&Plan::default());
            let event = Event::Open { header: Box::new(signed.clone()), roster: RosterUpdate::Fetch };
            self.tell(&event);
            let sent = self.pass(u64::from(self.descriptor.params.fold_deadline_ms));
            if matches!(self.state(client, id), State::Sealed(_)) {
                return (signed, sent);
            }
            self.finish(&Plan::default(), &signed, sent);
            self.pass(500);
        }
        panic!("never sealed");
    }
}

pub(crate) const TEXT: &[u8] = b"hello";

pub(crate) fn exposed() -> State {
    State::Failed(Failure::Exposed)
}

pub(crate) fn unknown() -> State {
    State::Failed(Failure::Unknown)
}

pub(crate) fn ready(clients: usize) -> World {
    let mut world = World::new(params(), clients);
    world.rounds(3);
    world
}
