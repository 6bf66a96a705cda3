//! The supervisor: one thread per universe, which builds a network, runs it, and builds another when it dies.
//!
//! A thread with a runtime of its own, because that is the only way to be rid of a network that failed half-built (its
//! tasks and sockets go with the runtime), and because some of mosaik's futures are not `Send`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use zipnet_dcnet::ids::PeerId;

use super::announcement::Announcement;
use super::bootstrap::Bootstrap;
use super::describe::{Provider, Question};
use super::network::{self, End};
use super::{UniverseConfig, UniverseError};

/// The first pause before a network is rebuilt; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// How often the pause looks whether it is still wanted.
const POLL: Duration = Duration::from_millis(50);
/// What a dead runtime gets to end its tasks.
const REAP: Duration = Duration::from_secs(1);

/// How the universe is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not yet, or not again, in.
    Joining,
    /// In; where others reach this node.
    Up(Bootstrap),
    /// The last attempt failed, or the network died; the next attempt comes by itself.
    Down(UniverseError),
    /// [`Universe::leave`](super::Universe::leave) is done.
    Left,
}

/// What this node shows to the others. Survives the networks.
#[derive(Clone)]
pub(super) struct Desired {
    pub announcement: Announcement,
    pub services: BTreeMap<String, Provider>,
}

/// What handle and thread share.
pub(super) struct Shared {
    pub desired: watch::Sender<Desired>,
    pub state: watch::Sender<State>,
    pub peers: watch::Sender<Arc<BTreeMap<PeerId, Announcement>>>,
    pub leaving: CancellationToken,
    /// The endpoint of the network that runs, for tests that end it.
    #[cfg(test)]
    pub running: watch::Sender<Option<iroh::Endpoint>>,
}

/// Starts the thread. The receiver fires when it has ended.
pub(super) fn spawn(
    config: UniverseConfig,
    shared: Arc<Shared>,
    questions: mpsc::Receiver<Question>,
) -> std::io::Result<oneshot::Receiver<()>> {
    let (done, ended) = oneshot::channel();
    std::thread::Builder::new().name("universe".to_owned()).spawn(move || {
        supervise(&config, &shared, questions);
        shared.state.send_replace(State::Left);
        let _ = done.send(());
    })?;
    Ok(ended)
}

/// Network after network, until the handle leaves or is dropped.
fn supervise(config: &UniverseConfig, shared: &Shared, mut questions: mpsc::Receiver<Question>) {
    let mut open = Vec::new();
    let mut pause = BACKOFF_MIN;
    loop {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                // Out of files, for example: that may pass.
                warn!(%error, "no runtime for the universe's network, trying again");
                shared.state.send_replace(State::Down(UniverseError::Ended(format!("no runtime: {error}"))));
                if !rest(pause, shared, &mut questions, &mut open) {
                    return;
                }
                pause = (pause * 2).min(BACKOFF_MAX);
                continue;
            }
        };
        let life = runtime.block_on(live(config, shared, &mut questions, &mut open));
        // Whatever a network leaves behind ends here.
        runtime.shutdown_timeout(REAP);
        let Some(Death { error, lived }) = life else { return };
        if lived >= BACKOFF_MAX {
            pause = BACKOFF_MIN;
        }
        shared.peers.send_replace(Arc::default());
        shared.state.send_replace(State::Down(error));
        if !rest(pause, shared, &mut questions, &mut open) {
            return;
        }
        pause = (pause * 2).min(BACKOFF_MAX);
    }
}

/// How a network ended, other than by leaving.
struct Death {
    error: UniverseError,
    lived: Duration,
}

async fn live(
    config: &UniverseConfig,
    shared: &Shared,
    questions: &mut mpsc::Receiver<Question>,
    open: &mut Vec<Question>,
) -> Option<Death> {
    let built = shared.leaving.run_until_cancelled(Box::pin(network::build(config))).await?;
    let network = match built {
        Ok(network) => network,
        Err(error) => {
            warn!(%error, "cannot join the universe, trying again");
            return Some(Death { error, lived: Duration::ZERO });
        }
    };
    #[cfg(test)]
    shared.running.send_replace(Some(network.endpoint.clone()));
    let since = Instant::now();
    let end = network.run(shared, questions, open).await;
    network.end(shared).await;
    match end {
        End::Left => None,
        End::Died(reason) => {
            warn!(reason, "the universe's network ended, building another");
            Some(Death { error: UniverseError::Ended(reason), lived: since.elapsed() })
        }
    }
}

/// Waits between two networks; false when the handle has gone. Questions that come meanwhile are kept.
fn rest(
    pause: Duration,
    shared: &Shared,
    questions: &mut mpsc::Receiver<Question>,
    open: &mut Vec<Question>,
) -> bool {
    let end = Instant::now() + pause;
    loop {
        loop {
            match questions.try_recv() {
                Ok(question) => open.push(question),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        open.retain(Question::is_open);
        if shared.leaving.is_cancelled() {
            return false;
        }
        if Instant::now() >= end {
            return true;
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::time::timeout;
    use zeroize::Zeroizing;
    use zipnet_dcnet::identity::Identity;

    use super::super::{EmbeddedRelay, Universe};
    use super::*;

    /// Far more than it takes; only a hanging test meets it.
    const PATIENCE: Duration = Duration::from_mins(2);

    fn config(n: u8, relay: &EmbeddedRelay, bootstrap: Vec<Bootstrap>) -> UniverseConfig {
        let identity = Arc::new(Identity::from_seed(Zeroizing::new([n; 32])));
        let announcement = Announcement { bundle: identity.server_bundle(), link: None, deployment: None };
        UniverseConfig {
            identity,
            universe: "zipnet.test".to_owned(),
            bootstrap,
            relay: relay.relay(),
            listen: Some("127.0.0.1:0".parse().unwrap()),
            announcement,
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_network_that_dies_is_rebuilt_announces_and_serves_as_before_each_time() {
        let relay = EmbeddedRelay::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let steady = Universe::join(config(1, &relay, vec![]), PATIENCE).await.unwrap();
        let entry = steady.local_addr().unwrap();
        let mortal = Universe::start(config(2, &relay, vec![entry])).unwrap();
        mortal.serve_describe("acme", Arc::new(|| vec![7]));
        let mut states = mortal.state();
        for life in 0..3 {
            let up = states.wait_for(|state| matches!(state, State::Up(_)));
            timeout(PATIENCE, up).await.unwrap_or_else(|_| panic!("life {life}")).unwrap();
            let asked = steady.describe("acme", PATIENCE, |answer| Some(answer.bytes)).await;
            assert_eq!(asked, Ok(vec![7]), "life {life}");
            let mut peers = mortal.watch_peers();
            let met = peers.wait_for(|peers| peers.contains_key(&entry.peer_id));
            timeout(PATIENCE, met).await.unwrap_or_else(|_| panic!("life {life}")).unwrap();
            let endpoint = mortal.shared.running.borrow().clone().unwrap();
            endpoint.close().await;
            let down = states.wait_for(|state| matches!(state, State::Down(_)));
            timeout(PATIENCE, down).await.unwrap_or_else(|_| panic!("life {life} goes on")).unwrap();
        }
        tokio::join!(mortal.leave(), steady.leave());
        relay.stop().await;
    }
}
