//! A client of a deployment: the runner around the pure core. Used by the daemon, and by the cover clients of `--dev`.
//!
//! One task owns the core ([`runner`]): it feeds inputs and does what comes out. Around it: the search in the universe
//! ([`find`]), links ([`peers`]), the subscription to one server ([`events`]), and the verified log ([`log`], [`read`]).

mod begin;
mod chain;
mod changes;
mod check;
mod clock;
mod disk;
mod events;
mod execute;
mod find;
mod found;
#[doc(hidden)]
pub mod fuzz;
mod handle;
mod log;
pub(crate) mod memory;
mod notice;
mod peers;
mod read;
mod requests;
mod runner;
mod servers;
mod status;
mod verify;
mod vetting;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use zipnet_dcnet::descriptor::InstanceRef;
use zipnet_dcnet::identity::Identity;
use zipnet_network::links::LinkError;
use zipnet_network::universe::{Bootstrap, Relay, UniverseError};
use zipnet_store::Store;
use zipnet_tdx::quote::QuoteSource;
use zipnet_tdx::seal::Header;

use crate::control::backend::Backend;
use crate::core::input::Input;
use crate::core::store::LoadError;
pub use check::{Checked, check};
pub use find::NotFound;
pub use handle::Handle;
pub use memory::MemoryError;
pub use vetting::{Judge, ServerFiles};

/// Inputs that wait for the core; whoever has more waits.
const MAX_FEED: usize = 256;
/// Requests of callers that wait for the core.
const MAX_REQUESTS: usize = 256;

/// How to run a client.
pub struct ClientConfig {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// The header of the file that its identity is from; none: it is fresh, for this run only.
    pub sealed: Option<Header>,
    /// Which instance.
    pub instance: InstanceRef,
    /// In which universe.
    pub universe: String,
    /// Whom to ask first.
    pub bootstrap: Vec<Bootstrap>,
    /// Through which relay.
    pub relay: Relay,
    /// What to talk from.
    pub listen: Option<SocketAddr>,
    /// Where messages are kept.
    pub store: Arc<dyn Store>,
    /// The store's folder, for the texts of errors.
    pub state_dir: PathBuf,
    /// Published whenever the queue is empty.
    pub standing: Option<Vec<u8>>,
    /// Reserve in every Nth round.
    pub cadence: u32,
    /// The daemon's own user: it sees everybody's messages.
    pub uid: u32,
    /// Tells the log and the metrics how it is doing, and keeps the broadcast log for readers. Cover clients do not.
    pub public: bool,
    /// Where quotes come from, for deployments that admit by TDX quote.
    pub quotes: Arc<dyn QuoteSource>,
    /// Who judges the servers' quotes, for deployments whose servers show them.
    pub judge: Option<Arc<dyn Judge>>,
}

/// Why a client cannot start, or ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody serves the instance. Ends only a check: a running client goes on looking.
    #[error("ConnectTimeout: {0}")]
    ConnectTimeout(NotFound),
    /// It is served, but by another deployment than the pinned or remembered one.
    #[error("{0}")]
    OtherDeployment(NotFound),
    /// The instance was found, but none of its servers answers.
    #[error("ConnectTimeout: none of the {servers} servers of instance `{instance}` answers: {last}")]
    NoServer {
        /// The instance.
        instance: String,
        /// How many there are.
        servers: usize,
        /// What the last one failed with.
        last: String,
    },
    /// The standing message fits no slot.
    #[error(
        "MessageTooLong: the standing message has {len} bytes, a slot of this instance takes at most {max}"
    )]
    MessageTooLong {
        /// Bytes of the message.
        len: usize,
        /// Bytes that fit.
        max: usize,
    },
    /// The servers of the deployment show TDX quotes, and nothing says which are good.
    #[error(
        "the servers of this deployment show TDX quotes (admission = mutual): set ZIPNET_SERVER_POLICY and \
         ZIPNET_SERVER_COLLATERAL (or `server_policy` and `server_collateral` in the file), see docs/tdx/publishers.md"
    )]
    NoJudge,
    /// What the store remembers does not fit.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The messages in the store cannot be read.
    #[error("the messages in {} cannot be read: {error}", dir.display())]
    Load {
        /// The store's folder.
        dir: PathBuf,
        /// Why.
        error: LoadError,
    },
    /// No links.
    #[error(transparent)]
    Links(#[from] LinkError),
    /// No universe.
    #[error(transparent)]
    Universe(#[from] UniverseError),
    /// A task of the client died: a bug.
    #[error("a task of the client died: {0}")]
    Died(String),
}

/// What the runner's task is fed.
pub(crate) enum Feed {
    /// For the core.
    Input(Input),
    /// From the search.
    Find(find::Find),
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// Not at all.
    No,
    /// Cover on for a while, then end.
    Drain,
    /// End at once.
    Now,
}

/// A running client.
pub struct Client {
    handle: Handle,
    stop: watch::Sender<Stop>,
    task: JoinHandle<Result<(), ClientError>>,
}

impl Client {
    /// Starts a client. It goes on for ever, whether the instance is found or not.
    ///
    /// # Errors
    /// [`ClientError::Memory`] and [`ClientError::Load`] when the store is not usable for this instance;
    /// [`ClientError::MessageTooLong`] and [`ClientError::Links`] when the deployment is known already.
    pub async fn start(config: ClientConfig) -> Result<Self, ClientError> {
        let (requests, requested) = mpsc::channel(MAX_REQUESTS);
        let (stop, stopping) = watch::channel(Stop::No);
        let runner = runner::Runner::new(config, requested, stopping).await?;
        let handle = Handle::new(requests, &runner);
        Ok(Self { handle, stop, task: tokio::spawn(runner.run()) })
    }

    /// What callers use. Cheap to clone.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Resolves when the client ended by itself, which only an error makes it do.
    ///
    /// # Errors
    /// Why, such as [`ClientError::MessageTooLong`].
    pub async fn ended(&mut self) -> Result<(), ClientError> {
        (&mut self.task).await.unwrap_or_else(|error| Err(ClientError::Died(error.to_string())))
    }

    /// Begins to stop: covers on for a while, as `warm_up` in docs/protocol.md says. [`Client::ended`] resolves then.
    pub fn drain(&self) {
        self.stop.send_if_modified(|stop| {
            let begins = *stop == Stop::No;
            *stop = Stop::Drain.max(*stop);
            begins
        });
    }

    /// Ends at once; what was accepted is kept in the store.
    pub fn end(&self) {
        self.stop.send_replace(Stop::Now);
    }

    /// How long [`Client::drain`] may take, as far as known: two warm-ups and a margin.
    pub fn grace(&self) -> Duration {
        Backend::grace(&self.handle)
    }
}
