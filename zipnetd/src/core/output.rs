//! What the core wants done.

use zipnet_dcnet::ids::{PeerId, RecordDigest, Session};
use zipnet_dcnet::seal::Envelope;
use zipnet_dcnet::wire::RegisterCall;

use super::input::StoreFailure;
use super::message::{MessageId, MessageView};

/// The tree of the store that is the core's; nobody else writes it. It is scanned as a whole for [`super::Loaded`].
pub const TREE: &str = "messages";
/// The tree of receipts: key a message id, value a `Receipt` of zipnet-dcnet as it encodes itself.
pub const RECEIPTS: &str = "receipts";

/// One thing to do, in this order.
pub enum Output {
    /// Write this atomically, and say [`Input::Stored`](super::Input::Stored) when it is durable.
    Write {
        /// Names the write.
        ticket: u64,
        /// Changes, in order. At most 16 MiB together.
        ops: Vec<Op>,
    },
    /// Call this server, and say [`Input::Register`](super::Input::Register). One call per server at a time. Give up
    /// after 10 s.
    Register {
        /// Whom.
        server: PeerId,
        /// What.
        call: RegisterCall,
    },
    /// Make evidence for this session of this client, and say [`Input::Attested`](super::Input::Attested). At most
    /// one for a session.
    Attest {
        /// The session.
        session: Session,
        /// The last record that counts; the deployment's id while there is none.
        record: RecordDigest,
    },
    /// Get a roster, and say [`Input::Roster`](super::Input::Roster).
    FetchRoster {
        /// Who has it for sure.
        from: PeerId,
        /// Which.
        digest: [u8; 32],
    },
    /// Get records from any server, another one than `not` if there is, and say
    /// [`Input::Records`](super::Input::Records). One call at a time.
    FetchRecords {
        /// From this round on.
        from_round: u64,
        /// At most this many.
        limit: u32,
        /// Whose last answer was of no use.
        not: Option<PeerId>,
    },
    /// Send this at `not_before` (at once when that is past), unless `not_after` is over, and say
    /// [`Input::Envelope`](super::Input::Envelope). Never to a second aggregator.
    SendEnvelope {
        /// Whom.
        aggregator: PeerId,
        /// What; always the same length.
        envelope: Envelope,
        /// The moment drawn, in Unix milliseconds.
        not_before: u64,
        /// The end of the fold, in Unix milliseconds.
        not_after: u64,
    },
    /// The answer to a command.
    Reply {
        /// As in the [`Input::Command`](super::Input::Command).
        reply: u64,
        /// The answer.
        answer: Result<Answer, Refusal>,
    },
    /// Worth a line in the log. Says nothing that tells talk from cover.
    Notice(Notice),
    /// The core is done: nothing more comes, and nothing is lost by dropping it.
    Stopped,
}

/// A change to [`TREE`], or to [`RECEIPTS`] where it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sets a key.
    Put {
        /// 16 bytes.
        key: Vec<u8>,
        /// What [`super::Loaded`] reads.
        value: Vec<u8>,
    },
    /// Removes a key.
    Delete {
        /// 16 bytes.
        key: Vec<u8>,
    },
    /// Sets a key of [`RECEIPTS`].
    PutReceipt {
        /// 16 bytes.
        key: Vec<u8>,
        /// At most [`MAX_RECEIPT_BYTES`](super::config::MAX_RECEIPT_BYTES).
        value: Vec<u8>,
    },
    /// Removes a key of [`RECEIPTS`].
    DeleteReceipt {
        /// 16 bytes.
        key: Vec<u8>,
    },
}

/// What a command was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The message is kept.
    Accepted {
        /// Its name.
        id: MessageId,
        /// The request id was known: nothing was queued.
        duplicate: bool,
    },
    /// The answer to a cancel.
    Cancelled {
        /// Taken back; otherwise too late, it is sealed or terminal already.
        cancelled: bool,
        /// The message as it is now.
        message: Box<MessageView>,
    },
}

