//! The universe: the mosaik network in which all nodes find each other.
//!
//! Every node announces there what it is ([`Announcement`]) and may serve `describe` for the instances it knows. The
//! rounds do not run over it. [`Universe`] supervises the network: one that dies is rebuilt, and shows and serves the
//! same as before.

mod announcement;
mod bootstrap;
mod describe;
mod error;
mod lookup;
mod network;
mod node;
mod relay;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::PeerId;

pub use announcement::Announcement;
pub use bootstrap::{Bootstrap, BootstrapError};
pub use describe::{Answer, MAX_ANSWER, Provider};
pub use error::UniverseError;
pub use node::State;
pub use relay::{EmbeddedRelay, Relay, RelayError};

use describe::Question;
use node::{Desired, Shared};

/// The network that everybody is in unless told otherwise.
pub const DEFAULT_UNIVERSE: &str = "mosaik.universe";
/// How long [`Universe::leave`] takes at most.
pub const LEAVE_TIMEOUT: Duration = Duration::from_secs(6);
/// Questions that wait for the network.
const MAX_QUESTIONS: usize = 16;
/// Answers that wait for the asker.
const MAX_ANSWERS: usize = 4;

/// How to take part.
pub struct UniverseConfig {
    /// Who this node is.
    pub identity: Arc<Identity>,
    /// The network's name; [`DEFAULT_UNIVERSE`] unless overridden.
    pub universe: String,
    /// Whom to ask first. A node in its own list is skipped.
    pub bootstrap: Vec<Bootstrap>,
    /// How to be reached.
    pub relay: Relay,
    /// Where to listen; `None`: all interfaces, a free port.
    pub listen: Option<SocketAddr>,
    /// What to say about this node.
    pub announcement: Announcement,
}

/// This node's place in the universe. [`Universe::leave`] it; a handle that is merely dropped leaves in the background.
pub struct Universe {
    shared: Arc<Shared>,
    questions: mpsc::Sender<Question>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Universe {
    /// Joins, trying again until it works or `within` is over. About three seconds when all is well.
    ///
    /// # Errors
    /// [`UniverseError::Bind`] at once, otherwise the last failure, such as [`UniverseError::NoRelay`].
    pub async fn join(config: UniverseConfig, within: Duration) -> Result<Self, UniverseError> {
        let relay = config.relay.to_string();
        let universe = Self::start(config)?;
        let mut states = universe.state();
        let mut failure = UniverseError::NoRelay { relay, after: within };
        let joined = async {
            loop {
                match &*states.borrow_and_update() {
                    State::Up(_) => return Ok(()),
                    State::Down(error @ UniverseError::Bind { .. }) => return Err(error.clone()),
                    State::Down(error) => failure = error.clone(),
                    State::Joining => {}
                    State::Left => return Err(failure.clone()),
                }
                if states.changed().await.is_err() {
                    return Err(failure.clone());
                }
            }
        };
        let joined = timeout(within, joined).await.unwrap_or(Err(failure));
        match joined {
            Ok(()) => Ok(universe),
            Err(error) => {
                universe.leave().await;
                Err(error)
            }
        }
    }

    /// Starts joining and returns at once; [`Universe::state`] tells how it goes, for ever.
    ///
    /// # Errors
    /// [`UniverseError::Ended`] when the system gives no thread.
    pub fn start(config: UniverseConfig) -> Result<Self, UniverseError> {
        let (questions, asked) = mpsc::channel(MAX_QUESTIONS);
        let desired = Desired { announcement: config.announcement.clone(), services: BTreeMap::new() };
        let shared = Arc::new(Shared {
            desired: watch::Sender::new(desired),
            state: watch::Sender::new(State::Joining),
            peers: watch::Sender::default(),
            leaving: CancellationToken::new(),
            #[cfg(test)]
            running: watch::Sender::default(),
        });
        let ended = node::spawn(config, shared.clone(), asked)
            .map_err(|error| UniverseError::Ended(format!("no thread: {error}")))?;
        Ok(Self { shared, questions, ended: Mutex::new(Some(ended)) })
    }

    /// How it is, now and on every change.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// Where others reach this node's mosaik endpoint, to be printed and given to them as bootstrap; `None` while down.
    pub fn local_addr(&self) -> Option<Bootstrap> {
        match &*self.shared.state.borrow() {
            State::Up(addr) => Some(*addr),
            _ => None,
        }
    }

    /// The nodes that this one knows, with what they announce. Nodes of others than this system are not listed.
    pub fn peers(&self) -> Arc<BTreeMap<PeerId, Announcement>> {
        self.shared.peers.borrow().clone()
    }

    /// [`Universe::peers`], now and on every change.
    pub fn watch_peers(&self) -> watch::Receiver<Arc<BTreeMap<PeerId, Announcement>>> {
        self.shared.peers.subscribe()
    }

    /// Replaces what this node says about itself.
    pub fn announce(&self, announcement: Announcement) {
        self.shared.desired.send_modify(|desired| desired.announcement = announcement);
    }

    /// Answers `describe` for this instance from now on, with what `provider` gives at that moment. Replaces nothing:
    /// the first provider of a name stays.
    pub fn serve_describe(&self, instance: &str, provider: Provider) {
        self.shared.desired.send_modify(|desired| {
            desired.services.entry(instance.to_owned()).or_insert(provider);
        });
    }

    /// Asks all who serve this instance, and returns the first answer that `pick` takes. Each peer's answer is offered
    /// once; anybody can serve any name, so `pick` decides what to believe.
    ///
    /// # Errors
    /// After `within`: [`UniverseError::ConnectTimeout`] when nobody answered, [`UniverseError::NoneAccepted`] when
    /// no answer was taken; [`UniverseError::Left`].
    pub async fn describe<T>(
        &self,
        instance: &str,
        within: Duration,
        mut pick: impl FnMut(Answer) -> Option<T>,
    ) -> Result<T, UniverseError> {
        let deadline = Instant::now() + within;
        let (answers, mut answered) = mpsc::channel(MAX_ANSWERS);
        let question = Question { instance: instance.to_owned(), deadline, answers };
        let mut count = 0;
        let asked = async {
            self.questions.send(question).await.map_err(|_| UniverseError::Left)?;
            while let Some(answer) = answered.recv().await {
                count += 1;
                if let Some(taken) = pick(answer) {
                    return Ok(Some(taken));
                }
            }
            Ok(None)
        };
        match timeout_at(deadline, asked).await {
            Ok(Ok(Some(taken))) => Ok(taken),
            Ok(Err(error)) => Err(error),
            _ if self.shared.leaving.is_cancelled() => Err(UniverseError::Left),
            _ if count > 0 => {
                Err(UniverseError::NoneAccepted { instance: instance.to_owned(), answers: count })
            }
            _ => Err(UniverseError::ConnectTimeout { instance: instance.to_owned(), after: within }),
        }
    }

    /// Says goodbye and ends the network, within [`LEAVE_TIMEOUT`].
    pub async fn leave(&self) {
        self.shared.leaving.cancel();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended {
            let _ = timeout(LEAVE_TIMEOUT, ended).await;
        }
    }
}

impl Drop for Universe {
    fn drop(&mut self) {
        self.shared.leaving.cancel();
    }
}
