//! Acting on what became known about ended rounds: settling messages (R10, R11), counting warm-up, expiry.

use std::collections::BTreeSet;

use super::config::MEAN_WAIT_ROUNDS;
use super::message::{Failure, MessageId, Setback, State};
use super::output::Op;
use super::queue::Hold;
use super::scan::Stage;
use super::settle::{Verdict, verdict};
use super::store::{Layout, nothing};
use super::writes::After;
use super::{Core, Notice, Output};

/// Messages that expire in one write.
const MAX_EXPIRING: usize = 1_000;
/// Records with a message from the disk that are kept, while the log is read, for their receipts.
const MAX_FOUND: usize = 64;

impl Core {
    /// Every record on the disk is exact for rounds up to this one (see [`super::scan`]).
    pub(super) fn exact_until(&self) -> u64 {
        if self.scan.stage != Stage::Done || self.queue.unread().next().is_some() || self.writes.is_unsure() {
            return self.scan.known;
        }
        let sealed = self.queue.sealed().filter_map(|m| match m.state {
            State::Sealed(at) => Some(at.round - 1),
            _ => None,
        });
        sealed.min().unwrap_or(u64::MAX).min(self.rounds.ended)
    }

    /// Records that were verified since: participants, warm-up, lingering.
    pub(super) fn absorb(&mut self) {
        for round in self.ledger.fresh() {
            let Some(known) = self.ledger.round(round) else { continue };
            if !self.pace.record(&known.record, self.now) {
                // Left out, whatever the aggregator said: one that picks who takes part loses those it left out.
                self.rounds.envelope(round, false);
            } else if let Some(stopping) = &mut self.stopping {
                stopping.record();
            }
        }
        if self.pace.newly_warm() {
            self.out.push(Output::Notice(Notice::WarmedUp));
        }
        let sealed = self.queue.sealed().filter_map(|m| match m.state {
            State::Sealed(at) => Some(at.round),
            _ => None,
        });
        let found = self.scan.found.iter().map(|(round, ..)| *round).take(MAX_FOUND);
        // Every round that is asked about, talk and cover: what is still known decides how long it is asked.
        let asked = self.rounds.asked_about();
        let keep: BTreeSet<u64> =
            sealed.chain(asked).chain(self.scan.doubts.keys().copied()).chain(found).collect();
        self.ledger.prune(&keep);
        self.release();
    }

    /// The write that every piece of news about a round causes: one record, about a message or about none.
    pub(super) fn write_news(&mut self) {
        if !self.writes.is_behind() {
            let op = self.settle_one();
            self.write(vec![op], After::News);
        }
    }

    /// Settles the oldest message that can be. One at a time, so that the write never tells how many there are; the
    /// next news, or the next seal, settles the next one.
    pub(super) fn settle_one(&mut self) -> Op {
        let decided = self.queue.sealed().find_map(|m| {
            let State::Sealed(at) = m.state else { return None };
            match verdict(&self.ledger, &at, &m.payload) {
                Verdict::Held => None,
                verdict => Some((m.id, at, verdict)),
            }
        });
        // Drawn in every case: a wait that follows an absence must not shift later ones. It is the slot of round
        // x + 1 that a reservation in round x is for, hence the one more.
        let wait = self.draw.waits.geometric(MEAN_WAIT_ROUNDS) + 1;
        let last = self.rounds.last;
        let Some((id, at, verdict)) = decided else {
            return self.once_more();
        };
        self.queue.change(&id, |m| {
            m.state = match verdict {
                Verdict::Published if id == MessageId::STANDING => State::Queued,
                Verdict::Published => State::Published { round: at.round, slot: Some(at.slot) },
                Verdict::Exposed => State::Failed(Failure::Exposed),
                Verdict::Again(_) | Verdict::Held => State::Queued,
            };
            if let Verdict::Again(setback) = verdict {
                m.setback = Some(setback);
                if setback == Setback::Absent {
                    m.not_before_round = at.round.max(last) + wait;
                }
            }
        });
        let known = self.exact_until();
        let settled = self.queue.change(&id, |m| m.after_round = known);
        let op = settled.map(|m| self.layout.padded(m));
        self.release();
        op.expect("invariant: the message was there a line ago")
    }

    /// The write that there is without anything to settle: about a message that a failed write left behind, or none.
    fn once_more(&mut self) -> Op {
        while let Some(id) = self.writes.unwritten() {
            if let Some(entry) = self.queue.get(&id) {
                return self.layout.padded(&entry.message);
            }
        }
        self.layout.padded(&nothing(self.exact_until()))
    }

    /// Messages whose time ran out.
    pub(super) fn expire(&mut self) {
        let patience = 2 * u64::from(self.cfg.descriptor.params.round_deadline_ms);
        let mut ops = Vec::new();
        while let Some(id) = self.queue.due(self.now).filter(|_| ops.len() < MAX_EXPIRING) {
            let Some(entry) = self.queue.get(&id) else { break };
            let from_disk = entry.hold == Hold::FromDisk;
            // The round it was sealed in may still end, and the log of a restarted daemon still be read.
            let until = match entry.message.state {
                State::Sealed(at) => {
                    (at.at + patience).max(if from_disk { self.started_at + 4 * patience } else { 0 })
                }
                _ => 0,
            };
            if self.now < until {
                self.queue.set_deadline(&id, until);
                continue;
            }
            let doubtful = from_disk && self.scan.stage == Stage::Done;
            let settled = self.queue.change(&id, |m| {
                m.state = match m.state {
                    State::Sealed(_) => State::Failed(Failure::Unknown),
                    _ if doubtful => State::Failed(Failure::Unknown),
                    _ => State::Expired,
                };
            });
            ops.extend(settled.map(Layout::short));
        }
        if !ops.is_empty() {
            self.write(ops, After::Settled);
        }
    }
}
