//! An aggregator: the real folding, in tokio's time, which this module moves; following servers as `follow.rs` does.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::Runtime;
use zipnet_aggregator::folding::Folding;
use zipnet_dcnet::aggregate::Aggregate;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::header::SignedHeader;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{ClientId, PeerId};
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::seal::Envelope;
use zipnet_dcnet::signed::Signed;
use zipnet_dcnet::wire::{AggregateCall, Event, RosterUpdate};

use crate::clock::{Clock, Ms};
use crate::hostile::AggregatorRole;
use crate::net::{Answer, Node};
use crate::world::{Act, World};

/// Waiting answers are looked at this often: how exact its deadlines are.
const POLL: Ms = 20;
/// What fetching a roster gets.
const FETCH: Ms = 10_000;

/// Something that the folding has not finished yet.
type Job = Pin<Box<dyn Future<Output = Act>>>;

/// See the module.
pub(crate) struct Aggregator {
    pub(crate) identity: Arc<Identity>,
    pub(crate) up: bool,
    pub(crate) life: u64,
    pub(crate) clock: Clock,
    runtime: Runtime,
    /// What its runtime's clock shows.
    shown: Ms,
    folding: Arc<Folding>,
    jobs: Vec<Job>,
    polling: bool,
    roster: Roster,
    pub(crate) role: Option<AggregatorRole>,
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime without threads or files")
}

impl Aggregator {
    pub(crate) fn new(identity: Arc<Identity>, descriptor: Descriptor, clock: Clock) -> Self {
        Self {
            folding: Arc::new(Folding::new(identity.clone(), descriptor)),
            identity,
            up: true,
            life: 0,
            clock,
            runtime: runtime(),
            shown: clock.at(0),
            jobs: Vec::new(),
            polling: false,
            roster: Roster::default(),
            role: None,
        }
    }

    pub(crate) fn id(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// Moves its runtime to the present, and gives what is finished.
    fn poll(&mut self, world: Ms) -> Vec<Act> {
        let now = self.clock.at(world);
        let passed = Duration::from_millis(now.saturating_sub(self.shown));
        self.shown = now;
        self.runtime.block_on(tokio::time::advance(passed));
        let _inside = self.runtime.enter();
        let mut done = Vec::new();
        self.jobs.retain_mut(|job| match job.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => {
                done.push(answer);
                false
            }
            Poll::Pending => true,
        });
        done
    }
}

impl World {
    fn poll_aggregator(&mut self, a: usize) {
        for done in self.aggregators[a].poll(self.now) {
            done(self);
        }
        let aggregator = &mut self.aggregators[a];
        if !aggregator.jobs.is_empty() && !std::mem::replace(&mut aggregator.polling, true) {
            let life = aggregator.life;
            self.after(POLL, move |w| {
                if w.aggregators[a].life == life {
                    w.aggregators[a].polling = false;
                    w.poll_aggregator(a);
                }
            });
        }
    }

    fn fold_job(&mut self, a: usize, job: impl Future<Output = Act> + 'static) {
        // Its clock first, so that the job's deadlines count from now.
        self.poll_aggregator(a);
        self.aggregators[a].jobs.push(Box::pin(job));
        self.poll_aggregator(a);
    }

    /// An envelope arrives: whether it was taken.
    pub(crate) fn envelope(&mut self, a: usize, from: ClientId, envelope: Envelope, answer: Answer<bool>) {
        if self.swallowed(a, &from) {
            return answer(self, true);
        }
        let folding = self.aggregators[a].folding.clone();
        self.fold_job(a, async move {
            let taken = folding.envelope(from, envelope).await;
            let what = taken.as_ref().err().map(ToString::to_string);
            Box::new(move |w: &mut World| {
                if let Some(what) = what {
                    w.say(&format!("a{a} refuses an envelope of {}: {what}", from.short()));
                }
                answer(w, taken.is_ok());
            }) as Act
        });
    }

    /// A server asks for the aggregate.
    pub(crate) fn aggregate(
        &mut self,
        a: usize,
        from: PeerId,
        call: AggregateCall,
        answer: Answer<Option<Signed<Aggregate>>>,
    ) {
        let folding = self.aggregators[a].folding.clone();
        self.fold_job(a, async move {
            let aggregate = folding.aggregate(from, &call).await;
            Box::new(move |w: &mut World| {
                let aggregate = match aggregate {
                    Ok(aggregate) => w.tampered_aggregate(a, aggregate),
                    Err(error) => {
                        w.say(&format!("a{a} has no aggregate: {error}"));
                        None
                    }
                };
                answer(w, aggregate);
            }) as Act
        });
    }

    /// A server said something.
    pub(crate) fn aggregator_heard(&mut self, a: usize, s: usize, event: &Event) {
        let Event::Open { header, roster: update } = event else { return };
        if let Err(error) = header.verify(&self.descriptor, &self.deployment) {
            self.say(&format!("a{a} refuses a header of s{s}: {error}"));
            return self.follow(Node::Aggregator(a), Some(s));
        }
        let roster = &mut self.aggregators[a].roster;
        let updated = match update {
            RosterUpdate::Delta(delta) => roster.apply(delta).filter(|next| next.is_of(&header.header)),
            RosterUpdate::Same | RosterUpdate::Fetch => None,
        };
        if let Some(next) = updated {
            *roster = next;
        }
        if roster.is_of(&header.header) {
            return self.open_fold(a, header);
        }
        let (digest, header) = (header.header.roster, header.clone());
        self.call(
            Node::Aggregator(a),
            Node::Server(s),
            FETCH,
            move |w, answer| {
                let roster = w.servers[s].hub.roster(&digest);
                answer(w, roster);
            },
            move |w, roster: Option<Option<Roster>>| match roster.flatten() {
                Some(roster) if roster.is_of(&header.header) => {
                    w.aggregators[a].roster = roster;
                    w.open_fold(a, &header);
                }
                _ => w.follow(Node::Aggregator(a), Some(s)),
            },
        );
    }

    fn open_fold(&mut self, a: usize, header: &SignedHeader) {
        self.poll_aggregator(a);
        let aggregator = &self.aggregators[a];
        let inside = aggregator.runtime.enter();
        aggregator.folding.open(header, aggregator.roster.clone());
        drop(inside);
        self.poll_aggregator(a);
    }

    /// Stops an aggregator: it remembers nothing.
    pub(crate) fn crash_aggregator(&mut self, a: usize) {
        if std::mem::replace(&mut self.aggregators[a].up, false) {
            self.say(&format!("a{a} crashes"));
            self.aggregators[a].jobs.clear();
        }
    }

    pub(crate) fn start_aggregator(&mut self, a: usize) {
        if self.aggregators[a].up {
            return;
        }
        self.say(&format!("a{a} starts"));
        let descriptor = self.descriptor.clone();
        let aggregator = &mut self.aggregators[a];
        aggregator.folding = Arc::new(Folding::new(aggregator.identity.clone(), descriptor));
        aggregator.roster = Roster::default();
        aggregator.polling = false;
        aggregator.up = true;
        aggregator.life += 1;
        self.follow(Node::Aggregator(a), None);
        self.say_here(a);
    }
}
