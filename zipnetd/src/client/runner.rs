//! The task that owns the core: everything that happens goes through here, one thing at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tracing::{debug, error, info, warn};
use zeroize::Zeroizing;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::wire::{Ended, Event};
use zipnet_network::links::{Links, LinksConfig, Role};
use zipnet_network::universe::LEAVE_TIMEOUT;
use zipnet_proto::{Reason, Refused};
use zipnet_store::Store;

use super::clock::Clock;
use super::events::Subscription;
use super::execute::{Hands, refused};
use super::find::{Find, NotFound, Place, Search};
use super::handle::{Request, View, instance_unknown};
use super::log::Log;
use super::memory::Memory;
use super::peers::Peers;
use super::status::{self, Connection};
use super::{ClientConfig, ClientError, Feed, MAX_FEED, Stop};
use crate::core::Core;
use crate::core::config::CoreConfig;
use crate::core::input::{Command, Input};
use crate::core::output::TREE;
use crate::core::store::Loaded;
use crate::failure::{CONNECT_TIMEOUT_HINT, OTHER_DEPLOYMENT_HINT};
use crate::metrics;

/// How often links are looked at.
const LINK_POLL: Duration = Duration::from_millis(200);
/// Without any server for this long, addresses are looked for again.
const ALONE: Duration = Duration::from_secs(15);
/// Pairs per scan of the store.
const SCAN: usize = 1_000;
/// How long the core may sleep at most: clocks drift.
const MAX_SLEEP_MS: u64 = 60_000;
/// Round deadlines without an event after which another server is listened to.
const STALLED_DEADLINES: u32 = 3;
/// Drain: what two warm-ups take beyond their rounds.
const DRAIN_MARGIN: Duration = Duration::from_secs(15);

impl ClientConfig {
    /// Where to look for the instance.
    pub(super) fn place(&self) -> Place {
        Place {
            identity: self.identity.clone(),
            instance: self.instance.clone(),
            universe: self.universe.clone(),
            bootstrap: self.bootstrap.clone(),
            relay: self.relay.clone(),
            listen: self.listen,
        }
    }

    /// Whether the standing message fits a slot.
    pub(super) fn fits(&self, descriptor: &Descriptor) -> Result<(), ClientError> {
        let (len, max) = (self.standing.as_ref().map_or(0, Vec::len), descriptor.params.max_payload());
        if len > max { Err(ClientError::MessageTooLong { len, max }) } else { Ok(()) }
    }
}

/// What there is once the deployment is known.
struct Live {
    core: Core,
    descriptor: Descriptor,
    hands: Hands,
    /// What was last told to the core about each link.
    links: Vec<(PeerId, bool)>,
    subscription: JoinHandle<()>,
    next_reply: u64,
}

/// See the module.
pub(super) struct Runner {
    config: ClientConfig,
    memory: Memory,
    clock: Clock,
    feed: mpsc::Receiver<Feed>,
    feeder: mpsc::Sender<Feed>,
    requests: mpsc::Receiver<Request>,
    stop: watch::Receiver<Stop>,
    changes: watch::Sender<u64>,
    view: watch::Sender<Option<View>>,
    connection: Connection,
    again: Arc<Notify>,
    live: Option<Live>,
    /// When the last server went.
    alone_since: Instant,
    /// Failures of the search in a row; logged at the 1st, 2nd, 4th, 8th, …
    misses: u32,
    /// For the metrics: the last round whose end was seen.
    last_ended: u64,
}

