//! The task that owns the core: everything that happens goes through here, one thing at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tracing::{debug, info};
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::wire::Event;
use zipnet_network::universe::LEAVE_TIMEOUT;

use super::clock::Clock;
use super::disk::Disk;
use super::execute::Hands;
use super::find::Search;
use super::handle::{Request, View};
use super::memory::Memory;
use super::status::Connection;
use super::{ClientConfig, ClientError, Feed, MAX_FEED, Stop};
use crate::core::Core;
use crate::core::input::Input;
use crate::metrics;

/// How often links are looked at.
const LINK_POLL: Duration = Duration::from_millis(200);
/// Without any server for this long, addresses are looked for again.
const ALONE: Duration = Duration::from_secs(15);
/// How long the core may sleep at most: clocks drift.
const MAX_SLEEP_MS: u64 = 60_000;

/// What there is once the deployment is known.
pub(super) struct Live {
    pub(super) core: Core,
    pub(super) descriptor: Descriptor,
    pub(super) hands: Hands,
    /// What was last told to the core about each link: the connection that is up.
    pub(super) links: Vec<(PeerId, Option<u64>)>,
    pub(super) subscription: JoinHandle<()>,
    pub(super) next_reply: u64,
}

/// See the module.
pub(super) struct Runner {
    pub(super) config: ClientConfig,
    pub(super) memory: Memory,
    pub(super) clock: Clock,
    pub(super) feed: mpsc::Receiver<Feed>,
    pub(super) feeder: mpsc::Sender<Feed>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) stop: watch::Receiver<Stop>,
    /// The number of the last change of a message.
    pub(super) changes: watch::Sender<u64>,
    /// Steps of the core.
    pub(super) steps: watch::Sender<u64>,
    /// Turns of the loop: while it works, there are several in each second, whatever happens or does not.
    pub(super) turns: Arc<AtomicU64>,
    /// Only cover leaves; not remembered across a restart.
    pub(super) paused: bool,
    pub(super) disk: Disk,
    /// In Unix milliseconds.
    pub(super) started_at: u64,
    pub(super) view: watch::Sender<Option<View>>,
    pub(super) connection: Connection,
    pub(super) again: Arc<Notify>,
    pub(super) live: Option<Live>,
    /// When the last server went.
    pub(super) alone_since: Instant,
    /// Failures of the search in a row; logged at the 1st, 2nd, 4th, 8th, …
    pub(super) misses: u32,
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
        let mut clock = Clock::new();
        let mut runner = Self {
            disk: Disk::new(config.store.clone(), config.state_dir.clone()),
            config,
            memory,
            started_at: clock.now(),
            clock,
            feed,
            feeder,
            requests,
            stop,
            changes: watch::Sender::new(0),
            steps: watch::Sender::new(0),
            turns: Arc::default(),
            paused: false,
            view: watch::Sender::new(None),
            connection: Connection { missing: None, since: None },
            again: Arc::new(Notify::new()),
            live: None,
            alone_since: Instant::now(),
            misses: 0,
        };
        if let Some(descriptor) = known {
            // Known from an earlier run: messages are taken before anybody is found.
            runner.begin(descriptor).await?;
        }
        Ok(runner)
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
            self.turns.fetch_add(1, Ordering::Relaxed);
            let wake = self.wake();
            let done = tokio::select! {
                Some(feed) = self.feed.recv() => match feed {
                    Feed::Input(input) => self.input(input),
                    Feed::Find(find) => {
                        self.found(find).await?;
                        false
                    }
                },
                // What a round writes must not stand behind what callers write: who sends much would miss rounds, and be seen.
                Some(request) = self.requests.recv(), if !self.config.store.behind() => self.request(request),
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
    pub(super) fn step(&mut self, input: Input) -> bool {
        let now = self.clock.now();
        let Some(live) = &mut self.live else { return false };
        let mut done = false;
        for output in live.core.step(now, input) {
            done |= live.hands.execute(now, output);
        }
        let last = live.core.last_change();
        self.changes.send_if_modified(|number| std::mem::replace(number, last) != last);
        self.steps.send_modify(|n| *n += 1);
        done
    }

    fn input(&mut self, input: Input) -> bool {
        if let Input::Event { event: Event::Open { header, .. }, .. } = &input {
            let named = header.header.servers.iter().chain(&header.header.aggregators);
            if self.live.as_ref().is_some_and(|live| !live.hands.peers.knows(named)) {
                self.again.notify_one();
            }
        }
        self.step(input)
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
        for (peer, connection) in states {
            let before = was.iter().find(|(known, _)| *known == peer).and_then(|(_, was)| *was);
            // A connection that was replaced between two looks came up, too.
            if connection != before {
                done |= self.step(Input::Link { peer, up: connection.is_some() });
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
