//! Writes under way, and what waits for them to be durable.

use std::collections::{BTreeMap, BTreeSet};

use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::seal::Envelope;

use super::Core;
use super::input::StoreFailure;
use super::message::{MessageId, MessageView, Setback, State};
use super::output::{Answer, Notice, Op, Output, Refusal};
use super::queue::Hold;
use super::store::Layout;

/// Writes about rounds that may be under way; beyond, the store is behind and news waits for the next occasion.
const MAX_NEWS: usize = 8;
/// Callers that may wait for one acceptance.
const MAX_WAITING: usize = 64;

/// A sealed envelope that must not leave before its write.
pub(super) struct Ready {
    pub(super) aggregator: PeerId,
    pub(super) envelope: Envelope,
    pub(super) not_before: u64,
    pub(super) not_after: u64,
}

/// What follows a write.
pub(super) enum After {
    /// A message was accepted: who waits for that, and whether as a duplicate.
    Accept { id: MessageId, waiting: Vec<(u64, bool)> },
    /// A message was taken back.
    Cancel { reply: u64, message: Box<MessageView> },
    /// A round was sealed.
    Seal { message: Option<MessageId>, ready: Box<Ready> },
    /// News about a round.
    News,
    /// What became of messages, outside of any round.
    Settled,
    /// A receipt was kept, or forgotten.
    Receipt(MessageId),
}

/// See the module.
#[derive(Default)]
pub(super) struct Writes {
    next: u64,
    /// With the messages that each is about.
    open: BTreeMap<u64, (After, Vec<MessageId>)>,
    /// Messages whose last record did not get to the disk: written again when there is no other news.
    unwritten: BTreeSet<MessageId>,
    /// Writes about rounds that failed in a row.
    failures: u32,
}

impl Writes {
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// A seal's write is under way still.
    pub(super) fn is_sealing(&self) -> bool {
        self.open.values().any(|(after, _)| matches!(after, After::Seal { .. }))
    }

    pub(super) fn is_behind(&self) -> bool {
        self.open.values().filter(|(after, _)| matches!(after, After::News)).count() >= MAX_NEWS
    }

    /// Lets one more caller wait for an acceptance. False when too many do.
    pub(super) fn join(&mut self, ticket: u64, reply: u64) -> bool {
        match self.open.get_mut(&ticket) {
            Some((After::Accept { waiting, .. }, _)) if waiting.len() < MAX_WAITING => {
                waiting.push((reply, true));
                true
            }
            _ => false,
        }
    }

    /// The last record of this message is not known to be on the disk.
    pub(super) fn is_unsure_of(&self, id: &MessageId) -> bool {
        self.unwritten.contains(id) || self.open.values().any(|(_, about)| about.contains(id))
    }

    /// The disk may lack what became of a message: nothing may be written that lets a restart skip over it.
    pub(super) fn is_unsure(&self) -> bool {
        !self.unwritten.is_empty() || self.open.values().any(|(after, _)| matches!(after, After::Settled))
    }

    /// A message to write again, if there is one.
    pub(super) fn unwritten(&mut self) -> Option<MessageId> {
        self.unwritten.pop_first()
    }
}

impl Core {
    pub(super) fn write(&mut self, ops: Vec<Op>, after: After) -> u64 {
        self.writes.next += 1;
        let ticket = self.writes.next;
        let about = ops.iter().filter_map(|op| match op {
            Op::Put { key, .. } => Some(MessageId(key.as_slice().try_into().ok()?)),
            _ => None,
        });
        let about: Vec<MessageId> = about.filter(|id| *id != MessageId::NONE).collect();
        self.writes.unwritten.retain(|id| !about.contains(id));
        self.writes.open.insert(ticket, (after, about));
        self.out.push(Output::Write { ticket, ops });
        ticket
    }

    pub(super) fn stored(&mut self, ticket: u64, result: Result<(), StoreFailure>) {
        let Some((after, about)) = self.writes.open.remove(&ticket) else { return };
        // Told by the writes about rounds alone: these come whether anybody has a message or not.
        if matches!(after, After::Seal { .. } | After::News) {
            self.tell_store(result);
        }
        match result {
            Ok(()) => self.keep_receipts(about),
            Err(_) => self.writes.unwritten.extend(about),
        }
        match (after, result) {
            (After::Accept { id, waiting }, Ok(())) => {
                self.queue.set_hold(&id, Hold::Free);
                for (reply, duplicate) in waiting {
                    self.out.push(Output::Reply { reply, answer: Ok(Answer::Accepted { id, duplicate }) });
                }
            }
            (After::Accept { id, waiting }, Err(failure)) => {
                self.queue.remove(&id);
                for (reply, _) in waiting {
                    self.out.push(Output::Reply { reply, answer: Err(Refusal::Store(failure)) });
                }
            }
            (After::Cancel { reply, message }, result) => {
                let answer = result.map(|()| Answer::Cancelled { cancelled: true, message });
                let answer = answer.map_err(Refusal::Store);
                self.out.push(Output::Reply { reply, answer });
            }
            (After::Seal { ready, .. }, Ok(())) => {
                let Ready { aggregator, envelope, not_before, not_after } = *ready;
                self.out.push(Output::SendEnvelope { aggregator, envelope, not_before, not_after });
            }
            (After::Seal { message, ready }, Err(_)) => {
                // The envelope never leaves, so neither its message nor its token is out.
                self.rounds.forget_reservation();
                if let Some(id) = message {
                    self.queue.change(&id, |m| match m.state {
                        State::Sealed(at) if at.round == ready.envelope.round => {
                            (m.state, m.setback) = (State::Queued, Some(Setback::NotStored));
                        }
                        _ => {}
                    });
                }
            }
            (After::Receipt(id), Err(_)) => drop(self.receipts.forget(&id)),
            (After::News | After::Settled | After::Receipt(_), _) => {}
        }
    }

    /// Transitions, and every doubling of the failures in a row.
    fn tell_store(&mut self, result: Result<(), StoreFailure>) {
        let failures = &mut self.writes.failures;
        match result {
            Ok(()) if *failures > 0 => {
                self.out.push(Output::Notice(Notice::StoreWorks { failures: std::mem::take(failures) }));
            }
            Ok(()) => {}
            Err(failure) => {
                *failures = failures.saturating_add(1);
                if failures.is_power_of_two() {
                    self.out.push(Output::Notice(Notice::StoreFailed { failure, failures: *failures }));
                }
            }
        }
    }

    /// Receipts of what was settled durably, each in a write of its own: an envelope that waited for one would tell
    /// that there was a message.
    fn keep_receipts(&mut self, settled: Vec<MessageId>) {
        for id in settled {
            let ops = self.receipt_for(&id);
            if !ops.is_empty() {
                self.write(ops, After::Receipt(id));
            }
        }
    }

    /// Before the end: what a failed write left behind is tried once more.
    pub(super) fn write_rest(&mut self) {
        let rest = std::mem::take(&mut self.writes.unwritten);
        let messages = rest.iter().filter_map(|id| self.queue.get(id)).map(|entry| &entry.message);
        let ops: Vec<Op> = messages.map(Layout::short).collect();
        if !ops.is_empty() {
            self.write(ops, After::Settled);
        }
    }
}
