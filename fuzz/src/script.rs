//! A client's honest life, recorded: what it was told, input by input, so that a fresh one can be brought to any point.

use std::cell::LazyCell;
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;
use zipnet_dcnet::aggregate::{Bitmap, Fold};
use zipnet_dcnet::chain::Chain;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::header::{Header, SignedHeader};
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{ClientId, PeerId, RecordDigest};
use zipnet_dcnet::pad;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::record::{Record, SignedRecord, finalize, owned_slots};
use zipnet_dcnet::register;
use zipnet_dcnet::roster::{Entry, Roster};
use zipnet_dcnet::seal::Envelope;
use zipnet_dcnet::statement::vouch_digest;
use zipnet_dcnet::wire::{Ended, Event, RecordsReply, RegisterCall, RegisterReply, RosterUpdate};
use zipnetd::core::input::{Command, RegisterFailure, StoreFailure};
use zipnetd::core::message::MessageId;
use zipnetd::core::output::Op;
use zipnetd::core::{Core, CoreConfig, Input, Loaded, Output};

use crate::links::identity;

pub(crate) const START: u64 = 1_700_000_000_000;
/// The last round of the script.
pub(crate) const ROUNDS: u64 = 4;
pub(crate) const UID: u32 = 1_000;

/// An input, as bytes. Servers are numbers into the descriptor's list, beyond it: strangers.
#[derive(Clone, BorshSerialize, BorshDeserialize)]
pub(crate) enum Told {
    Tick(u16),
    Link(u8, bool),
    Event(u8, Event),
    Roster([u8; 32], Option<Roster>),
    Records(u64, u8, Option<RecordsReply>),
    Registered(u8, RegisterReply),
    NotRegistered(u8, u8),
    Envelope(u64, bool),
    Stored(u64, u8),
    Accept(u32, Vec<u8>, Option<String>, Option<u64>, bool),
    Cancel(u32, [u8; 16]),
    Cadence(u32),
    Paused(bool),
    Stop(bool),
}

/// Three servers that sign what the script needs, without any arithmetic.
pub(crate) struct Committee {
    pub(crate) servers: Vec<Identity>,
    pub(crate) descriptor: Descriptor,
}

impl Committee {
    pub(crate) fn new() -> Self {
        let mut servers: Vec<Identity> = (100..103).map(identity).collect();
        servers.sort_by_key(Identity::peer_id);
        let params = Params { slots: 8, slot_bytes: 32, cells: 48, ..Params::dev(3) };
        let ids = servers.iter().map(Identity::peer_id).collect();
        let descriptor = Descriptor::new("test", params, ids).unwrap();
        Self { servers, descriptor }
    }

    pub(crate) fn header(
        &self,
        round: u64,
        prev: RecordDigest,
        roster: [u8; 32],
        roster_len: u32,
    ) -> SignedHeader {
        let header = Header {
            deployment: self.descriptor.id(),
            round,
            prev,
            servers: self.descriptor.servers.clone(),
            aggregators: vec![PeerId([1; 32]), PeerId([2; 32])],
            roster,
            roster_len,
        };
        let signatures = self.servers.iter().map(|s| header.sign(s)).collect();
        SignedHeader { header, signatures }
    }

    pub(crate) fn record(&self, header: &Header, message: &[u8]) -> SignedRecord {
        let mut participants = Bitmap::new(header.roster_len);
        (0..header.roster_len).for_each(|i| participants.set(i));
        let record = Record {
            deployment: header.deployment,
            round: header.round,
            header_digest: header.digest(),
            aggregate_digest: [7; 32],
            prev: header.prev,
            participants,
            servers: header.servers.clone(),
            reservations: vec![5, 900],
            messages: vec![(1, message.to_vec())],
            garbled: vec![3],
        };
        self.sign(record)
    }

    pub(crate) fn sign(&self, record: Record) -> SignedRecord {
        let signatures = self.servers.iter().map(|s| (s.peer_id(), record.sign(s))).collect();
        SignedRecord { record, signatures }
    }
}

/// The recorded script, and what it left on the disk.
pub(crate) struct Script {
    pub(crate) committee: Committee,
    pub(crate) told: Vec<Told>,
    pub(crate) rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// Headers that were signed by all.
    pub(crate) rounds: u64,
}

thread_local! {
    pub(crate) static SCRIPT: LazyCell<Script> = const { LazyCell::new(script) };
}

