//! Sealing: one path for talk and cover (R3, R5, R8, R12).

use zipnet_dcnet::reservation::owners;
use zipnet_dcnet::seal::{Content, Envelope, seal};

use super::Core;
use super::message::{MessageId, SealedAt, State};
use super::pace::cover_reserves;
use super::quiet::{self, Own};
use super::registration::KeyError;
use super::rounds::{InHand, LastSeal, window};
use super::status::{Skip, Why};
use super::store::nothing;
use super::writes::{After, Ready};

impl Core {
    /// Seals under the header in hand if all that it takes is there.
    pub(super) fn try_seal(&mut self) {
        let Some(in_hand) = &self.rounds.in_hand else { return };
        let header = &in_hand.signed.header;
        let fold = u64::from(self.cfg.descriptor.params.fold_deadline_ms);
        let has_roster = self.rounds.roster.as_ref().is_some_and(|(digest, _)| *digest == header.roster);
        if !has_roster
            || self.now >= in_hand.received + window(fold)
            || self.stands_on(&header.prev).is_none()
        {
            return;
        }
        let tip = self.ledger.tip().map(|tip| (tip.record.round, tip.digest));
        let Some(in_hand) = self.rounds.in_hand.take() else { return };
        let header = &in_hand.signed.header;
        match tip {
            // The round, or a later one, is over already.
            Some((round, _)) if round >= header.round => self.skip(Skip::TooLate),
            // Not on top of the last final record, whoever signed it.
            Some((_, digest)) if digest != header.prev => {
                let text = format!(
                    "the header of round {} does not stand on the last record that counts",
                    header.round
                );
                let from = header.servers[0];
                self.refused(from, text);
                self.skip(Skip::NoRecord);
            }
            _ => {
                self.rounds.ended = header.round - 1;
                let listing = self.listing(&in_hand);
                self.note_listing(&in_hand, listing);
                match listing {
                    Ok(index) => self.seal(&in_hand, index),
                    Err(skip) => self.skip(skip),
                }
            }
        }
    }

    fn seal(&mut self, in_hand: &InHand, index: u32) {
        if self.writes.is_sealing() {
            return self.skip(Skip::StoreBusy);
        }
        let (header, digest) = (&in_hand.signed.header, in_hand.digest);
        let round = header.round;
        let params = self.cfg.descriptor.params.clone();

        // The same draws in every round, whatever they are used for.
        let prev = self.ledger.get(&header.prev);
        let count = prev.map_or(0, |known| known.record.count());
        let token = self.draw.cover.token();
        let coin = self.draw.cover.below(2 * u64::from(count));
        let half = in_hand.received + u64::from(params.fold_deadline_ms) / 2;
        let moment = self.now + self.draw.cover.below(half.saturating_sub(self.now) + 1);

        let own = Own {
            pins: &self.cfg.pinned_servers,
            seen: self.pace.seen,
            needed: self.pace.needed,
            paused: self.paused,
        };
        let why = quiet::why(&params, header, prev.map(|known| &known.record), &own);
        let slot = prev.and_then(|known| {
            let last = self.rounds.last_seal.as_ref()?;
            let record = &known.record;
            let ours = record.round.checked_add(1) == Some(round)
                && record.header_digest == last.header_digest
                && record.participants.get(last.index);
            let token = last.token.filter(|_| ours)?.get();
            let owners = owners(&known.digest, &record.reservations, params.slots);
            owners.iter().position(|owner| *owner == token).map(|slot| slot as u32)
        });

        // R3: every chain is past the round before anything else happens.
        let keys = match self.registrar.take(&header.servers, round, &digest) {
            Ok(keys) => keys,
            Err(error) => {
                if error == KeyError::TooFar {
                    self.new_session();
                }
                return self.skip(Skip::NoChain);
            }
        };

        let (talking, turn) = (why.is_none(), why.is_none() && self.pace.turn(self.cfg.cadence));
        let news = self.settle_one();
        let speaks = talking && self.stopping.is_none();
        let message =
            slot.filter(|_| speaks).and_then(|slot| Some((self.queue.pick(round, self.now)?, slot)));
        let at = SealedAt {
            round,
            slot: message.map_or(0, |(_, slot)| slot),
            header_digest: digest,
            index,
            servers: self.ledger.mask(&header.servers),
            at: self.now,
        };
        let seal_op = self.journal(message.map(|(id, _)| id), at);
        let wants = speaks && self.queue.pick(round + 1, self.now).is_some();
        let token = Some(token).filter(|_| turn && (wants || cover_reserves(count, params.slots, coin)));

        let entry =
            message.and_then(|(id, slot)| Some((slot, self.queue.get(&id)?.message.payload.as_slice())));
        let sealed = seal(&params, &digest, keys, &Content { token, message: entry });
        let vector = sealed.expect("invariant: no message in the queue is longer than a slot");

        self.rounds.last_seal = Some(LastSeal { header_digest: digest, index, token });
        self.rounds.why = if self.stopping.is_some() { Some(Why::Stopping) } else { why };
        self.rounds.ask_about(at);
        self.pace.sealed(round, digest, index);
        let aggregator = self.rounds.choose(round, &header.aggregators, &mut self.draw.aggregator);
        let ready = Box::new(Ready {
            aggregator,
            envelope: Envelope { round, index, vector },
            not_before: moment,
            not_after: in_hand.received + u64::from(params.fold_deadline_ms),
        });
        self.write(vec![news, seal_op], After::Seal { message: message.map(|(id, _)| id), ready });
    }

    /// The record that says what was sealed: of the message, or about none; one size either way.
    fn journal(&mut self, message: Option<MessageId>, at: SealedAt) -> super::output::Op {
        let known = self.exact_until().min(at.round - 1);
        let changed = message.and_then(|id| {
            let standing = (id == MessageId::STANDING).then_some(at.at + super::config::DEFAULT_TTL_MS);
            self.queue.change(&id, |m| {
                m.state = State::Sealed(at);
                m.attempts = m.attempts.saturating_add(1);
                m.after_round = known;
                m.expires_at = standing.unwrap_or(m.expires_at);
            })
        });
        match changed {
            Some(message) => self.layout.padded(message),
            None => self.layout.padded(&nothing(known)),
        }
    }
}
