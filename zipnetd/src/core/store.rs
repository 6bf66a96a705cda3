//! The core's records on disk: one per message, key its id, and one under [`MessageId::NONE`].
//!
//! A record that is written because of a round has one size, whatever it is about ([`Layout::padded`]). Records that
//! are written because of a caller may be shorter. After a version byte comes one that is 1 when a receipt is wanted, else
//! 0, then the borsh encoding, then zeros. Version 1 had no such byte, and no receipts.
//!
//! Receipts are in a tree of their own, see [`super::receipts`].

use zeroize::Zeroizing;
use zipnet_dcnet::params::{MAX_ROUND, Params};

use super::config::{MAX_REQUEST_ID_BYTES, MAX_TERMINAL, MAX_TERMINAL_BYTES};
use super::message::{Failure, Message, MessageId, SealedAt, Setback, State};
use super::output::Op;

/// Version of the records; a changed layout is a new one.
pub const VERSION: u8 = 2;
/// The version before receipts, which is read still.
const WITHOUT_RECEIPTS: u8 = 1;

/// A store that this program cannot use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Made by a newer program.
    #[error("message record {key} has version {version}, this program reads up to {VERSION}")]
    Newer {
        /// Its key, in hexadecimal.
        key: String,
        /// Its version.
        version: u8,
    },
    /// Not what was written.
    #[error("message record {key} is damaged: {what}")]
    Damaged {
        /// Its key, in hexadecimal.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// A bug: nothing would ever look at it again.
    #[error("message {0} of the store would wait for ever")]
    Stuck(MessageId),
}

/// What the store held when the daemon started.
#[derive(Default)]
pub struct Loaded {
    pub(super) messages: Vec<Message>,
    pub(super) known_round: u64,
    /// Receipts: whose, and how long.
    pub(super) receipts: Vec<(MessageId, usize)>,
}

impl Loaded {
    /// Reads all pairs of [`TREE`](super::output::TREE).
    ///
    /// # Errors
    /// [`LoadError`] at the first record that cannot be used: nothing is started on half of a store.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<Self, LoadError> {
        let mut out = Self::default();
        for (key, value) in pairs {
            let message = decode(&key, &value)?;
            out.known_round = out.known_round.max(message.after_round);
            if message.id != MessageId::NONE {
                out.messages.push(message);
            }
        }
        out.messages.sort_by_key(|m| m.id);
        Ok(out)
    }

    /// Takes in which receipts there are: the keys of [`RECEIPTS`](super::output::RECEIPTS), ascending, and the lengths of
    /// their values.
    ///
    /// # Errors
    /// [`LoadError::Damaged`] for a key that names no message.
    pub fn with_receipts(
        mut self,
        receipts: impl IntoIterator<Item = (Vec<u8>, usize)>,
    ) -> Result<Self, LoadError> {
        for (key, len) in receipts {
            let id = <[u8; 16]>::try_from(&key[..]).map_err(|_| LoadError::Damaged {
                key: hex(&key),
                what: "a receipt of no message".to_owned(),
            })?;
            self.receipts.push((MessageId(id), len));
        }
        Ok(self)
    }
}