impl Runner {
    pub(super) async fn new(
        config: ClientConfig,
        requests: mpsc::Receiver<Request>,
        stop: watch::Receiver<Stop>,
    ) -> Result<Self, ClientError> {
        let memory = Memory::open(config.store.clone(), config.state_dir.clone(), &config.instance).await?;
        let (feeder, feed) = mpsc::channel(MAX_FEED);
        let known = memory.descriptor.clone();
        let mut runner = Self {
            config,
            memory,
            clock: Clock::new(),
            feed,
            feeder,
            requests,
            stop,
            changes: watch::Sender::new(0),
            view: watch::Sender::new(None),
            connection: Connection { missing: None, since: None },
            again: Arc::new(Notify::new()),
            live: None,
            alone_since: Instant::now(),
            misses: 0,
            last_ended: 0,
        };
        if let Some(descriptor) = known {
            // Known from an earlier run: messages are taken before anybody is found.
            runner.begin(descriptor).await?;
        }
        Ok(runner)
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn view(&self) -> watch::Receiver<Option<View>> {
        self.view.subscribe()
    }

    /// Runs until it is stopped, or cannot go on.
    pub(super) async fn run(mut self) -> Result<(), ClientError> {
        if self.config.public {
            info!(client = %self.config.identity.client_bundle().client_id().short(), "spawning zipnet client");
        }
        let known = self.config.instance.pin.or_else(|| self.memory.descriptor.as_ref().map(Descriptor::id));
        let search = Search {
            place: self.config.place(),
            known,
            feed: self.feeder.clone(),
            again: self.again.clone(),
        };
        let search = tokio::spawn(search.run());
        let result = self.work().await;
        self.close(search).await;
        result
    }

    async fn work(&mut self) -> Result<(), ClientError> {
        let mut poll = interval(LINK_POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wake = self.wake();
            let done = tokio::select! {
                Some(feed) = self.feed.recv() => match feed {
                    Feed::Input(input) => self.input(input),
                    Feed::Find(find) => {
                        self.found(find).await?;
                        false
                    }
                },
                Some(request) = self.requests.recv() => self.request(request),
                () = sleep_until(wake) => self.step(Input::Tick),
                _ = poll.tick() => self.poll_links(),
                changed = self.stop.changed() => {
                    let gone = changed.is_err();
                    let stop = *self.stop.borrow_and_update();
                    self.live.is_none()
                        || self.step(Input::Stop { linger: stop == Stop::Drain })
                        // Otherwise the core says when writes under way are done.
                        || gone
                }
            };
            if done {
                return Ok(());
            }
        }
    }

    /// When the core wants to be woken.
    fn wake(&mut self) -> Instant {
        let now = self.clock.now();
        let at = self.live.as_ref().map_or(u64::MAX, |live| live.core.next_wake());
        Instant::now() + Duration::from_millis(at.saturating_sub(now).min(MAX_SLEEP_MS))
    }

    /// One step of the core; `true` when it is done.
    fn step(&mut self, input: Input) -> bool {
        let now = self.clock.now();
        let Some(live) = &mut self.live else { return false };
        let mut done = false;
        for output in live.core.step(now, input) {
            done |= live.hands.execute(now, output);
        }
        self.changes.send_modify(|n| *n += 1);
        done
    }

    fn input(&mut self, input: Input) -> bool {
        if let Input::Event { event, .. } = &input {
            self.watch_event(event);
        }
        self.step(input)
    }

    /// For the metrics, and for addresses that lack.
    fn watch_event(&mut self, event: &Event) {
        match event {
            Event::Ended(ended) if ended.round() > self.last_ended => {
                self.last_ended = ended.round();
                let record = match ended {
                    Ended::Final(signed) => Some((signed.record.count(), signed.record.servers.len() as u32)),
                    Ended::Abandoned(_) => None,
                };
                if self.config.public {
                    metrics::round_ended(record);
                }
            }
            Event::Open { header, .. } => {
                let header = &header.header;
                let named = header.servers.iter().chain(&header.aggregators);
                if self.live.as_ref().is_some_and(|live| !live.hands.peers.knows(named)) {
                    self.again.notify_one();
                }
            }
            _ => {}
        }
    }

    fn request(&mut self, request: Request) -> bool {
        match request {
            Request::Accept { caller, message, reply } => {
                let Some(live) = &mut self.live else {
                    let _ = reply.send(Err(self.unknown()));
                    return false;
                };
                live.next_reply += 1;
                let number = live.next_reply;
                live.hands.replies.insert(number, reply);
                let command = Command::Accept {
                    uid: caller.uid,
                    payload: message.payload,
                    request_id: message.request_id,
                    ttl_ms: message.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
                };
                return self.step(Input::Command { reply: number, command });
            }
            Request::Get { caller, id, reply } => {
                let answer = match (&self.live, id.parse()) {
                    (None, _) => Err(self.unknown()),
                    (Some(live), Ok(id)) => {
                        live.core.message(caller.uid, &id).map(status::message).map_err(|no| refused(&no))
                    }
                    (_, Err(error)) => Err(Refused {
                        reason: Reason::InvalidRequest,
                        message: crate::core::message::MessageIdError::to_string(&error),
                        retry_after: None,
                    }),
                };
                let _ = reply.send(answer);
            }
            Request::Status { caller, reply } => {
                let core = self.live.as_ref().map(|live| (&live.descriptor, live.core.status(caller.uid)));
                let core = core.as_ref().map(|(descriptor, status)| (*descriptor, status));
                let _ = reply.send(status::status(&self.config, &self.connection, core));
            }
        }
        false
    }

    /// Why nothing can be done without a deployment.
    fn unknown(&self) -> Refused {
        let mut refused = instance_unknown();
        if let Some(missing) = &self.connection.missing {
            refused.message = format!("{}: {missing}", refused.message);
        }
        refused
    }

    async fn found(&mut self, find: Find) -> Result<(), ClientError> {
        match find {
            Find::Up => {
                if self.config.public {
                    info!(
                        network = self.config.universe,
                        instance = self.config.instance.name,
                        peer = %self.config.identity.peer_id().short(),
                        role = "client",
                        "zipnet up"
                    );
                }
            }
            Find::Nothing(why) => self.missed(why),
            Find::Links(links) => {
                if let Some(live) = &self.live {
                    links.into_iter().for_each(|link| live.hands.peers.learn(link));
                }
            }
            Find::Found(answer) => {
                self.misses = 0;
                self.connection.missing = None;
                if self.memory.descriptor.is_none() {
                    self.config.fits(&answer.descriptor)?;
                    self.memory.remember(&answer.descriptor).await?;
                    if self.config.public && self.config.instance.pin.is_none() {
                        warn!(
                            deployment = %answer.descriptor.id(),
                            "unpinned: this deployment was taken on the bootstrap peer's word, and is remembered"
                        );
                    }
                }
                if self.live.is_none() {
                    self.begin(answer.descriptor).await?;
                }
                if let Some(live) = &self.live {
                    answer.links.into_iter().for_each(|link| live.hands.peers.learn(link));
                }
            }
        }
        Ok(())
    }

    /// The instance was not found. Told at the 1st, 2nd, 4th, 8th, … time; the search goes on.
    fn missed(&mut self, why: NotFound) {
        self.misses = self.misses.saturating_add(1);
        if self.config.public && self.misses.is_power_of_two() && self.connection.since.is_none() {
            let attempts = self.misses;
            match &why {
                NotFound::OtherDeployment { .. } => error!(attempts, hint = OTHER_DEPLOYMENT_HINT, "{why}"),
                NotFound::Nobody { .. } => {
                    error!(attempts, hint = CONNECT_TIMEOUT_HINT, "ConnectTimeout: {why}; trying again");
                }
                NotFound::Universe(_) => error!(attempts, "ConnectTimeout: {why}; trying again"),
            }
        }
        self.connection.missing = Some(why);
    }

    /// The deployment is known: links, core, subscription.
    async fn begin(&mut self, descriptor: Descriptor) -> Result<(), ClientError> {
        self.config.fits(&descriptor)?;
        let loaded = load(&*self.config.store, &self.memory)?;
        let links = Links::bind(LinksConfig {
            identity: self.config.identity.clone(),
            role: Role::Client,
            deployment: descriptor.id(),
            // The port named is that of the universe.
            listen: self.config.listen.map(|addr| SocketAddr::new(addr.ip(), 0)),
            announce: Vec::new(),
        })
        .await?;
        let peers = Peers::new(links, &descriptor);
        let log = self.config.public.then(|| Log::new(descriptor.clone()));
        let params = &descriptor.params;
        let subscription = Subscription {
            peers: peers.clone(),
            log: log.clone(),
            feed: self.feeder.clone(),
            stall: Duration::from_millis(params.round_deadline_ms.into()) * STALLED_DEADLINES,
        };
        let period = Duration::from_millis(params.round_period_ms.into());
        let grace = period * params.warm_up * 2 + DRAIN_MARGIN;
        let mut seed = Zeroizing::new([0; 32]);
        SysRng.try_fill_bytes(&mut *seed).expect("invariant: the system gives randomness");
        let config = CoreConfig {
            identity: self.config.identity.clone(),
            descriptor: descriptor.clone(),
            pinned_servers: Vec::new(),
            cadence: self.config.cadence,
            standing: self.config.standing.clone(),
            daemon_uid: self.config.uid,
        };
        let now = self.clock.now();
        let core = Core::new(config, loaded, &seed, now);
        let hands = Hands {
            peers: peers.clone(),
            store: self.config.store.clone(),
            log: log.clone(),
            feed: self.feeder.clone(),
            public: self.config.public,
            tasks: JoinSet::new(),
            replies: std::collections::BTreeMap::new(),
        };
        self.live = Some(Live {
            core,
            descriptor,
            hands,
            links: Vec::new(),
            subscription: tokio::spawn(subscription.run()),
            next_reply: 0,
        });
        self.view.send_replace(Some(View { log, peers, grace }));
        self.step(Input::Tick);
        Ok(())
    }

    /// Tells the core which links came up or went down, and asks for addresses when none is up for long.
    fn poll_links(&mut self) -> bool {
        let Some(live) = &mut self.live else { return false };
        let states = live.hands.peers.states();
        let was = std::mem::replace(&mut live.links, states.clone());
        let any = live.hands.peers.any_server_up();
        if any {
            self.alone_since = Instant::now();
            if self.connection.since.is_none() {
                self.connection.since = Some(self.clock.now());
            }
        } else {
            if self.connection.since.take().is_some() {
                debug!("no server is reachable");
                self.alone_since = Instant::now();
            }
            if self.alone_since.elapsed() >= ALONE {
                self.alone_since = Instant::now();
                self.again.notify_one();
            }
        }
        let mut done = false;
        for (peer, up) in states {
            let before = was.iter().any(|(known, was_up)| *known == peer && *was_up);
            if up != before {
                done |= self.step(Input::Link { peer, up });
            }
        }
        done
    }

    /// Ends everything, in bounded time. What was accepted is in the store already.
    async fn close(mut self, search: JoinHandle<()>) {
        self.requests.close();
        self.feed.close();
        self.view.send_replace(None);
        if let Some(mut live) = self.live.take() {
            live.subscription.abort();
            live.hands.tasks.shutdown().await;
            live.hands.peers.close().await;
        }
        if self.config.public {
            metrics::registered(false);
        }
        let abort = search.abort_handle();
        if timeout(LEAVE_TIMEOUT, search).await.is_err() {
            abort.abort();
        }
    }
}

/// All messages of the store.
fn load(store: &dyn Store, memory: &Memory) -> Result<Loaded, ClientError> {
    let mut pairs = Vec::new();
    let mut from = Vec::new();
    loop {
        let piece = store.scan(TREE, &from, SCAN).map_err(super::MemoryError::Store)?;
        let full = piece.len() == SCAN;
        if let Some((last, _)) = piece.last() {
            // The next key there can be.
            from = [last.as_slice(), &[0]].concat();
        }
        pairs.extend(piece);
        if !full {
            break;
        }
    }
    Loaded::from_pairs(pairs).map_err(|error| ClientError::Load { dir: memory.dir().to_owned(), error })
}
