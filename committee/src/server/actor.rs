//! The server's main loop: whenever something changed, let the core say what to do, and do it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};
use zipnet_dcnet::signed::encode;
use zipnet_dcnet::wire::Ended;
use zipnet_network::links::Kind;
use zipnet_store::{Batch, Store, StoreError};

use super::machine::Fresh;
use super::{MARKS, Shared, collect, lock};
use crate::core::Action;
use crate::entry::Entry;

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
    pub(super) ended: Fresh,
    pub(super) fail: watch::Sender<Option<String>>,
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
                Err(error) => Some(format!("the store failed: {error}")),
                Ok(()) => shared.log.failure().map(|why| format!("the log stopped: {why}")),
            };
            if let Some(failure) = failure {
                error!("{failure}; this server ends");
                self.fail.send_replace(Some(failure));
                return;
            }
        }
    }

    async fn once(&self, room: &Arc<Semaphore>) -> Result<(), StoreError> {
        let shared = &self.shared;
        let leader = shared.log.is_leader();
        let (actions, marks) = {
            let mut core = shared.core();
            let applied = shared.applied();
            let actions = core.react(shared.now(), &applied.state, applied.index, leader);
            (actions, encode(core.marks()))
        };
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
                Action::Propose(entry) => propose(shared, room, entry, leader),
                Action::Campaign => {
                    info!("nothing was logged for three round deadlines: standing for election");
                    shared.log.campaign().await;
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
        let fresh = std::mem::take(&mut *lock(&self.ended));
        shared.hub.publish(&shared.applied().state, &fresh);
        if !fresh.is_empty() {
            fresh.values().for_each(tell);
            shared.archive.keep(fresh).await?;
        }
        Ok(())
    }
}

/// Logs and counts how a round ended, once: before anybody signed or disclosed.
fn tell(ended: &Ended) {
    match ended {
        Ended::Final(signed) if signed.signatures.is_empty() => {
            let record = &signed.record;
            debug!(round = record.round, participants = record.count(), "final");
            metrics::counter!("zipnet_server_rounds_final_total").increment(1);
            metrics::gauge!("zipnet_server_participants").set(record.count());
        }
        Ended::Abandoned(abandoned) if abandoned.disclosures.is_empty() => {
            info!(round = abandoned.round, "round abandoned");
            metrics::counter!("zipnet_server_rounds_abandoned_total").increment(1);
        }
        _ => {}
    }
}

/// Gets an entry into the log: here if this server leads, through the leader otherwise. A failure is no matter, the
/// core proposes again what it still needs.
fn propose(shared: &Arc<Shared>, room: &Arc<Semaphore>, entry: Entry, leader: bool) {
    let Ok(permit) = room.clone().try_acquire_owned() else {
        debug!("no room for another proposal");
        return;
    };
    let shared = shared.clone();
    tokio::spawn(async move {
        let _permit = permit;
        let body = encode(&entry);
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
