//! What the core is told once, and the bounds it keeps.

use std::sync::Arc;

use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::PeerId;

/// Most messages that are not terminal.
pub const MAX_MESSAGES: usize = 10_000;
/// Most payload bytes of messages that are not terminal.
pub const MAX_QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Most terminal messages that are remembered; the oldest are forgotten first.
pub const MAX_TERMINAL: usize = 10_000;
/// Most bytes that terminal messages may take on disk; for long slots this bound is reached before
/// [`MAX_TERMINAL`].
pub const MAX_TERMINAL_BYTES: usize = 16 * 1024 * 1024;
/// Most receipts that are kept; the oldest are forgotten first, each at the latest with its message.
pub const MAX_RECEIPTS: usize = 1_000;
/// Longest receipt that is kept, in bytes: what one answer of the control API takes, and a value of the store.
pub const MAX_RECEIPT_BYTES: usize = 1024 * 1024 - 1024;
/// Most bytes of receipts on disk.
pub const MAX_RECEIPTS_BYTES: usize = 32 * 1024 * 1024;
/// Most messages on one page of a list, and most changes that are looked at at once.
pub const MAX_PAGE: usize = 1_000;
/// Longest request id, in bytes; the same as the control API's.
pub const MAX_REQUEST_ID_BYTES: usize = 64;
/// How long a message waits for its publication unless told otherwise, in milliseconds.
pub const DEFAULT_TTL_MS: u64 = 10 * 60 * 1_000;
/// Shortest time to live, in milliseconds.
pub const MIN_TTL_MS: u64 = 1_000;
/// Longest time to live, in milliseconds: seven days.
pub const MAX_TTL_MS: u64 = 7 * 24 * 3_600 * 1_000;
/// Largest cadence.
pub const MAX_CADENCE: u32 = 1_000;
/// Mean of the geometric number of rounds that a message waits after an absence (R12).
pub const MEAN_WAIT_ROUNDS: u32 = 8;

/// What the core works with; fixed for its life, [`Input::SetCadence`](super::Input::SetCadence) aside.
pub struct CoreConfig {
    /// Who this client is.
    pub identity: Arc<Identity>,
    /// The deployment; checked by the caller ([`Descriptor::check`]).
    pub descriptor: Descriptor,
    /// Servers without which a round is quiet for this client (R8); usually empty.
    pub pinned_servers: Vec<PeerId>,
    /// Reserve in every Nth round, cover too; 1 to [`MAX_CADENCE`].
    pub cadence: u32,
    /// `ZIPNET_MESSAGE`: published in every talking round in which the queue is empty. Not longer than a slot holds:
    /// the caller checks with [`Params::max_payload`](zipnet_dcnet::params::Params::max_payload).
    pub standing: Option<Vec<u8>>,
    /// The uid the daemon runs as: it and 0 see everybody's messages.
    pub daemon_uid: u32,
}
