//! The server's main loop: whenever something changed, let the core say what to do, and do it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::signed::encode;
use zipnet_network::links::Kind;
use zipnet_store::{Batch, Store};

use super::machine::{Fresh, Told};
use super::{Gone, MARKS, Shared, collect, lock};
use crate::core::Action;
use crate::entry::Entry;
use crate::metrics;

/// The core looks at the clock this often, for deadlines and repetitions.
const TICK: Duration = Duration::from_millis(50);
/// Proposals on their way at the same time; what finds no room is proposed again later.
const PROPOSALS: usize = 256;
/// What a proposal to another server gets.
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// See the module.
pub(super) struct Actor {
    pub(super) shared: Arc<Shared>,
    pub(super) store: Arc<dyn Store>,
    pub(super) changes: watch::Receiver<u64>,
    pub(super) fresh: Fresh,
    pub(super) fail: watch::Sender<Option<Gone>>,
    /// Who led last.
    pub(super) led: Option<PeerId>,
}

impl Actor {
    /// Runs until `stop`, or until the store or the log fails: then the server must not go on, because what it says next could
    /// contradict what it said before.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let shared = self.shared.clone();
        let room = Arc::new(Semaphore::new(PROPOSALS));
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
                () = shared.wake.notified() => {}
                Ok(()) = self.changes.changed() => {}
            }
            let failure = match self.once(&room).await {
                Err(gone) => Some(gone),
                Ok(()) => shared.log.failure().map(Gone::Log),
            };
            if let Some(failure) = failure {
                error!("{failure}; this server ends");
                self.fail.send_replace(Some(failure));
                return;
            }
            // The watchdog is fed while this goes on.
            shared.turns.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn once(&mut self, room: &Arc<Semaphore>) -> Result<(), Gone> {
        self.watch_leader();
        let shared = &self.shared;
        let heard = shared.log.heard();
        let leader = heard.is_some();
        let (actions, gone, marks) = {
            let mut core = shared.core();
            let applied = shared.applied();
            let (before, began) = (core.unblinded_round(), Instant::now());
            let actions = core.react(shared.now(), &applied.state, applied.index, heard.as_ref());
            let after = core.unblinded_round();
            if after.is_some() && after != before {
                metrics::partial_took(began.elapsed());
            }
            let gone = core.reconsider(shared.now(), &applied.state, &*shared.admission);
            (actions, gone, encode(core.marks()))
        };
        for (entry, why) in gone {
            info!(why, "a client is no longer admitted: its vouch is taken back");
            metrics::vouch_withdrawn();
            propose(shared, room, &entry, leader);
        }
        let mut marked = false;
        for action in actions {
            match action {
                Action::Mark(mark) => {
                    debug!(?mark, "written down");
                    // All marks of this turn are in the one blob: one write covers them.
                    if !std::mem::replace(&mut marked, true) {
                        let mut batch = Batch::default();
                        batch.put(MARKS.0, MARKS.1, &marks);
                        self.store.commit(batch).await?;
                    }
                }
                Action::Propose(entry) => propose(shared, room, &entry, leader),
                Action::Forgot => return Err(Gone::Forgot),
                Action::Campaign => {
                    info!("nothing was logged for three round deadlines: standing for election");
                    shared.log.campaign().await;
                }
                Action::StepBack => {
                    warn!("no aggregator could be reached for two rounds: another server shall lead");
                    let shared = shared.clone();
                    tokio::spawn(async move {
                        shared.log.step_back().await;
                        shared.wake.notify_one();
                    });
                }
                Action::Collect { header, digest, within_ms, without } => {
                    let shared = shared.clone();
                    tokio::spawn(async move {
                        let params = &shared.descriptor.params;
                        let directory = &shared.directory;
                        let parts =
                            collect::collect(directory, params, &header, digest, within_ms, without).await;
                        shared.core().collected(digest, parts);
                        shared.wake.notify_one();
                    });
                }
            }
        }
        let (ended, told) = {
            let mut fresh = lock(&self.fresh);
            (std::mem::take(&mut fresh.ended), std::mem::take(&mut fresh.told))
        };
        shared.hub.publish(shared.now(), &shared.applied().state, &ended);
        told.into_iter().for_each(tell);
        shared.tell_admission(ended.values());
        if !ended.is_empty() {
            shared.archive.keep(ended).await?;
        }
        Ok(())
    }

    /// Logs and counts who leads.
    fn watch_leader(&mut self) {
        let Some(leader) = self.shared.log.leader() else { return };
        let before = self.led.replace(leader);
        if before != Some(leader) {
            info!(leader = %leader.short(), here = leader == self.shared.me, "leads from now on");
        }
        if before.is_some_and(|before| before != leader) {
            metrics::leader_changed();
        }
    }
}

/// Logs and counts how a round ended.
fn tell(told: Told) {
    match told {
        Told::Final(round, quiet) => {
            debug!(round, quiet, "final");
            metrics::round_final(quiet);
        }
        Told::Abandoned(round, reason) => {
            info!(round, reason, "round abandoned");
            metrics::round_abandoned(reason);
        }
    }
}

/// Gets an entry into the log: here if this server leads, through the leader otherwise. A failure is no matter, the
/// core proposes again what it still needs.
fn propose(shared: &Arc<Shared>, room: &Arc<Semaphore>, entry: &Entry, leader: bool) {
    let Ok(permit) = room.clone().try_acquire_owned() else {
        debug!("no room for another proposal");
        return;
    };
    let body = encode(entry);
    // Not once more while the leader may still get to it.
    let Some(entered) = shared.under_way.enter(&body) else { return };
    let shared = shared.clone();
    tokio::spawn(async move {
        let _held = (permit, entered);
        let result = if leader {
            shared.log.propose(body).await.map(|_| ()).map_err(|e| e.to_string())
        } else if let Some(link) = shared.log.leader().and_then(|l| shared.directory.link(&l)) {
            link.call(Kind::Propose, body, PROPOSE_TIMEOUT).await.map(|_| ()).map_err(|e| e.to_string())
        } else {
            Err("no leader is known".to_owned())
        };
        if let Err(error) = result {
            debug!(error, "proposal not taken");
        }
    });
}
