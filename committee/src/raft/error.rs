//! What opening a log and proposing to it can fail with.

use std::time::Duration;

use thiserror::Error;
use zipnet_dcnet::ids::PeerId;
use zipnet_store::StoreError;

/// Why a log did not open.
#[derive(Debug, Error)]
pub enum LogError {
    /// Members or times that make no log.
    #[error("the log's configuration does not work: {0}")]
    Config(String),
    /// The store belongs to a log of other members, or of the same in another order.
    #[error("the store holds the log of other members: {stored}; configured are {configured}")]
    OtherMembers {
        /// The members in the store.
        stored: String,
        /// The members configured.
        configured: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds something that is no log.
    #[error("the log in the store cannot be read: {0}")]
    Malformed(String),
    /// The machine refused the snapshot in the store.
    #[error("the machine refused its snapshot: {0}")]
    Restore(String),
    /// openraft refused to start.
    #[error("the log did not start: {0}")]
    Start(String),
}

/// Why a proposal did not succeed.
///
/// After `NotLeader` and `Timeout` the entry may be committed all the same, now or later: entries are made so that a
/// second one of the same content does no harm.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// Only the leader takes proposals; or it lost its office before the entry was committed.
    #[error("not the leader; {}", leader.map_or_else(|| "none is known".to_owned(), |leader| format!("{leader} is")))]
    NotLeader {
        /// Who leads, if known.
        leader: Option<PeerId>,
    },
    /// The entry is over `MAX_ENTRY_BYTES`. It was not proposed.
    #[error("an entry of {len} bytes is over the limit of {max}")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The same entry is on its way already, and not committed yet.
    #[error("the same entry is on its way already")]
    UnderWay,
    /// No majority confirmed the entry in time.
    #[error("no majority confirmed the entry within {0:?}")]
    Timeout(Duration),
    /// The log has stopped: shut down, or its store failed.
    #[error("the log has stopped: {0}")]
    Stopped(String),
}
