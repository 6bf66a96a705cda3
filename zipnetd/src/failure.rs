//! Why the daemon ends, what to do about it, and its exit code.

use std::io;
use std::path::PathBuf;

use zipnet_store::StoreError;

use crate::client::{ClientError, MemoryError, NotFound};
use crate::config::ConfigError;
use crate::control::SocketError;
use crate::identity::IdentityError;
use crate::metrics::MetricsError;

/// Exit codes; listed in `zipnetd --help` and fixed: scripts and unit files rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Ended as asked.
    Ok = 0,
    /// Anything else.
    Failed = 1,
    /// The command line or the configuration.
    Usage = 2,
    /// Nobody serves the instance (`--check` only: the daemon keeps trying).
    ConnectTimeout = 3,
    /// The store cannot be used.
    Store = 4,
    /// The standing message does not fit.
    MessageTooLong = 5,
    /// The instance is not the deployment that was pinned or remembered.
    Deployment = 6,
    /// The control socket or the metrics address cannot be used.
    Address = 7,
    /// The sealed identity cannot be opened, or the lease on its key is lost.
    Identity = 8,
}

/// What a second signal adds to its number.
pub const SIGNALLED: u8 = 128;

/// Why the daemon ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The sealed identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The control socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The metrics address.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// What servers' quotes are to be judged by.
    #[error("{0}")]
    ServerFiles(String),
    /// There is a store that this start would not look into.
    #[error(
        "there is the store {}, of a daemon {} a sealed identity: its messages would be forgotten", .0.display(),
        if .0.extension().is_some() { "with" } else { "without" }
    )]
    OtherStore(PathBuf),
    /// A folder for the state.
    #[error("cannot make the folder {}: {source}", dir.display())]
    StateDir {
        /// Which.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Threads, signals.
    #[error("cannot {action}: {source}")]
    System {
        /// What was attempted.
        action: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// The network of `--dev`.
    #[error("the dev network failed: {0}")]
    Dev(String),
}

impl Failure {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(ConfigError::MessageTooLong { .. }) => Exit::MessageTooLong,
            Self::Config(_) | Self::ServerFiles(_) => Exit::Usage,
            Self::Store(_) | Self::OtherStore(_) | Self::StateDir { .. } => Exit::Store,
            Self::Client(error) => of_client(error),
            Self::Identity(_) => Exit::Identity,
            Self::Socket(_) | Self::Metrics(_) => Exit::Address,
            Self::System { .. } | Self::Dev(_) => Exit::Failed,
        }
    }

    /// One sentence of advice, where there is any. Chosen by the kind of failure, never by its text.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Client(ClientError::ConnectTimeout(NotFound::Nobody { .. })) => CONNECT_TIMEOUT_HINT,
            Self::Client(ClientError::OtherDeployment(_)) => OTHER_DEPLOYMENT_HINT,
            Self::Client(ClientError::Memory(MemoryError::OtherInstance { .. })) => {
                "every instance needs a state folder of its own: set ZIPNET_STATE_DIR"
            }
            Self::Client(ClientError::Memory(MemoryError::OtherDeployment { .. })) => {
                "to follow the pin, start with a new state folder (ZIPNET_STATE_DIR); messages do not move along"
            }
            Self::Store(StoreError::Locked { .. }) => {
                "another zipnetd uses this state folder: stop it, or set ZIPNET_STATE_DIR"
            }
            Self::OtherStore(_) => {
                "start as before (sealed_identity) and drain it, or set ZIPNET_STATE_DIR, or remove it with what is in it"
            }
            Self::Identity(error) => return of_identity(error),
            Self::Socket(SocketError::InUse { .. }) => {
                "another zipnetd runs already: stop it, or give this one a socket of its own with ZIPNET_SOCKET"
            }
            _ => return None,
        })
    }
}

/// What helps when nobody serves the instance.
pub const CONNECT_TIMEOUT_HINT: &str = "check the instance's name for typos (ZIPNET_INSTANCE) and whether the bootstrap \
                                        peer is right and can be reached (ZIPNET_BOOTSTRAP)";
/// What helps when the name is served by others than the known deployment.
pub const OTHER_DEPLOYMENT_HINT: &str = "a changed deployment is never adopted by itself: ask its operators for the id \
                                         and pin it, ZIPNET_INSTANCE=\"name#id\", with a new state folder";

fn of_identity(error: &IdentityError) -> Option<&'static str> {
    Some(match error {
        IdentityError::Seal(error) => return error.hint(),
        IdentityError::Late { .. } => {
            "check that the key broker, the quote helper and the disk answer, then start again"
        }
        IdentityError::Lost(_) => {
            "start again when the key broker answers; what was accepted is kept, and no identity was lost"
        }
        IdentityError::Died(_) => return None,
    })
}

fn of_client(error: &ClientError) -> Exit {
    match error {
        ClientError::MessageTooLong { .. } => Exit::MessageTooLong,
        ClientError::NoJudge => Exit::Usage,
        ClientError::ConnectTimeout(_) | ClientError::NoServer { .. } => Exit::ConnectTimeout,
        ClientError::OtherDeployment(_) | ClientError::Memory(MemoryError::OtherDeployment { .. }) => {
            Exit::Deployment
        }
        ClientError::Memory(_) | ClientError::Load { .. } => Exit::Store,
        ClientError::Links(_) | ClientError::Universe(_) | ClientError::Died(_) => Exit::Failed,
    }
}