/// A fresh core with its time.
pub(crate) struct Life {
    pub(crate) core: Core,
    pub(crate) now: u64,
    servers: Vec<PeerId>,
    /// The last round that was sealed.
    sealed: u64,
    /// Whether it is done.
    stopped: bool,
}

impl Life {
    pub(crate) fn new(descriptor: &Descriptor, loaded: Loaded) -> Self {
        let servers = descriptor.servers.clone();
        let config = CoreConfig {
            identity: Arc::new(identity(1)),
            descriptor: descriptor.clone(),
            pinned_servers: vec![],
            cadence: 1,
            standing: None,
            daemon_uid: 77,
        };
        let core = Core::new(config, loaded, &Zeroizing::new([8; 32]), START);
        Self { core, now: START, servers, sealed: 0, stopped: false }
    }

    fn server(&self, n: u8) -> PeerId {
        self.servers.get(usize::from(n)).copied().unwrap_or(PeerId([n; 32]))
    }

    /// Tells it something. What must hold after every input: no round is sealed twice, and no message waits for ever.
    pub(crate) fn tell(&mut self, told: Told, signed_rounds: u64) -> Vec<Output> {
        if self.stopped {
            return Vec::new();
        }
        let input = match told {
            Told::Tick(ms) => {
                self.now += u64::from(ms);
                Input::Tick
            }
            Told::Link(peer, up) => Input::Link { peer: self.server(peer), up },
            Told::Event(from, event) => Input::Event { from: self.server(from), event },
            Told::Roster(digest, roster) => Input::Roster { digest, roster: roster.map(Box::new) },
            Told::Records(from_round, server, reply) => {
                Input::Records { from_round, server: self.server(server), reply }
            }
            Told::Registered(server, reply) => {
                Input::Register { server: self.server(server), result: Ok(reply) }
            }
            Told::NotRegistered(server, why) => {
                let why = match why % 4 {
                    0 => RegisterFailure::Unreachable,
                    1 => RegisterFailure::Boot,
                    2 => RegisterFailure::Evicted,
                    _ => RegisterFailure::Refused("no".to_owned()),
                };
                Input::Register { server: self.server(server), result: Err(why) }
            }
            Told::Envelope(round, taken) => Input::Envelope { round, taken },
            Told::Stored(ticket, how) => {
                let failures = [Ok(()), Err(StoreFailure::Full), Err(StoreFailure::Failed)];
                Input::Stored { ticket, result: failures[usize::from(how) % 3] }
            }
            Told::Accept(uid, payload, request_id, ttl_ms, receipt) => {
                let command = Command::Accept { uid, payload, request_id, ttl_ms, receipt };
                Input::Command { reply: 1, command }
            }
            Told::Cancel(uid, id) => {
                Input::Command { reply: 2, command: Command::Cancel { uid, id: MessageId(id) } }
            }
            Told::Cadence(n) => Input::SetCadence(n),
            Told::Paused(paused) => Input::SetPaused(paused),
            Told::Stop(linger) => Input::Stop { linger },
        };
        let out = self.core.step(self.now, input);
        for output in &out {
            match output {
                Output::SendEnvelope { envelope, .. } => {
                    assert!(envelope.round > self.sealed, "round {} is sealed twice", envelope.round);
                    assert!(envelope.round <= signed_rounds, "sealed under a header that nobody signed");
                    self.sealed = envelope.round;
                }
                Output::Stopped => self.stopped = true,
                _ => {}
            }
        }
        assert_eq!(self.core.stuck(), None);
        out
    }
}

fn script() -> Script {
    let committee = Committee::new();
    let mut play = Play {
        life: Life::new(&committee.descriptor, Loaded::default()),
        told: Vec::new(),
        rows: Vec::new(),
        vouches: vec![[0; 32]; 3],
        chains: Vec::new(),
        envelope: None,
        session: [0; 32],
        committee: &committee,
    };
    play.tell(Told::Tick(1));
    (0..3).for_each(|n| play.tell(Told::Link(n, true)));
    play.tell(Told::Accept(UID, b"hello".to_vec(), Some("a".to_owned()), None, true));
    let roster = play.roster();
    let mut last: Option<(Record, RecordDigest)> = None;
    for round in 1..=ROUNDS {
        let prev = last.as_ref().map_or(committee.descriptor.id().0, |last| last.1);
        let signed = committee.header(round, prev, roster.digest(), roster.entries().len() as u32);
        let open = Event::Open { header: Box::new(signed.clone()), roster: RosterUpdate::Fetch };
        play.tell(Told::Event((round % 3) as u8, open));
        play.tell(Told::Roster(roster.digest(), Some(roster.clone())));
        play.tell(Told::Tick(100));
        play.tell(Told::Envelope(round, true));
        let record = play.finish(&signed.header, last.as_ref());
        last = Some((record.clone(), record.digest()));
        play.tell(Told::Event(0, Event::Ended(Ended::Final(Box::new(committee.sign(record))))));
        play.tell(Told::Tick(800));
    }
    let published = last.is_some_and(|(record, _)| record.reservations.len() == 1);
    assert!(published, "the client takes part in its own script");
    let (told, rows) = (play.told, play.rows);
    Script { told, rows, rounds: ROUNDS, committee }
}

