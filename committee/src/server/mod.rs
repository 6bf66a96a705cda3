//! The process around one server's core: log, links, universe, archive.

mod actor;
mod archive;
mod attested;
mod checked;
mod collect;
mod directory;
mod events;
mod fill;
#[doc(hidden)]
pub mod fuzz;
mod held;
mod leave;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod lies;
mod machine;
mod pulse;
mod quoted;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod sample;
mod service;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;
use zipnet_dcnet::descriptor::{Admission as Kind, Descriptor};
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::signed::encode;
use zipnet_dcnet::wire::{Ended, RecordsCall};
use zipnet_network::describe::DescribeAnswer;
use zipnet_network::links::{Links, Role};
use zipnet_network::universe::Bootstrap;
use zipnet_network::{Node, NodeConfig, NodeError};
use zipnet_role::Exit;
use zipnet_store::{Batch, Store, StoreError};
use zipnet_tdx::quote::QuoteSource;

use crate::core::{Admission, Core, Marks};
use crate::raft::{Log, LogConfig, UnderWay};
use crate::state::State;
use archive::Archive;
pub use attested::{Attested, AttestedError, Files, keep_up};
use directory::Directory;
use events::Hub;
pub use leave::LEAVE;
pub use pulse::Pulse;
use quoted::Quotes;

/// Rounds that admission hears of at the start: more than a quote may be old.
const LOOK_BACK: u32 = 128;

/// The store's tree of what the server wrote down, and its only key.
const MARKS: (&str, &[u8]) = ("marks", b"marks");

/// What a server needs.
pub struct ServerConfig {
    /// Who it is; the descriptor lists its peer id.
    pub identity: Arc<Identity>,
    /// The deployment.
    pub descriptor: Descriptor,
    /// Its durable storage; nobody else uses it.
    pub store: Arc<dyn Store>,
    /// Where it listens, and how it finds the others.
    pub node: NodeConfig,
    /// The aggregators it takes envelopes from: its policy.
    pub aggregators: Vec<PeerId>,
    /// Whom it vouches for.
    pub admission: Arc<dyn Admission>,
    /// Where its own quotes come from, for deployments whose servers show them.
    pub quotes: Arc<dyn QuoteSource>,
}

/// A server that does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The identity is not one of the descriptor's.
    #[error("this server's peer id {0} is not in the descriptor; was the key file replaced?")]
    NotInDescriptor(PeerId),
    /// It would admit otherwise than its deployment says.
    #[error("the descriptor says admission = {wanted}, this server is set up for {found}")]
    Admission {
        /// What the deployment says.
        wanted: &'static str,
        /// What the server has.
        found: &'static str,
    },
    /// The store holds another deployment's log.
    #[error("the state folder belongs to deployment {found}, the descriptor is of {wanted}")]
    OtherDeployment {
        /// What is stored.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// The store failed.
    #[error("reading the store: {0}")]
    Store(#[from] StoreError),
    /// What the store holds does not decode.
    #[error("the store holds {0} that does not decode")]
    Malformed(&'static str),
    /// No place in the network.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The log could not be opened.
    #[error("opening the log: {0}")]
    Log(String),
}

impl StartError {
    /// The exit code of a program that ends for this.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NotInDescriptor(_) | Self::OtherDeployment { .. } => Exit::Deployment,
            Self::Admission { .. } => Exit::Usage,
            Self::Store(_) | Self::Malformed(_) | Self::Log(_) => Exit::Store,
            Self::Node(_) => Exit::Address,
        }
    }
}

/// Why a server that ran cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Gone {
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(String),
    /// The log stopped.
    #[error("the log stopped: {0}")]
    Log(String),
    /// The committee's log knows another life of it.
    #[error(
        "the committee's log knows this server with another state folder than this one: it was lost, or the server runs \
         twice. It must not take part again: see docs/operators/backup.md"
    )]
    Forgot,
    /// Its main task ended.
    #[error("its main task ended")]
    Task,
}

impl From<StoreError> for Gone {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl Gone {
    /// The exit code of a program that ends for this.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Forgot => Exit::Deployment,
            Self::Store(_) | Self::Log(_) | Self::Task => Exit::Failed,
        }
    }
}