/// Why a caller gets nothing. The names are those of the control API's reasons, see [`Refusal::reason`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request makes no sense.
    #[error("{0}")]
    InvalidRequest(String),
    /// Longer than a slot holds; nothing was queued.
    #[error("the message has {len} bytes, a slot takes at most {max}")]
    MessageTooLong {
        /// Bytes of the message.
        len: usize,
        /// Bytes that fit.
        max: usize,
    },
    /// The request id stands for another payload; nothing was queued.
    #[error("request id `{0}` was used before for another payload")]
    RequestIdReused(String),
    /// No room; nothing was queued.
    #[error("the queue holds {messages} messages with {bytes} bytes, no more fit")]
    QueueFull {
        /// Messages in it.
        messages: usize,
        /// Payload bytes in it.
        bytes: usize,
    },
    /// The daemon is on its way down.
    #[error("the daemon is stopping and takes no more messages")]
    Draining,
    /// The operator paused sending; nothing was queued.
    #[error("the operator paused sending: no more messages are taken; those queued before stay")]
    Paused,
    /// There is no receipt of the message.
    #[error("there is no receipt of message {id}: {why}")]
    NoReceipt {
        /// Which.
        id: MessageId,
        /// Why not, as a clause.
        why: String,
    },
    /// No such message.
    #[error("no message has the id {0}")]
    NotFound(MessageId),
    /// Somebody else's message.
    #[error("message {0} belongs to another user")]
    NotYours(MessageId),
    /// What was asked for could not be written down.
    #[error("it could not be written down: {}", match .0 { StoreFailure::Full => "no room on the disk", StoreFailure::Failed => "writing to the store failed" })]
    Store(StoreFailure),
}

impl Refusal {
    /// The name of the reason in the control API.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "InvalidRequest",
            Self::MessageTooLong { .. } => "MessageTooLong",
            Self::RequestIdReused(_) => "RequestIdReused",
            Self::QueueFull { .. } => "QueueFull",
            Self::Draining => "Draining",
            Self::Paused => "Paused",
            Self::NotFound(_) | Self::NoReceipt { .. } => "NotFound",
            Self::NotYours(_) => "NotYours",
            Self::Store(StoreFailure::Full) => "StoreFull",
            Self::Store(StoreFailure::Failed) => "StoreFailed",
        }
    }
}

/// A transition worth a line. None of them depends on having a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A new session begins: registering with this many servers.
    SessionStarted {
        /// Servers of the descriptor.
        servers: usize,
    },
    /// An open header lists this session with the right vouches.
    Registered {
        /// The header's round.
        round: u64,
        /// Entries of its roster.
        roster: u32,
    },
    /// The last header does not list this session (any longer).
    Unregistered {
        /// The header's round.
        round: u64,
    },
    /// From now on messages may leave.
    WarmedUp,
    /// A server does not register this client; repeated failures are told at the 1st, 2nd, 4th, 8th, …
    RegistrationFailed {
        /// Which.
        server: PeerId,
        /// Why.
        text: String,
        /// How often in a row.
        failures: u32,
    },
    /// There is no quote, without which no server of this deployment registers a client; told at the 1st, 2nd, 4th, 8th, …
    /// failure.
    NoQuote {
        /// Why.
        text: String,
        /// How often in a row.
        failures: u32,
    },
    /// Something a server said does not hold; it was dropped.
    Refused {
        /// Which server.
        from: PeerId,
        /// What was wrong.
        text: String,
        /// How often something of this server was.
        times: u32,
    },
    /// Writes about rounds fail: nothing leaves without them. Told at the 1st, 2nd, 4th, 8th, …
    StoreFailed {
        /// How.
        failure: StoreFailure,
        /// How often in a row.
        failures: u32,
    },
    /// They work again.
    StoreWorks {
        /// How many had failed.
        failures: u32,
    },
    /// Stopping: cover goes on for this many final rounds.
    Lingering {
        /// Rounds.
        rounds: u32,
    },
}
