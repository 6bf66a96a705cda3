//! Acting on the log that is fetched: gaps, rounds without an answer yet, and the reading after a restart.

use std::collections::BTreeSet;

use zeroize::Zeroizing;
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::wire::{Ended, RecordsReply};

use super::Core;
use super::config::MAX_TTL_MS;
use super::ledger::Mask;
use super::message::{Failure, Message, MessageId, SealedAt, State};
use super::queue::Hold;
use super::scan::{ALWAYS, Broken, PAGE, Stage};
use super::store::{Layout, nothing};
use super::writes::After;

impl Core {
    /// Takes in what the store held.
    pub(super) fn load(&mut self, messages: Vec<Message>) {
        let mut ops = Vec::new();
        let mut standing = self.cfg.standing.clone().map(|payload| Message {
            id: MessageId::STANDING,
            state: State::Queued,
            payload: Zeroizing::new(payload),
            ..nothing(0)
        });
        let max = self.cfg.descriptor.params.max_payload();
        for mut message in messages {
            if message.id == MessageId::STANDING {
                // What became of the same text counts on; another text starts anew.
                match &mut standing {
                    Some(m) if *m.payload == *message.payload => *m = message,
                    _ => ops.push(super::output::Op::Delete { key: MessageId::STANDING.0.to_vec() }),
                }
                continue;
            }
            let queued = message.state == State::Queued;
            // A clock that ran ahead must not make it wait longer than anything may.
            message.expires_at = message.expires_at.min(self.now + MAX_TTL_MS);
            let lost = !message.state.is_terminal() && message.payload.len() > max;
            if lost || (queued && message.expires_at <= self.now) {
                message.state = if lost { State::Failed(Failure::Unknown) } else { State::Expired };
                message.payload = Zeroizing::new(Vec::new());
                ops.push(Layout::short(&message));
            }
            self.take_in(message, Hold::FromDisk);
        }
        if let Some(message) = standing {
            self.take_in(message, Hold::Free);
        }
        ops.extend(self.forget());
        let queue = &self.queue;
        ops.extend(self.receipts.tidy(|id| queue.get(id).is_some()));
        if !ops.is_empty() {
            self.write(ops, After::Settled);
        }
    }

    fn take_in(&mut self, message: Message, hold: Hold) {
        if let State::Sealed(at) = message.state {
            self.ledger.watch(at.round, at.header_digest);
            self.rounds.ask_about(at);
        }
        self.queue.insert(message, hold);
    }

    /// The first header of this run: decides whether and from where the log is read.
    pub(super) fn start_scan(&mut self, round: u64) {
        let known = self.scan.known;
        let wanted: BTreeSet<Vec<u8>> = self.queue.unread().map(|m| m.payload.to_vec()).collect();
        let far = known == 0 || round.saturating_sub(known) > ALWAYS;
        let sealed = self.queue.sealed().filter_map(|m| match m.state {
            State::Sealed(at) => Some(at.round),
            _ => None,
        });
        let first = sealed.min().unwrap_or(u64::MAX).min(known + 1);
        if far && wanted.is_empty() && first > known {
            self.scan.stage = Stage::Done;
            return;
        }
        self.scan.start(first, wanted);
    }

    /// A piece of the log came.
    pub(super) fn records(&mut self, from_round: u64, server: PeerId, reply: Option<RecordsReply>) {
        if !self.fetch.is_calling(from_round) {
            return;
        }
        let scanning = self.scan.stage == Stage::Reading && from_round == self.scan.next;
        let (useful, news) = match reply.map(|reply| self.take_records(server, reply, scanning)) {
            None => (false, false),
            Some(Ok((news, more))) => (more, news),
            Some(Err(text)) => {
                self.refused(server, text);
                if scanning {
                    self.scan.restart();
                }
                (false, false)
            }
        };
        if news {
            self.news();
        }
        // Without the record below it the header in hand cannot be sealed under: somebody else may have it.
        let lacking = self.rounds.in_hand.as_ref().map(|h| &h.signed.header);
        let lacking = lacking.filter(|h| self.stands_on(&h.prev).is_none()).map(|h| h.round);
        let useful = useful && lacking.is_none();
        self.fetch.answered(from_round, Some(server), useful, self.now, &mut self.draw);
        if let Some(round) = lacking {
            self.want_below(round);
        }
        self.go_on_reading();
        self.try_seal();
    }