fn hex(key: &[u8]) -> String {
    key.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn decode(key: &[u8], value: &[u8]) -> Result<Message, LoadError> {
    let damaged = |what: &str| LoadError::Damaged { key: hex(key), what: what.to_owned() };
    let (version, mut rest) = value.split_first().ok_or_else(|| damaged("it is empty"))?;
    if *version > VERSION {
        return Err(LoadError::Newer { key: hex(key), version: *version });
    }
    let receipt = if *version == WITHOUT_RECEIPTS {
        false
    } else {
        let (flag, after) = rest.split_first().ok_or_else(|| damaged("it ends early"))?;
        rest = after;
        match flag {
            0 => false,
            1 => true,
            _ => return Err(damaged("nobody writes such a flag")),
        }
    };
    let mut message: Message =
        borsh::BorshDeserialize::deserialize(&mut rest).map_err(|e| damaged(&e.to_string()))?;
    if rest.iter().any(|b| *b != 0) {
        return Err(damaged("bytes follow its end"));
    }
    if message.id.0 != key {
        return Err(damaged("it is another message's"));
    }
    let round = match message.state {
        State::Sealed(at) => at.round,
        State::Published { round, .. } => round,
        _ => 1,
    };
    let rounds = [message.after_round, message.not_before_round];
    if round == 0 || round > MAX_ROUND || rounds.iter().any(|round| *round > MAX_ROUND) {
        return Err(damaged("it names a round that nobody opened"));
    }
    message.receipt = receipt;
    Ok(message)
}

/// Sizes of records in one deployment.
pub(super) struct Layout {
    padded: usize,
}

impl Layout {
    pub(super) fn new(params: &Params) -> Self {
        // The largest record there can be; every Option and variable length at its longest.
        let sealed = SealedAt { round: 0, slot: 0, header_digest: [0; 32], index: 0, servers: 0, at: 0 };
        let largest = Message {
            request_id: Some("x".repeat(MAX_REQUEST_ID_BYTES)),
            state: State::Sealed(sealed),
            setback: Some(Setback::Absent),
            payload: Zeroizing::new(vec![0; params.max_payload()]),
            ..nothing(0)
        };
        Self { padded: bytes(&largest).len() }
    }

    /// Most terminal messages to remember, by number and by bytes.
    pub(super) fn max_terminal(&self) -> usize {
        MAX_TERMINAL.min(MAX_TERMINAL_BYTES / self.padded)
    }

    /// A record written because of a round: of one size, whatever it is about.
    pub(super) fn padded(&self, message: &Message) -> Op {
        let mut value = bytes(message);
        debug_assert!(value.len() <= self.padded, "invariant: the largest record is the largest");
        value.resize(self.padded, 0);
        Op::Put { key: message.id.0.to_vec(), value }
    }

    /// A record written because of a caller.
    pub(super) fn short(message: &Message) -> Op {
        Op::Put { key: message.id.0.to_vec(), value: bytes(message) }
    }
}

/// The record about no message, which remembers the last ended round.
pub(super) fn nothing(known_round: u64) -> Message {
    Message {
        id: MessageId::NONE,
        uid: 0,
        request_id: None,
        state: State::Failed(Failure::Unknown),
        accepted_at: 0,
        expires_at: 0,
        after_round: known_round,
        attempts: 0,
        not_before_round: 0,
        setback: None,
        receipt: false,
        payload: Zeroizing::new(Vec::new()),
    }
}

fn bytes(message: &Message) -> Vec<u8> {
    let mut out = vec![VERSION, u8::from(message.receipt)];
    borsh::to_writer(&mut out, message).expect("invariant: writing to memory does not fail");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(receipt: bool) -> Message {
        let payload = Zeroizing::new(b"text".to_vec());
        Message { id: MessageId::new(7, 1, [3; 8]), state: State::Queued, receipt, payload, ..nothing(5) }
    }

    #[test]
    fn both_versions_are_read_and_only_the_second_knows_receipts() {
        let layout = Layout::new(&Params::dev(3));
        for receipt in [false, true] {
            let message = message(receipt);
            for op in [Layout::short(&message), layout.padded(&message)] {
                let Op::Put { key, value } = op else { panic!("a put") };
                let read = decode(&key, &value).unwrap();
                assert_eq!((read.id, read.receipt, &read.payload[..]), (message.id, receipt, &b"text"[..]));
            }
        }
        let old = [&[1][..], &borsh::to_vec(&message(false)).unwrap(), &[0; 9]].concat();
        let read = decode(&message(false).id.0, &old).unwrap();
        assert_eq!((read.receipt, &read.payload[..], read.after_round), (false, &b"text"[..], 5));
    }

    #[test]
    fn a_flag_that_nobody_writes_and_a_record_without_one_are_damage() {
        let mut value = bytes(&message(true));
        value[1] = 2;
        let key = message(true).id.0;
        assert!(matches!(decode(&key, &value), Err(LoadError::Damaged { .. })));
        assert!(matches!(decode(&key, &value[..1]), Err(LoadError::Damaged { .. })));
        let odd = Loaded::default().with_receipts([(vec![1], 1)]);
        assert!(matches!(odd.err(), Some(LoadError::Damaged { .. })));
    }

    #[test]
    fn what_a_round_writes_has_one_size_with_and_without_a_receipt() {
        let layout = Layout::new(&Params::dev(3));
        let size = |op: Op| match op {
            Op::Put { value, .. } => value.len(),
            _ => 0,
        };
        let sizes = [&nothing(0), &message(false), &message(true)].map(|m| size(layout.padded(m)));
        assert!(sizes[0] > 0 && sizes.iter().all(|s| *s == sizes[0]), "{sizes:?}");
    }
}
