//! The committee's log: `openraft` on the durable store, over whatever carries calls between servers.
//!
//! What goes in are opaque entries ([`Log::propose`]); what comes out is the same sequence of entries at every
//! member's [`Machine`]. The log orders and decides; anonymity does not rest on it (docs/protocol.md, section 4).
//!
//! - Vote, entries, commit index, purge point and snapshots are durable before anybody is told of them.
//! - The machine lives in memory: [`Log::open`] restores it from the last snapshot and applies the committed entries again.
//! - A member that lost its store must not come back under the same identity: it has forgotten its votes.
//!
//! Calls between members are encoded with postcard, and so is what is in the store.

mod error;
mod log;
mod log_store;
mod machine;
mod network;
mod shared;
mod snapshots;
#[cfg(test)]
mod tests;
mod types;
mod under_way;

use std::time::Duration;

use futures::future::BoxFuture;
use zipnet_dcnet::ids::PeerId;

pub use error::{LogError, ProposeError};
pub use log::{Log, STEP_BACK};
pub(crate) use under_way::UnderWay;

/// Longest entry in bytes.
pub const MAX_ENTRY_BYTES: usize = 1536 * 1024;
/// Longest snapshot in bytes that a machine may make or be sent.
pub const MAX_SNAPSHOT_BYTES: usize = 256 * 1024 * 1024;
/// Longest body of a call between members, in bytes, either way.
pub const MAX_CALL_BYTES: usize = 2 * 1024 * 1024;
/// Most members of a log.
pub const MAX_MEMBERS: usize = 64;

/// A snapshot is made after this many entries.
const SNAPSHOT_EVERY: u64 = 500;
/// Entries kept behind a snapshot, for members that lag a little.
const KEEP_ENTRIES: u64 = 64;
/// Entries in one append call.
const APPEND_ENTRIES: u64 = 32;
/// Bytes of entries in one append call, unless a single one is longer: a follower must write them and answer within
/// one heartbeat interval, or the leader sends the same ones again for ever.
const APPEND_BYTES: usize = 1024 * 1024;
/// Bytes of a snapshot in one call.
const SNAPSHOT_CHUNK_BYTES: u64 = 1024 * 1024;
/// For one chunk of a snapshot, the installation of the whole included.
const SNAPSHOT_CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Proposals under way at a time; more wait for their turn within their timeout.
const PROPOSALS: usize = 64;
/// Calls from members handled at a time; more are refused.
const CALLS: usize = 64;

// An entry with its log id must fit a value of the store, where a failed write stops the log, and a call.
const _: () = assert!(MAX_ENTRY_BYTES + 1024 <= zipnet_store::MAX_VALUE_BYTES);
const _: () = assert!(MAX_ENTRY_BYTES + 1024 <= MAX_CALL_BYTES && APPEND_BYTES + 1024 <= MAX_CALL_BYTES);

/// What a call between members carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RaftKind {
    /// Entries, the commit index, or just a heartbeat.
    Append,
    /// A candidate asks for a vote.
    Vote,
    /// A part of a snapshot.
    Snapshot,
}

/// Carries calls to the other members.
pub trait Peers: Send + Sync + 'static {
    /// Hands `body` to [`Log::handle`] of member `to` and returns what that returned.
    ///
    /// Must end within `timeout`. A call may arrive twice, late, or not at all. Bodies are at most [`MAX_CALL_BYTES`].
    fn call(
        &self,
        to: PeerId,
        kind: RaftKind,
        body: Vec<u8>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, String>>;
}

/// What the committed entries act on. Deterministic: the same entries make the same state at every member.
pub trait Machine: Send + 'static {
    /// Applies the committed entry at `index`. Indexes ascend; some are missing, as the log has entries of its own.
    fn apply(&mut self, index: u64, entry: &[u8]);

    /// The whole state, at most [`MAX_SNAPSHOT_BYTES`]. Entries wait while it is made.
    fn snapshot(&self) -> Vec<u8>;

    /// Replaces the state by that of a snapshot.
    ///
    /// # Errors
    /// What is wrong with the bytes; the log then stops.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String>;
}

/// Who takes part in a log, and its times.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// This member.
    pub me: PeerId,
    /// All members, this one among them, in the same order everywhere: a member's place is its Raft id.
    pub members: Vec<PeerId>,
    /// From one heartbeat of the leader to the next. An append call must be answered within it.
    pub heartbeat: Duration,
    /// Shortest election timeout.
    pub election_min: Duration,
    /// Longest election timeout, and the leader's lease: a dead leader is replaced after one to two of these.
    pub election_max: Duration,
    /// How long a proposal may take.
    pub propose_timeout: Duration,
}

impl LogConfig {
    /// The times of docs/architecture.md, by the round deadline of the deployment, whose parameters are chosen for its links:
    /// heartbeats every 800 ms up to a deadline of 12 s, and every fifteenth of a longer one up to 3 s; elections after about
    /// two to three heartbeats without any; proposals within 5 s.
    ///
    /// An append over links of 300 ms one way needs 600 ms and its flush, and as much again when a packet is lost.
    pub fn new(me: PeerId, members: Vec<PeerId>, round_deadline: Duration) -> LogConfig {
        let heartbeat = (round_deadline / 15).clamp(Duration::from_millis(800), Duration::from_secs(3));
        LogConfig {
            me,
            members,
            heartbeat,
            election_min: heartbeat * 15 / 8,
            election_max: heartbeat * 11 / 4,
            propose_timeout: Duration::from_secs(5),
        }
    }
}