/// The log's state and how far it is applied.
pub(crate) struct Applied {
    pub(crate) state: State,
    pub(crate) index: u64,
}

/// What the tasks of a server share. Locks are taken in the order core, applied; none across an await.
pub(crate) struct Shared {
    pub(crate) me: PeerId,
    pub(crate) descriptor: Descriptor,
    pub(crate) core: Mutex<Core>,
    pub(crate) applied: Arc<Mutex<Applied>>,
    pub(crate) log: Log,
    /// Proposals of this server that nobody has answered.
    pub(crate) under_way: UnderWay,
    pub(crate) directory: Arc<Directory>,
    pub(crate) archive: Archive,
    pub(crate) hub: Hub,
    pub(crate) admission: Arc<dyn Admission>,
    pub(crate) quotes: Quotes,
    /// Something happened that the core should look at.
    pub(crate) wake: Notify,
    /// How often the actor's loop went round.
    pub(crate) turns: AtomicU64,
    pub(crate) started: Instant,
}

impl Shared {
    /// Milliseconds of this process's steady clock, the core's time.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).expect("invariant: less than half a billion years")
    }

    /// Tells the admission of final records.
    pub(crate) fn tell_admission<'a>(&self, ended: impl IntoIterator<Item = &'a Ended>) {
        for ended in ended {
            if let Ended::Final(signed) = ended {
                self.admission.record(&signed.record);
            }
        }
    }

    /// Tells it of those that ended before this start.
    fn remind_admission(&self) -> Result<(), StoreError> {
        if self.admission.kind() == Kind::Open {
            // It does not care: no need to read them.
            return Ok(());
        }
        let mut from = self.applied().state.opened().saturating_sub(LOOK_BACK.into());
        loop {
            // A reply is cut where it would be too long.
            let items = self.archive.read(&RecordsCall { from, limit: LOOK_BACK })?.items;
            let Some(last) = items.last() else { return Ok(()) };
            from = last.round() + 1;
            self.tell_admission(&items);
        }
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }

    pub(crate) fn applied(&self) -> MutexGuard<'_, Applied> {
        lock(&self.applied)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running server.
pub struct Server {
    shared: Arc<Shared>,
    node: Node,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    failed: watch::Receiver<Option<Gone>>,
}

impl Server {
    /// Starts the server; returns when it accepts links.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way.
    pub async fn start(config: ServerConfig) -> Result<Self, StartError> {
        let ServerConfig { identity, descriptor, store, node, mut aggregators, admission, quotes } = config;
        let me = identity.peer_id();
        if descriptor.servers.binary_search(&me).is_err() {
            return Err(StartError::NotInDescriptor(me));
        }
        if admission.kind().asks_clients() != descriptor.admission.asks_clients() {
            let (wanted, found) = (descriptor.admission.name(), admission.kind().name());
            return Err(StartError::Admission { wanted, found });
        }
        let deployment = descriptor.id();
        claim(&*store, &deployment.to_string()).await?;
        let marks = if let Some(bytes) = store.get(MARKS.0, MARKS.1)? {
            borsh::from_slice(&bytes).map_err(|_| StartError::Malformed("marks"))?
        } else {
            // Before anybody hears of this start: the next one has to be of the same life.
            let marks = Marks::new(rand::random());
            let mut batch = Batch::default();
            batch.put(MARKS.0, MARKS.1, encode(&marks));
            store.commit(batch).await?;
            marks
        };
        let node = Node::start(&identity, Role::Server, deployment, node).await?;
        aggregators.sort_unstable();
        aggregators.dedup();
        let directory = Directory::new(node.links.clone(), descriptor.servers.clone(), aggregators.clone());
        let directory = Arc::new(directory);
        let applied = Arc::new(Mutex::new(Applied { state: State::new(descriptor.clone()), index: 0 }));
        let (machine, fresh) = machine::new(applied.clone());
        let changes = machine.changes();
        let round_deadline = Duration::from_millis(descriptor.params.round_deadline_ms.into());
        let log = Log::open(
            LogConfig::new(me, descriptor.servers.clone(), round_deadline),
            store.clone(),
            Box::new(machine),
            directory.clone(),
        )
        .await
        .map_err(|e| StartError::Log(e.to_string()))?;
        // What was applied until here was counted and told in an earlier life.
        lock(&fresh).live = true;
        let seed = Zeroizing::new(rand::random::<[u8; 32]>());
        let shared = Arc::new(Shared {
            me,
            descriptor: descriptor.clone(),
            core: Mutex::new(Core::new(identity.clone(), aggregators, marks, &seed)),
            applied,
            log,
            under_way: UnderWay::default(),
            directory: directory.clone(),
            archive: Archive::open(store.clone(), descriptor.params.retain)?,
            hub: Hub::new(),
            admission,
            quotes: Quotes::new(quotes),
            wake: Notify::new(),
            turns: AtomicU64::new(0),
            started: Instant::now(),
        });
        shared.remind_admission()?;
        node.links.serve(Arc::new(service::Service(shared.clone())));
        let describe = describe(&shared, &node.links);
        node.universe.serve_describe(&descriptor.instance, Arc::new(describe));
        let stop = CancellationToken::new();
        let (fail, failed) = watch::channel(None);
        crate::metrics::begin();
        let (actors, actors_store) = (shared.clone(), store.clone());
        let actor = actor::Actor { shared: actors, store: actors_store, changes, fresh, fail, led: None };
        if descriptor.admission.asks_servers() {
            tokio::spawn(quoted::first(shared.clone()));
        }
        let tasks = vec![
            tokio::spawn(actor.run(stop.clone())),
            tokio::spawn(pulse::show(shared.clone(), stop.clone())),
            tokio::spawn(fill::fill(shared.clone(), stop.clone())),
            tokio::spawn(directory::follow(directory, node.universe.clone(), deployment, stop.clone())),
        ];
        tracing::info!(peer = %me, instance = %descriptor.instance, %deployment, "server up");
        Ok(Self { shared, node, stop, tasks, failed })
    }

