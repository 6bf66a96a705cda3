//! Every bound of the links, by name.

use std::sync::Arc;
use std::time::Duration;

use iroh::endpoint::{AckFrequencyConfig, QuicTransportConfig, VarInt};

use super::Role;
use super::congestion::Floored;

/// Connections that an acceptor holds in total; 100 KB each. Further ones are refused.
pub const MAX_CONNECTIONS: usize = 4_096;
/// Connections per peer id; a newer one replaces the oldest. Two, so that a peer can move without a gap.
pub const MAX_CONNECTIONS_PER_PEER: usize = 2;
/// Handshakes under way at an acceptor. Further ones wait: a thousand at once would all be late.
pub const MAX_HANDSHAKES: usize = 256;
/// Streams that a client may have open on one connection. More calls wait at the caller.
pub const MAX_STREAMS_CLIENT: u32 = 32;
/// Streams that a server or an aggregator may have open on one connection.
pub const MAX_STREAMS_NODE: u32 = 256;
/// Requests of one peer under way at an acceptor, over all its connections, lost ones too.
pub const MAX_REQUESTS_PER_PEER: usize = 512;
/// A handshake at the acceptor, to the verified hello.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// One attempt to reach a peer, the hello included.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(8);
/// How long [`Link::open`](super::Link::open) waits for a connection.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// A request has to arrive in this time.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A reader that takes nothing for this long loses its stream.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection without a packet for this long is gone. Whoever hears of rounds from a server that died hears of none
/// for this long, and takes part in none: no longer than lost packets on slow links need.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// A quiet connection sends a packet this often.
pub const KEEP_ALIVE: Duration = Duration::from_millis(1_500);
/// The first pause after a lost connection or a failed dial; doubles up to [`BACKOFF_MAX`].
pub const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest pause between two dials.
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// How long [`Links::close`](super::Links::close) takes at most.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes in flight before the hello is verified.
const WINDOW_HELLO: u32 = 64 * 1024;
/// Bytes in flight from a client, all streams together: a full envelope and some.
const WINDOW_CLIENT: u32 = 2 * 1024 * 1024;
/// Bytes in flight from a server or an aggregator.
const WINDOW_NODE: u32 = 16 * 1024 * 1024;
/// Bytes in flight on one stream, towards the reader.
const WINDOW_STREAM: u32 = 1024 * 1024;
/// Bytes buffered for a peer that does not acknowledge, per connection.
const WINDOW_SEND: u64 = 8 * 1024 * 1024;

/// Packets that may arrive before an acknowledgement is due: an envelope is 13 to 16 of them, and a packet of mere
/// acknowledgements costs as much CPU as one of data.
const ACK_EVERY: u32 = 10;

/// The bounds that tests make smaller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub connections: usize,
    pub per_peer: usize,
    pub handshakes: usize,
    pub requests_per_peer: usize,
    pub hello: Duration,
    pub request: Duration,
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: MAX_CONNECTIONS,
            per_peer: MAX_CONNECTIONS_PER_PEER,
            handshakes: MAX_HANDSHAKES,
            requests_per_peer: MAX_REQUESTS_PER_PEER,
            hello: HELLO_TIMEOUT,
            request: REQUEST_TIMEOUT,
            stall: STALL_TIMEOUT,
        }
    }
}

/// QUIC parameters of both sides. What the remote may do starts small and grows with [`grant`].
pub(super) fn transport(role: Role) -> QuicTransportConfig {
    // A dialer takes no streams and reads what it asked for; an acceptor knows its peer only after the hello.
    let (streams, window) = if role.accepts() { (1, WINDOW_HELLO) } else { (0, WINDOW_NODE) };
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(ACK_EVERY));
    QuicTransportConfig::builder()
        .congestion_controller_factory(Arc::new(Floored::new(role == Role::Client)))
        .ack_frequency_config(Some(acks))
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(WINDOW_STREAM))
        .receive_window(VarInt::from_u32(window))
        .send_window(WINDOW_SEND)
        .max_idle_timeout(Some(
            IDLE_TIMEOUT.try_into().expect("invariant: the idle timeout fits a QUIC integer"),
        ))
        .keep_alive_interval(KEEP_ALIVE)
        .default_path_keep_alive_interval(KEEP_ALIVE)
        .default_path_max_idle_timeout(IDLE_TIMEOUT)
        .build()
}

/// Lets an authenticated dialer use its connection.
pub(super) fn grant(conn: &iroh::endpoint::Connection, role: Role) {
    let (streams, window) = if role == Role::Client {
        (MAX_STREAMS_CLIENT, WINDOW_CLIENT)
    } else {
        (MAX_STREAMS_NODE, WINDOW_NODE)
    };
    conn.set_receive_window(VarInt::from_u32(window));
    conn.set_max_concurrent_bi_streams(VarInt::from_u32(streams));
}

/// Lets a dialer receive long answers on a connection that it opened; it takes no streams there.
pub(super) fn grant_dialed(conn: &iroh::endpoint::Connection) {
    conn.set_receive_window(VarInt::from_u32(WINDOW_NODE));
    conn.set_max_concurrent_bi_streams(VarInt::from_u32(0));
}