    /// The last header says whether the reading is complete, sealed under or not.
    fn go_on_reading(&mut self) {
        if let (Stage::Reading, Some(prev)) = (self.scan.stage, self.rounds.prev) {
            self.scan_header(self.rounds.last, prev);
        }
    }

    /// Takes a piece of the log in: whether there was news, and whether it brought anything.
    fn take_records(
        &mut self,
        server: PeerId,
        reply: RecordsReply,
        scanning: bool,
    ) -> Result<(bool, bool), String> {
        let servers = self.cfg.descriptor.servers.len();
        if scanning && !self.scan.reaches_back(server, reply.earliest, servers) {
            return Ok((false, false));
        }
        if reply.items.windows(2).any(|w| w[0].round().checked_add(1) != Some(w[1].round())) {
            return Err("its log has gaps".to_owned());
        }
        let mut news = false;
        let brought = !reply.items.is_empty();
        for item in reply.items.into_iter().take(PAGE as usize) {
            let round = item.round();
            let read = scanning && (self.scan.next..self.rounds.last).contains(&round);
            let broken = |Broken(what): Broken| format!("round {round} of its log: {what}");
            match item {
                Ended::Final(signed) => {
                    let verified = signed.verify(&self.cfg.descriptor, &self.deployment);
                    let (digest, _) = verified.map_err(|e| e.to_string())?;
                    if read {
                        self.scan.record(&signed.record, digest).map_err(broken)?;
                    }
                    news |= self.ledger.add(server, *signed, digest);
                }
                Ended::Abandoned(abandoned) => {
                    if read {
                        self.scan.abandoned(&abandoned).map_err(broken)?;
                        self.ledger.watch(abandoned.round, abandoned.header_digest);
                    }
                    news |= self.ledger.add_abandoned(&abandoned);
                }
            }
        }
        Ok((news, brought))
    }

    /// Everything since was read, and it leads to a header that counts.
    pub(super) fn finish_scan(&mut self) {
        self.scan.stage = Stage::Done;
        if self.queue.unread().next().is_none() {
            self.scan.doubts.clear();
        }
        let servers = Mask::MAX;
        for (round, header_digest) in self.scan.doubts.clone() {
            self.rounds.ask_about(SealedAt {
                round,
                slot: 0,
                header_digest,
                index: u32::MAX,
                servers,
                at: 0,
            });
        }
        self.release();
    }

    /// Decides about messages from the disk, once the log was read (section 7).
    pub(super) fn release(&mut self) {
        if self.scan.stage != Stage::Done || self.queue.unread().next().is_none() {
            return;
        }
        let mut doubtful = false;
        for (round, header) in &self.scan.doubts {
            let (clean, revealed) = self.ledger.disclosed(*round, header, Mask::MAX);
            self.scan.tainted |= revealed != 0;
            doubtful |= !self.ledger.enough(clean);
        }
        // One slot per client and round: where another message of ours is, this one is not.
        let mut taken = self.queue.published_rounds();
        taken.extend(self.queue.sealed().filter_map(|m| match m.state {
            State::Sealed(at) => Some(at.round),
            _ => None,
        }));
        let waiting: Vec<(MessageId, Zeroizing<Vec<u8>>)> = self
            .queue
            .unread()
            .filter(|m| m.state == State::Queued)
            .map(|m| (m.id, m.payload.clone()))
            .collect();
        let mut ops = Vec::new();
        for (id, payload) in waiting {
            let found = self.scan.found.iter().find(|(round, _, p)| *p == *payload && !taken.contains(round));
            let state = match found {
                Some((round, slot, _)) => Some(State::Published { round: *round, slot: Some(*slot) }),
                None if self.scan.tainted => Some(State::Failed(Failure::Unknown)),
                None => None,
            };
            match state {
                Some(state) => {
                    if let State::Published { round, .. } = state {
                        taken.insert(round);
                    }
                    let changed = self.queue.change(&id, |m| m.state = state);
                    ops.extend(changed.map(Layout::short));
                }
                None if !doubtful => self.queue.set_hold(&id, Hold::Free),
                None => {}
            }
        }
        if self.queue.unread().next().is_none() {
            self.scan.found.clear();
            self.scan.doubts.clear();
        }
        if !ops.is_empty() {
            self.write(ops, After::Settled);
        }
    }
}
