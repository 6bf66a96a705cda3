//! What clients, aggregators and servers say to each other over links, besides envelopes and the Raft log.
//! One type per direction of a frame kind; a foreign one is checked by the rules of its parts after decoding.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::aggregate::{Aggregate, Bitmap};
use crate::header::SignedHeader;
use crate::ids::{Bundle, HeaderDigest, Session};
use crate::record::SignedRecord;
use crate::register::{Answer, Request};
use crate::roster::{Roster, RosterDelta};
use crate::signed::Signed;
use crate::statement::Disclosure;

/// Most log items in one answer to [`RecordsCall`]; fewer when they are long.
pub const MAX_RECORDS: u32 = 1_024;

/// Codes by which a call is refused. The text that comes along is for people.
pub mod refusal {
    /// The body does not decode, or makes no sense.
    pub const MALFORMED: u16 = 1;
    /// The caller may not ask for this.
    pub const FORBIDDEN: u16 = 2;
    /// Registration: the request signs another boot nonce; ask for it again.
    pub const BOOT: u16 = 3;
    /// Registration: this session cannot (again) be registered here; start a new one.
    pub const SESSION: u16 = 4;
    /// Not now: starting, or no room. Try again later.
    pub const LATER: u16 = 5;
    /// Registration: the admission says no.
    pub const NOT_ADMITTED: u16 = 6;
    /// The one asked is not the leader.
    pub const NOT_LEADER: u16 = 7;
    /// No such roster or header here.
    pub const UNKNOWN: u16 = 8;
    /// The round is over, not open yet, or folded already.
    pub const NOT_OPEN: u16 = 9;
    /// The rules of section 6 refuse the envelope.
    pub const ENVELOPE: u16 = 10;

    /// A short name to count by.
    pub fn name(code: u16) -> &'static str {
        match code {
            MALFORMED => "malformed",
            FORBIDDEN => "forbidden",
            BOOT => "boot",
            SESSION => "session",
            LATER => "later",
            NOT_ADMITTED => "not_admitted",
            NOT_LEADER => "not_leader",
            UNKNOWN => "unknown",
            NOT_OPEN => "not_open",
            ENVELOPE => "envelope",
            _ => "other",
        }
    }
}

/// Client to server: frame kind `Register`.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RegisterCall {
    /// What is your boot nonce, which a registration has to sign? And do you share a chain with this session of mine?
    Boot(Session),
    /// R2. The same `e_cs` gets the same answer.
    Register(Box<Signed<Request>>),
}

/// The server's answer to [`RegisterCall`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RegisterReply {
    /// The boot nonce that the server's log knows it by, its bundle, and whether the session is registered with it: it need
    /// not be any longer, and then the client registers anew.
    Boot([u8; 32], Bundle, bool),
    /// R2.
    Answer(Box<Signed<Answer>>),
}

/// A server's answer to a call of frame kind `Quote`, whose body is empty: what it runs, where servers show that.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct QuoteReply {
    /// The server.
    pub server: Bundle,
    /// A quote over that and over its boot nonce, at most [`MAX_EVIDENCE_BYTES`](crate::register::MAX_EVIDENCE_BYTES).
    pub quote: Vec<u8>,
}

/// Client, aggregator or reader to server: frame kind `Events`, answered by a stream of [`Event`]s. The stream starts
/// with the last final record and the open round, if there are.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EventsCall {
    /// Digest of the roster the caller has already; zero for none. A delta to it is sent if the server can.
    pub roster: [u8; 32],
}

/// How a subscriber gets from the roster it has to the one of the header.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RosterUpdate {
    /// It has it.
    Same,
    /// From the one it has.
    Delta(RosterDelta),
    /// It has to fetch it by digest: frame kind `Roster`.
    Fetch,
}

/// What a server pushes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Event {
    /// A round is open: all signatures of its header are in the log.
    Open {
        /// The header with its signatures.
        header: Box<SignedHeader>,
        /// How to get its roster.
        roster: RosterUpdate,
    },
    /// A round ended. Records are sent when all signatures are there; or half a second after they became final, and again
    /// when there are more. Abandoned rounds are sent at once, and again with more disclosures.
    Ended(Ended),
    /// This server's boot nonce changed or is told first: whoever registered under another one registers anew.
    Boot([u8; 32]),
}

/// How a round ended; what a server keeps of it and serves by round.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Ended {
    /// It published.
    Final(Box<SignedRecord>),
    /// It was abandoned.
    Abandoned(Abandoned),
}

impl Ended {
    /// The round.
    pub fn round(&self) -> u64 {
        match self {
            Self::Final(signed) => signed.record.round,
            Self::Abandoned(abandoned) => abandoned.round,
        }
    }
}

/// An abandoned round. Nobody's word but the disclosures' counts (R10).
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Abandoned {
    /// The round.
    pub round: u64,
    /// Its header.
    pub header_digest: HeaderDigest,
    /// The servers that said so far whether their partial got out.
    pub disclosures: Vec<Signed<Disclosure>>,
}

/// Anybody to server: frame kind `Roster`, answered by [`RosterReply`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RosterCall {
    /// Which roster.
    pub digest: [u8; 32],
}

/// The roster asked for.
pub type RosterReply = Roster;

/// Anybody to server: frame kind `Records`, answered by [`RecordsReply`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RecordsCall {
    /// From this round on.
    pub from: u64,
    /// At most this many, and at most [`MAX_RECORDS`].
    pub limit: u32,
}

/// A piece of the broadcast log.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RecordsReply {
    /// The earliest round that is kept; 0 when nothing is.
    pub earliest: u64,
    /// The last round that ended; 0 when none did.
    pub latest: u64,
    /// Ascending by round, without gaps from the first on.
    pub items: Vec<Ended>,
}

/// Leader to aggregator: frame kind `Aggregate`. Answered by a signed aggregate when the whole roster is in, and at
/// the latest when `within_ms` is over.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AggregateCall {
    /// The header of the open round.
    pub header_digest: HeaderDigest,
    /// Time left until the fold deadline, in milliseconds.
    pub within_ms: u32,
    /// Entries that another aggregator has brought already; an empty bitmap of the roster's length for none.
    pub without: Bitmap,
}

/// What the aggregator answers.
pub type AggregateReply = Signed<Aggregate>;
