//! The client as a state machine: what it says in which round, and what became of it (protocol.md R2 to R5, R8 to R12).
//!
//! Pure: no I/O, no clock, no tokio, no global randomness, nothing whose order is random. Time and everything that
//! happened come in, things to do come out; the same inputs and the same seed give the same outputs.
//!
//! What leaves the host never depends on having a message: per sealed round one write of two records of fixed size, one
//! envelope of fixed length at a moment drawn without looking; per piece of news about a round one write of one record.
//! Only callers (accept, cancel) and the clock (expiry) cause other writes, and a restart with messages reads more log.
//! Who asks for a receipt asks for one more thing in that write: it has the published record, as long as that is.

mod attest;
mod commands;
pub mod config;
mod draw;
mod fetch;
pub mod input;
mod ledger;
pub mod message;
pub mod output;
mod pace;
mod queue;
mod quiet;
mod receipts;
mod registration;
mod rescan;
pub mod roll;
mod rounds;
mod scan;
mod seal;
mod settle;
mod settling;
pub mod status;
pub mod stop;
pub mod store;
mod view;
mod watch;
mod writes;

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;
use zipnet_dcnet::ids::{ClientId, DeploymentId, PeerId};
use zipnet_dcnet::wire::{Ended, Event};

pub use self::config::CoreConfig;
pub use self::input::Input;
pub use self::message::{MessageId, MessageView};
pub use self::output::{Answer, Notice, Output, Refusal};
pub use self::status::Status;
pub use self::store::Loaded;
pub use self::watch::Changes;

use self::config::MAX_CADENCE;
use self::draw::Draw;
use self::fetch::Fetch;
use self::ledger::Ledger;
use self::pace::Pace;
use self::queue::Queue;
use self::receipts::Receipts;
use self::registration::Registrar;
use self::rounds::Rounds;
use self::scan::Scan;
use self::stop::Stopping;
use self::store::Layout;
use self::writes::Writes;

/// The state machine. No `Debug`: it holds keys and messages.
pub struct Core {
    cfg: CoreConfig,
    deployment: DeploymentId,
    client: ClientId,
    layout: Layout,
    draw: Draw,
    registrar: Registrar,
    ledger: Ledger,
    rounds: Rounds,
    pace: Pace,
    queue: Queue,
    receipts: Receipts,
    /// The message that a reservation under way would carry, as far as watchers know.
    shown_reserved: Option<MessageId>,
    scan: Scan,
    fetch: Fetch,
    writes: Writes,
    stopping: Option<Stopping>,
    /// The operator wants cover only.
    paused: bool,
    /// Links that are up.
    links: BTreeSet<PeerId>,
    /// How often something of a server did not hold; servers of the descriptor only.
    refusals: BTreeMap<PeerId, u32>,
    /// When a server was last heard.
    heard_at: Option<u64>,
    started_at: u64,
    /// Time and sequence number of the last message id.
    last_id: (u64, u16),
    now: u64,
    out: Vec<Output>,
}

impl Core {
    /// A client that starts at `now`, in Unix milliseconds, with what its store held. The seed is used for nothing else.
    pub fn new(mut cfg: CoreConfig, loaded: Loaded, rng_seed: &Zeroizing<[u8; 32]>, now: u64) -> Self {
        cfg.cadence = cfg.cadence.clamp(1, MAX_CADENCE);
        let deployment = cfg.descriptor.id();
        let mut draw = Draw::new(rng_seed);
        let servers = &cfg.descriptor.servers;
        let attested = cfg.descriptor.admission.asks_clients();
        let registrar = Registrar::new(servers, attested, &mut draw);
        let pace = Pace::new(cfg.descriptor.params.warm_up, &mut draw);
        let mut core = Self {
            deployment,
            client: cfg.identity.client_bundle().client_id(),
            layout: Layout::new(&cfg.descriptor.params),
            registrar,
            ledger: Ledger::new(&cfg.descriptor, deployment, &cfg.pinned_servers),
            rounds: Rounds::default(),
            pace,
            queue: Queue::new(draw.ids.bytes()),
            receipts: Receipts::new(loaded.receipts),
            shown_reserved: None,
            scan: Scan::new(loaded.known_round),
            fetch: Fetch::default(),
            writes: Writes::default(),
            stopping: None,
            paused: false,
            links: BTreeSet::new(),
            refusals: BTreeMap::new(),
            heard_at: None,
            started_at: now,
            last_id: (0, 0),
            now,
            out: Vec::new(),
            draw,
            cfg,
        };
        core.out.push(Output::Notice(Notice::SessionStarted { servers: core.cfg.descriptor.servers.len() }));
        core.load(loaded.messages);
        core
    }

