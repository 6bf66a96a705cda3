//! Messages: their names, states, and what the store keeps of them.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;
use zipnet_dcnet::ids::HeaderDigest;

/// A message's name: a UUIDv7, ascending by acceptance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct MessageId(pub [u8; 16]);

impl MessageId {
    /// The key of writes that are about no message, so that they look like the others on the disk.
    pub const NONE: Self = Self([0; 16]);
    /// The key of the standing message (`ZIPNET_MESSAGE`).
    pub const STANDING: Self = Self([0xff; 16]);

    /// A UUIDv7 from the time in Unix milliseconds, a sequence number of 12 bits within it, and 8 random bytes.
    pub fn new(now: u64, sequence: u16, random: [u8; 8]) -> Self {
        let mut out = [0; 16];
        out[..6].copy_from_slice(&now.to_be_bytes()[2..]);
        out[6..8].copy_from_slice(&(sequence & 0x0fff | 0x7000).to_be_bytes());
        out[8..].copy_from_slice(&random);
        out[8] = out[8] & 0x3f | 0x80;
        Self(out)
    }

    /// The time and the sequence number to name the next message by, after one with `last`: ids ascend strictly.
    pub(super) fn after(last: (u64, u16), now: u64) -> (u64, u16) {
        match last {
            (at, _) if at < now => (now, 0),
            (at, 0x0fff) => (at + 1, 0),
            (at, sequence) => (at, sequence + 1),
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(uuid::Uuid::from_bytes(self.0).as_hyphenated(), f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no message id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a message id: expected a UUID")]
pub struct MessageIdError(pub String);

impl FromStr for MessageId {
    type Err = MessageIdError;

    fn from_str(text: &str) -> Result<Self, MessageIdError> {
        let uuid = uuid::Uuid::try_parse(text).map_err(|_| MessageIdError(text.to_owned()))?;
        Ok(Self(uuid.into_bytes()))
    }
}

/// Why a message failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Failure {
    /// Somebody may have read it and tied it to this client: it is never sent again by itself (R10).
    Exposed,
    /// It may or may not be in the log.
    Unknown,
}

impl Failure {
    /// The word for it in the control API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exposed => "exposed",
            Self::Unknown => "unknown",
        }
    }
}

/// Where a message was sealed into, and what settles it after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SealedAt {
    /// The round.
    pub round: u64,
    /// The slot.
    pub slot: u32,
    /// The header it was sealed under.
    pub header_digest: HeaderDigest,
    /// This client's index in the header's roster.
    pub index: u32,
    /// The header's servers: bit i for the descriptor's server i.
    pub servers: u32,
    /// When, in Unix milliseconds.
    pub at: u64,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum State {
    /// Kept, waits for its turn.
    Queued,
    /// Left, or may have left; until its round is settled it is not sent again.
    Sealed(SealedAt),
    /// Terminal: in the log.
    Published {
        /// The round.
        round: u64,
        /// The slot; not on the disk, so `None` after a restart.
        #[borsh(skip)]
        slot: Option<u32>,
    },
    /// Terminal: taken back.
    Cancelled,
    /// Terminal: its time ran out before it was sealed.
    Expired,
    /// Terminal.
    Failed(Failure),
}

impl State {
    /// Whether nothing more happens to it.
    pub fn is_terminal(&self) -> bool {
        !matches!(self, Self::Queued | Self::Sealed(_))
    }
}

/// Why the last attempt did not publish the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Setback {
    /// The envelope was not in the round's fold.
    Absent,
    /// The round was abandoned, and nobody can have read it.
    Abandoned,
    /// The seal could not be written down, so nothing left.
    NotStored,
}

impl Setback {
    /// A sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "the envelope did not reach the round",
            Self::Abandoned => "the round was abandoned before anybody could read it",
            Self::NotStored => "the attempt could not be written to disk, so nothing was sent",
        }
    }
}

/// A message as the core holds it and the store keeps it. No `Debug`: it has the payload.
#[derive(Clone, BorshSerialize, BorshDeserialize)]
pub struct Message {
    /// Its name.
    pub id: MessageId,
    /// Whose it is.
    pub uid: u32,
    /// The request id, if the caller gave one.
    pub request_id: Option<String>,
    /// Its state.
    pub state: State,
    /// In Unix milliseconds.
    pub accepted_at: u64,
    /// In Unix milliseconds.
    pub expires_at: u64,
    /// The last ended round known at its acceptance; 0 when none was. It was not sealed in that round or before.
    pub after_round: u64,
    /// How often it was sealed.
    pub attempts: u32,
    /// The first round whose slot may hold it (R12: the wait after an absence).
    pub not_before_round: u64,
    /// Why the last attempt did not publish it.
    pub setback: Option<Setback>,
    /// A receipt is wanted. Beside the rest on the disk, see [`super::store`].
    #[borsh(skip)]
    pub receipt: bool,
    /// Empty once terminal.
    #[borsh(serialize_with = "write_bytes", deserialize_with = "read_bytes")]
    pub payload: Zeroizing<Vec<u8>>,
}

fn write_bytes<W: borsh::io::Write>(bytes: &Zeroizing<Vec<u8>>, writer: &mut W) -> borsh::io::Result<()> {
    BorshSerialize::serialize(&**bytes, writer)
}

fn read_bytes<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Zeroizing<Vec<u8>>> {
    BorshDeserialize::deserialize_reader(reader).map(Zeroizing::new)
}

/// A message as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageView {
    /// Its name.
    pub id: MessageId,
    /// Whose it is.
    pub uid: u32,
    /// The request id, if the caller gave one.
    pub request_id: Option<String>,
    /// Its state; a queued one shows as reserved while `reserved`.
    pub state: State,
    /// Queued, and a reservation is under way that may carry it.
    pub reserved: bool,
    /// In Unix milliseconds.
    pub accepted_at: u64,
    /// In Unix milliseconds.
    pub expires_at: u64,
    /// How often it was sealed.
    pub attempts: u32,
    /// A receipt was asked for.
    pub receipt: bool,
    /// Bytes of the payload; `None` once the payload is forgotten.
    pub length: Option<u32>,
    /// Why the last attempt did not publish it, a sentence; empty before the first.
    pub last_reason: &'static str,
    /// What happens next, a sentence; empty when terminal.
    pub next_step: String,
    /// At the latest when, in Unix milliseconds; always there unless terminal.
    pub next_at: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_that_ascend_within_a_millisecond_and_when_the_clock_stands() {
        let mut last = (0, 0);
        let mut before = MessageId::NONE;
        for n in 0..10_000u64 {
            last = MessageId::after(last, 1_000 + n / 9_000);
            let id = MessageId::new(last.0, last.1, [(n % 251) as u8; 8]);
            assert!(before < id && id < MessageId::STANDING);
            assert_eq!(id.to_string().parse(), Ok(id));
            before = id;
        }
        assert_eq!(uuid::Uuid::from_bytes(before.0).get_version_num(), 7);
        assert_eq!("x".parse::<MessageId>(), Err(MessageIdError("x".into())));
    }
}