/// The life while it is recorded.
struct Play<'a> {
    life: Life,
    told: Vec<Told>,
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    vouches: Vec<[u8; 32]>,
    session: [u8; 32],
    /// What the servers share with the client.
    chains: Vec<(usize, Chain)>,
    envelope: Option<Envelope>,
    committee: &'a Committee,
}

impl Play<'_> {
    /// Tells it something, and then what its servers and its disk answer.
    fn tell(&mut self, told: Told) {
        self.told.push(told.clone());
        for output in self.life.tell(told, ROUNDS) {
            match output {
                Output::Write { ticket, ops } => {
                    for op in ops {
                        if let Op::Put { key, value } = op {
                            self.rows.retain(|(k, _)| *k != key);
                            self.rows.push((key, value));
                        }
                    }
                    self.tell(Told::Stored(ticket, 0));
                }
                Output::Register { server, call } => {
                    let n = self.committee.descriptor.servers.iter().position(|s| *s == server).unwrap();
                    let reply = self.register(n, call);
                    self.tell(Told::Registered(n as u8, reply));
                }
                Output::FetchRecords { from_round, .. } => {
                    let reply = RecordsReply { earliest: 0, latest: 0, items: vec![] };
                    self.tell(Told::Records(from_round, 0, Some(reply)));
                }
                Output::SendEnvelope { envelope, .. } => self.envelope = Some(envelope),
                _ => {}
            }
        }
    }

    fn register(&mut self, n: usize, call: RegisterCall) -> RegisterReply {
        let (server, boot) = (&self.committee.servers[n], [n as u8; 32]);
        let request = match call {
            RegisterCall::Boot(_) => return RegisterReply::Boot(boot, server.server_bundle(), true),
            RegisterCall::Register(request) => request,
        };
        let random = Zeroizing::new([n as u8 + 20; 32]);
        let id = self.committee.descriptor.id();
        let (chain, answer) = register::answer(server, id, boot, 1, &request, &random).unwrap();
        self.chains.retain(|(of, _)| *of != n);
        self.chains.push((n, chain));
        let body = request.trusted();
        self.session = body.session;
        self.vouches[n] = vouch_digest(&body.ephemeral, &answer.trusted().ephemeral);
        RegisterReply::Answer(Box::new(answer))
    }

    /// The record of a round in which the others sealed nothing but zeros, under pads of zeros.
    fn finish(&mut self, header: &Header, last: Option<&(Record, RecordDigest)>) -> Record {
        let params = &self.committee.descriptor.params;
        let (digest, bytes) = (header.digest(), params.vector_bytes());
        let mut fold = Fold::new(params, header);
        (0..header.roster_len).for_each(|i| fold.participants.set(i));
        let mut partials = Vec::new();
        if let Some(envelope) = self.envelope.take().filter(|envelope| envelope.round == header.round) {
            fold.vector = envelope.vector;
            for (_, chain) in &mut self.chains {
                partials.push(pad::sum(&[chain.take(header.round, &digest).unwrap()], bytes).to_vec());
            }
        }
        let owned = owned_slots(params, header, last.map(|(record, digest)| (record, digest)));
        let partials: Vec<&[u8]> = partials.iter().map(Vec::as_slice).collect();
        finalize(params, header, owned, &fold, &partials)
    }

    /// The client and four others.
    fn roster(&self) -> Roster {
        let me = identity(1).client_bundle().client_id();
        let other = |n: u8| Entry { client: ClientId([n; 32]), session: [n; 32], vouches: vec![[n; 32]; 3] };
        let mine = Entry { client: me, session: self.session, vouches: self.vouches.clone() };
        let mut entries: Vec<Entry> = (1..5).map(other).chain([mine]).collect();
        entries.sort_by_key(|entry| entry.client);
        Roster::new(entries).unwrap()
    }
}