    /// One thing happened. Time that goes back is taken as standing still. After [`Output::Stopped`] nothing comes.
    pub fn step(&mut self, now: u64, input: Input) -> Vec<Output> {
        if self.stopping.as_ref().is_some_and(Stopping::is_over) {
            return Vec::new();
        }
        self.now = self.now.max(now);
        match input {
            Input::Tick => {}
            Input::Link { peer, up } => self.link(peer, up),
            Input::Event { from, event } => self.event(from, event),
            Input::Roster { digest, roster } => self.roster(digest, roster),
            Input::Records { from_round, server, reply } => self.records(from_round, server, reply),
            Input::Register { server, result } => {
                let (draw, out) = (&mut self.draw, &mut self.out);
                let identity = &self.cfg.identity;
                if self.registrar.answered(self.now, &server, result, identity, draw, out) {
                    self.new_session();
                }
            }
            Input::Attested { session, result } => {
                let (draw, out) = (&mut self.draw, &mut self.out);
                self.registrar.attested(self.now, &session, result, draw, out);
            }
            Input::Envelope { round, taken } => self.rounds.envelope(round, taken),
            Input::Stored { ticket, result } => self.stored(ticket, result),
            Input::Command { reply, command } => self.command(reply, command),
            Input::SetCadence(cadence) => self.cfg.cadence = cadence.clamp(1, MAX_CADENCE),
            Input::SetPaused(paused) => self.pause(paused),
            Input::Stop { linger } => self.stop(linger),
        }
        self.expire();
        self.close_window();
        let (draw, out) = (&mut self.draw, &mut self.out);
        if self.stopping.as_ref().is_none_or(|s| !s.is_over()) {
            self.registrar.note_tip(self.ledger.tip().map(|known| (known.record.round, known.digest)));
            self.registrar.poll(self.now, &self.cfg.identity, self.deployment, draw, out);
            self.fetch.poll(self.now, draw, out);
        }
        self.stop_if_done();
        self.show_reserved();
        std::mem::take(&mut self.out)
    }

    /// When [`Input::Tick`] is due, in Unix milliseconds.
    pub fn next_wake(&self) -> u64 {
        let fold = u64::from(self.cfg.descriptor.params.fold_deadline_ms);
        let wakes = [
            self.registrar.next_wake(),
            self.fetch.next_wake(),
            self.queue.next_wake(),
            self.rounds.next_wake(fold),
            self.stopping.as_ref().map(Stopping::next_wake),
        ];
        wakes.into_iter().flatten().min().unwrap_or(u64::MAX).max(self.now + 1)
    }

    fn link(&mut self, peer: PeerId, up: bool) {
        let server = self.cfg.descriptor.servers.binary_search(&peer).is_ok();
        match (server, up) {
            (true, true) => {
                self.links.insert(peer);
                self.registrar.link_up(&peer, self.now);
            }
            (true, false) => {
                self.links.remove(&peer);
            }
            (false, up) => self.rounds.aggregator_link(peer, up),
        }
    }

    fn event(&mut self, from: PeerId, event: Event) {
        if self.cfg.descriptor.servers.binary_search(&from).is_err() {
            return;
        }
        self.heard_at = Some(self.now);
        match event {
            Event::Open { header, roster } => self.open(from, *header, &roster),
            Event::Ended(ended) => self.ended(from, ended),
            Event::Boot(nonce) => self.registrar.boot(&from, nonce),
        }
    }

    fn ended(&mut self, from: PeerId, ended: Ended) {
        let news = match ended {
            Ended::Final(signed) if signed.signatures.is_empty() => false,
            Ended::Final(signed) => match signed.verify(&self.cfg.descriptor, &self.deployment) {
                Ok((digest, _)) => self.ledger.add(from, *signed, digest),
                Err(error) => {
                    self.refused(from, error.to_string());
                    false
                }
            },
            Ended::Abandoned(abandoned) => self.ledger.add_abandoned(&abandoned),
        };
        if news {
            self.news();
            self.try_seal();
        }
    }

    /// Something new is known about a round that ended.
    fn news(&mut self) {
        self.absorb();
        self.write_news();
    }

    /// Something of a server does not hold. Told at its 1st, 2nd, 4th, 8th, … time: nobody but us fills our log.
    fn refused(&mut self, from: PeerId, text: String) {
        let times = self.refusals.entry(from).or_default();
        *times = times.saturating_add(1);
        if times.is_power_of_two() {
            self.out.push(Output::Notice(Notice::Refused { from, text, times: *times }));
        }
    }

    fn new_session(&mut self) {
        self.registrar.new_session(&mut self.draw);
        self.pace.new_session(self.cfg.descriptor.params.warm_up, &mut self.draw);
        self.rounds.forget_reservation();
        let servers = self.cfg.descriptor.servers.len();
        self.out.push(Output::Notice(Notice::SessionStarted { servers }));
    }
}