    /// Where others find this server: `PEERID@IP:PORT`, once it is in the universe.
    pub fn bootstrap(&self) -> Option<Bootstrap> {
        self.node.bootstrap()
    }

    /// Resolves with the reason when the server can no longer go on, for example when its disk failed.
    pub async fn failed(&self) -> Gone {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(Gone::Task),
            Err(_) => Gone::Task,
        }
    }

    /// A look at how it is doing.
    pub fn pulse(&self) -> Pulse {
        Pulse(Arc::downgrade(&self.shared))
    }

    /// Gets this server out of the rounds before it stops, so that none is lost for it: no further header names it, the
    /// round under way ends, and another server leads. Takes [`LEAVE`] at most.
    pub async fn leave(&self) {
        leave::leave(&self.shared).await;
    }

    /// Stops cleanly, within a few seconds.
    pub async fn stop(self) {
        const GRACE: Duration = Duration::from_secs(5);
        self.stop.cancel();
        for task in self.tasks {
            let _ = tokio::time::timeout(GRACE, task).await;
        }
        let _ = tokio::time::timeout(GRACE, self.shared.log.shutdown()).await;
        self.node.stop().await;
    }
}

/// A state folder belongs to one deployment.
async fn claim(store: &dyn Store, wanted: &str) -> Result<(), StartError> {
    const KEY: (&str, &[u8]) = ("meta", b"deployment");
    match store.get(KEY.0, KEY.1)? {
        Some(found) if found == wanted.as_bytes() => Ok(()),
        Some(found) => Err(StartError::OtherDeployment {
            found: String::from_utf8_lossy(&found).into_owned(),
            wanted: wanted.to_owned(),
        }),
        None => {
            let mut batch = zipnet_store::Batch::default();
            batch.put(KEY.0, KEY.1, wanted.as_bytes());
            Ok(store.commit(batch).await?)
        }
    }
}

/// Answers `describe` with the descriptor and the addresses of everybody who belongs to it.
fn describe(shared: &Arc<Shared>, links: &Links) -> impl Fn() -> Vec<u8> + Send + Sync + 'static {
    let (shared, own) = (Arc::downgrade(shared), links.clone());
    move || {
        let Some(shared) = shared.upgrade() else { return Vec::new() };
        let mut links = shared.directory.addresses();
        links.extend(own.link_addr());
        let answer = DescribeAnswer { descriptor: shared.descriptor.clone(), links };
        zipnet_dcnet::signed::encode(&answer)
    }
}
