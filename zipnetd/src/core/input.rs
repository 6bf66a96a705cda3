//! What the core is told.

use zipnet_dcnet::ids::{PeerId, Session};
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::wire::{Event, RecordsReply, RegisterReply};

use super::message::MessageId;

/// One thing that happened. The caller hands every input in with the time, in Unix milliseconds that never go back.
pub enum Input {
    /// Time passed. Due at [`Core::next_wake`](super::Core::next_wake); more often does no harm.
    Tick,
    /// A link to a server or an aggregator came up or went down.
    Link {
        /// The other end, authenticated.
        peer: PeerId,
        /// Whether it is up now.
        up: bool,
    },
    /// A server pushed something.
    Event {
        /// The server, authenticated by its link.
        from: PeerId,
        /// What it said.
        event: Event,
    },
    /// The answer to [`Output::FetchRoster`](super::Output::FetchRoster); `None` when nobody gave it.
    Roster {
        /// The one asked for.
        digest: [u8; 32],
        /// As it came, unchecked.
        roster: Option<Box<Roster>>,
    },
    /// The answer to [`Output::FetchRecords`](super::Output::FetchRecords); `None` when nobody answered.
    Records {
        /// The round that was asked for.
        from_round: u64,
        /// Who answered.
        server: PeerId,
        /// As it came, unchecked.
        reply: Option<RecordsReply>,
    },
    /// The answer to [`Output::Register`](super::Output::Register).
    Register {
        /// The server asked.
        server: PeerId,
        /// As it came, unchecked.
        result: Result<RegisterReply, RegisterFailure>,
    },
    /// The answer to [`Output::Attest`](super::Output::Attest).
    Attested {
        /// The one that was asked for.
        session: Session,
        /// The evidence to send, or why there is none.
        result: Result<Vec<u8>, String>,
    },
    /// How [`Output::SendEnvelope`](super::Output::SendEnvelope) went.
    Envelope {
        /// Its round.
        round: u64,
        /// Whether the aggregator took it.
        taken: bool,
    },
    /// The [`Output::Write`](super::Output::Write) of this ticket is durable, or failed.
    Stored {
        /// The write's.
        ticket: u64,
        /// How it ended.
        result: Result<(), StoreFailure>,
    },
    /// Somebody at the control socket wants something. Reads go through
    /// [`Core::message`](super::Core::message) and [`Core::status`](super::Core::status).
    Command {
        /// Comes back in the [`Output::Reply`](super::Output::Reply).
        reply: u64,
        /// What.
        command: Command,
    },
    /// Reserve in every Nth round from now on; clamped to 1..=[`MAX_CADENCE`](super::config::MAX_CADENCE).
    SetCadence(u32),
    /// Only cover, and take no messages, or no longer so.
    SetPaused(bool),
    /// Take no more messages, and end with [`Output::Stopped`](super::Output::Stopped).
    Stop {
        /// Cover on for a fresh draw of `warm_up` first; otherwise end at once. A second stop without it ends now.
        linger: bool,
    },
}

/// Why a registration call brought no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterFailure {
    /// No link, or no answer in time. The same request is sent again.
    Unreachable,
    /// The server's boot nonce is another one by now.
    Boot,
    /// The session was evicted and never returns: a new one is started (R2).
    Evicted,
    /// The evidence does not suffice, in the server's words.
    NotAdmitted(String),
    /// Anything else, in the server's words.
    Refused(String),
}

/// Why a write did not become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFailure {
    /// No room.
    Full,
    /// Anything else.
    Failed,
}

/// What a caller at the control socket may change.
pub enum Command {
    /// Take a message. Answered when it is durable.
    Accept {
        /// The caller.
        uid: u32,
        /// What to publish.
        payload: Vec<u8>,
        /// Names the request: the same id of the same uid is the same message.
        request_id: Option<String>,
        /// [`MIN_TTL_MS`](super::config::MIN_TTL_MS) to [`MAX_TTL_MS`](super::config::MAX_TTL_MS); `None` for
        /// [`DEFAULT_TTL_MS`](super::config::DEFAULT_TTL_MS).
        ttl_ms: Option<u64>,
        /// Keep a receipt once it is published.
        receipt: bool,
    },
    /// Take a message back that was not sealed yet.
    Cancel {
        /// The caller.
        uid: u32,
        /// Which.
        id: MessageId,
    },
}
