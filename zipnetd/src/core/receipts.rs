//! Receipts of published messages, for who asked for one: made of what came anyway. No call is made for them, because
//! that would tell talk from cover; so where nothing came by which the record counts by itself, there is none.
//!
//! Bounded: [`MAX_RECEIPTS`] with [`MAX_RECEIPTS_BYTES`] together, the oldest forgotten first; each at the latest with
//! its message.

use std::collections::VecDeque;

use zipnet_dcnet::signed::encode;

use super::Core;
use super::config::{MAX_RECEIPT_BYTES, MAX_RECEIPTS, MAX_RECEIPTS_BYTES};
use super::message::{MessageId, State};
use super::output::{Op, Refusal};

/// Which receipts there are on the disk, the oldest first.
pub(super) struct Receipts {
    kept: VecDeque<(MessageId, usize)>,
    bytes: usize,
}

impl Receipts {
    pub(super) fn new(kept: Vec<(MessageId, usize)>) -> Self {
        Self { bytes: kept.iter().map(|(_, len)| len).sum(), kept: kept.into() }
    }

    fn has(&self, id: &MessageId) -> bool {
        self.kept.iter().any(|(kept, _)| kept == id)
    }

    /// The message is forgotten.
    pub(super) fn forget(&mut self, id: &MessageId) -> Option<Op> {
        let at = self.kept.iter().position(|(kept, _)| kept == id)?;
        self.remove(at)
    }

    fn remove(&mut self, at: usize) -> Option<Op> {
        let (id, len) = self.kept.remove(at)?;
        self.bytes -= len;
        Some(Op::DeleteReceipt { key: id.0.to_vec() })
    }

    /// Keeps one, and forgets what goes beyond the bounds.
    fn keep(&mut self, id: MessageId, value: Vec<u8>) -> Vec<Op> {
        let mut ops: Vec<Op> = self.forget(&id).into_iter().collect();
        self.bytes += value.len();
        self.kept.push_back((id, value.len()));
        ops.push(Op::PutReceipt { key: id.0.to_vec(), value });
        ops.extend(self.trim());
        ops
    }

    fn trim(&mut self) -> Vec<Op> {
        let mut ops = Vec::new();
        while self.kept.len() > MAX_RECEIPTS || self.bytes > MAX_RECEIPTS_BYTES {
            ops.extend(self.remove(0));
        }
        ops
    }

    /// After a start: receipts of messages that are not there, and those beyond the bounds, go.
    pub(super) fn tidy(&mut self, there: impl Fn(&MessageId) -> bool) -> Vec<Op> {
        let gone: Vec<MessageId> = self.kept.iter().map(|(id, _)| *id).filter(|id| !there(id)).collect();
        let mut ops: Vec<Op> = gone.iter().filter_map(|id| self.forget(id)).collect();
        ops.extend(self.trim());
        ops
    }
}

impl Core {
    /// What keeps the receipt of a message that was just settled; nothing unless it is published and asked for one. When
    /// the process dies between the two writes, there is none.
    pub(super) fn receipt_for(&mut self, id: &MessageId) -> Vec<Op> {
        let wanted = self.queue.get(id).filter(|e| e.message.receipt && !self.receipts.has(id));
        let Some(entry) = wanted else { return Vec::new() };
        let State::Published { round, slot: Some(slot) } = entry.message.state else { return Vec::new() };
        let receipt = self.ledger.receipt(&self.cfg.descriptor, round, slot);
        let value = receipt.map(|receipt| encode(&receipt)).filter(|v| v.len() <= MAX_RECEIPT_BYTES);
        value.map_or_else(Vec::new, |value| self.receipts.keep(*id, value))
    }

    /// Whether [`RECEIPTS`](super::output::RECEIPTS) has the receipt of this message.
    ///
    /// # Errors
    /// As [`Core::message`], and [`Refusal::NoReceipt`] says why there is none.
    pub fn receipt(&self, uid: u32, id: &MessageId) -> Result<(), Refusal> {
        let m = &self.owned(uid, id)?.message;
        let why = match &m.state {
            _ if !m.receipt => "it was sent without asking for one".to_owned(),
            State::Queued => "it is not published yet, it is queued".to_owned(),
            State::Sealed(at) => {
                format!(
                    "it is not published yet, it was sealed into round {}, which is not settled",
                    at.round
                )
            }
            State::Cancelled => "it was taken back, and so never published".to_owned(),
            State::Expired => "its time ran out before it was published".to_owned(),
            State::Failed(failure) => format!("it was not seen published, it failed ({})", failure.as_str()),
            State::Published { .. } if self.receipts.has(id) => return Ok(()),
            State::Published { .. } => format!(
                "it is published, but the receipt was forgotten (at most {MAX_RECEIPTS} with {} MiB are kept), or could \
                 not be made of what this daemon saw of the round",
                MAX_RECEIPTS_BYTES / (1024 * 1024)
            ),
        };
        Err(Refusal::NoReceipt { id: *id, why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> MessageId {
        MessageId::new(n as u64, 0, [0; 8])
    }

    fn deleted(ops: &[Op]) -> Vec<Vec<u8>> {
        let deletes = ops.iter().filter_map(|op| match op {
            Op::DeleteReceipt { key } => Some(key.clone()),
            _ => None,
        });
        deletes.collect()
    }

    #[test]
    fn they_are_bounded_by_number_and_by_bytes() {
        let mut r = Receipts::new(Vec::new());
        for n in 0..MAX_RECEIPTS {
            assert_eq!(deleted(&r.keep(id(n), vec![0])), Vec::<Vec<u8>>::new());
        }
        assert_eq!(deleted(&r.keep(id(MAX_RECEIPTS), vec![0])), [id(0).0.to_vec()]);
        let mut r = Receipts::new(Vec::new());
        let most = MAX_RECEIPTS_BYTES / MAX_RECEIPT_BYTES;
        for n in 0..most {
            assert!(deleted(&r.keep(id(n), vec![0; MAX_RECEIPT_BYTES])).is_empty());
        }
        let left = MAX_RECEIPTS_BYTES - most * MAX_RECEIPT_BYTES;
        assert!(deleted(&r.keep(id(most), vec![0; left])).is_empty());
        assert_eq!(deleted(&r.keep(id(most + 1), vec![0])), [id(0).0.to_vec()]);
        assert!(!r.has(&id(0)) && r.has(&id(1)) && r.has(&id(most)));
    }

    #[test]
    fn those_of_forgotten_messages_and_too_many_go_at_the_start() {
        let mut r = Receipts::new((0..=MAX_RECEIPTS + 1).map(|n| (id(n), 1)).collect());
        let ops = r.tidy(|message| *message != id(5));
        assert_eq!(deleted(&ops), [id(5).0.to_vec(), id(0).0.to_vec()]);
        assert_eq!(r.bytes, MAX_RECEIPTS);
    }
}
