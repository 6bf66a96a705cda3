//! Every bound of the control socket, by name.

use std::time::Duration;

/// The bounds. Tests make them smaller.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections in total; a further one is closed at once.
    pub connections: usize,
    /// Connections of one uid, so that one user cannot keep the others out. Root and the daemon's own user are not
    /// exempt, but no other user can use up their share.
    pub connections_per_uid: usize,
    /// Calls under way in total, waits of `Get` included; a further one is `TooManyCallers`.
    pub calls: usize,
    /// The same of one uid.
    pub calls_per_uid: usize,
    /// Streams of the broadcast log; a further one is `TooManyCallers`.
    pub readers: usize,
    /// The same of one uid.
    pub readers_per_uid: usize,
    /// Watchers of messages; a further one is `TooManyCallers`.
    pub subscribers: usize,
    /// The same of one uid.
    pub subscribers_per_uid: usize,
    /// Walks through the log, which have a server give all that it keeps; a further one is `TooManyCallers`.
    pub verifiers: usize,
    /// The same of one uid.
    pub verifiers_per_uid: usize,
    /// Items between the daemon and a reader or watcher that is behind.
    pub stream_items: usize,
    /// A reader or watcher that takes nothing for this long is told `Lagged`.
    pub stream_stall: Duration,
    /// Calls that one connection may have under way; HTTP/2 makes the caller wait with more.
    pub streams_per_connection: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            connections_per_uid: 64,
            calls: 512,
            calls_per_uid: 128,
            readers: 32,
            readers_per_uid: 8,
            subscribers: 64,
            subscribers_per_uid: 16,
            verifiers: 2,
            verifiers_per_uid: 1,
            stream_items: 64,
            stream_stall: Duration::from_secs(30),
            streams_per_connection: 64,
        }
    }
}

/// When a caller who met a bound may try again.
pub(super) const BUSY_RETRY: Duration = Duration::from_secs(1);
/// Between two pings on a connection that says nothing.
pub(super) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Without an answer to a ping for this long the connection is closed.
pub(super) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
