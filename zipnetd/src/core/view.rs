//! Reading: status and messages, as a caller may see them.

use super::Core;
use super::message::{MessageId, MessageView, State};
use super::output::Refusal;
use super::queue::{Entry, Hold};
use super::roll::Roll;
use super::scan::Stage;
use super::status::{Phase, Standing, Status, Why};

impl Core {
    /// What became of a message.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], and [`Refusal::NotYours`] for somebody else's message.
    pub fn message(&self, uid: u32, id: &MessageId) -> Result<MessageView, Refusal> {
        Ok(self.view(self.owned(uid, id)?, self.reserved()))
    }

    pub(super) fn view(&self, entry: &Entry, reserved: Option<MessageId>) -> MessageView {
        let m = &entry.message;
        let terminal = m.state.is_terminal();
        let (next_step, next_at) =
            if terminal { (String::new(), None) } else { self.next_step(entry, reserved) };
        MessageView {
            id: m.id,
            uid: m.uid,
            request_id: m.request_id.clone(),
            state: m.state.clone(),
            reserved: reserved == Some(m.id),
            accepted_at: m.accepted_at,
            expires_at: m.expires_at,
            attempts: m.attempts,
            receipt: m.receipt,
            length: (!terminal).then_some(m.payload.len() as u32),
            last_reason: m.setback.map_or("", super::message::Setback::as_str),
            next_step,
            next_at,
        }
    }

    /// How the client is doing, with the queue as `uid` may see it.
    pub fn status(&self, uid: u32) -> Status {
        let seen = if self.sees_all(uid) { None } else { Some(uid) };
        let (queue, oldest_accepted_at) = self.queue.counts(seen, self.reserved());
        let why = self.why();
        let phase = match why {
            _ if self.stopping.is_some() => Phase::Stopping,
            Some(Why::NotConnected) => Phase::Connecting,
            _ if !self.pace.registered => Phase::Registering,
            _ if self.pace.seen < self.pace.needed => Phase::WarmingUp,
            Some(_) => Phase::Holding,
            None => Phase::Ready,
        };
        let tip = self.ledger.tip();
        Status {
            client_id: self.client,
            peer_id: self.cfg.identity.peer_id(),
            phase,
            why,
            registered: self.pace.registered,
            vouched_by: self.registrar.done().collect(),
            round: self.rounds.last.max(tip.map_or(0, |known| known.record.round)),
            round_at: self.rounds.roll.last.map(|last| last.1),
            servers: self.rounds.roll.named(),
            last_verified: tip.map(|known| (known.record.round, known.digest)),
            participants: tip.map(|known| known.record.count()),
            participants_low_1h: self.pace.lowest(self.now),
            queue,
            oldest_accepted_at,
            standing: match self.queue.get(&MessageId::STANDING) {
                None => Standing::None,
                Some(entry) if entry.message.state.is_terminal() => Standing::Stopped,
                Some(_) => Standing::Active,
            },
            cadence: self.cfg.cadence,
            paused: self.paused,
        }
    }

    /// Who the headers name, and since when.
    pub fn roll(&self) -> &Roll {
        &self.rounds.roll
    }

    /// Digest of the roster the core has; zeros for none. Belongs into
    /// [`EventsCall`](zipnet_dcnet::wire::EventsCall), so that servers send deltas to it.
    pub fn roster_digest(&self) -> [u8; 32] {
        self.rounds.roster.as_ref().map_or([0; 32], |(digest, _)| *digest)
    }

    fn connected(&self) -> bool {
        let patience = 2 * u64::from(self.cfg.descriptor.params.round_deadline_ms);
        !self.links.is_empty() || self.heard_at.is_some_and(|at| self.now < at + patience)
    }

    fn why(&self) -> Option<Why> {
        if self.stopping.is_some() {
            return Some(Why::Stopping);
        }
        if !self.connected() {
            return Some(Why::NotConnected);
        }
        if self.paused {
            return Some(Why::Paused);
        }
        match self.rounds.why {
            why @ Some(Why::NotSealed(_)) if self.pace.registered => why,
            why => {
                if self.pace.registered {
                    why
                } else {
                    Some(Why::NotRegistered)
                }
            }
        }
    }

    /// The message that an outstanding reservation would carry.
    pub(super) fn reserved(&self) -> Option<MessageId> {
        let reserves = self.rounds.last_seal.as_ref().is_some_and(|last| last.token.is_some());
        let speaks = reserves && self.stopping.is_none();
        speaks.then(|| self.queue.pick(self.rounds.last + 1, self.now)).flatten()
    }

    /// What happens next to a message that is not terminal, and when at the latest.
    fn next_step(&self, entry: &Entry, reserved: Option<MessageId>) -> (String, Option<u64>) {
        let m = &entry.message;
        let params = &self.cfg.descriptor.params;
        let soon = self.now + u64::from(params.round_period_ms);
        let at_last = m.expires_at.max(self.now);
        if let State::Sealed(at) = m.state {
            let ends = at.at + u64::from(params.round_deadline_ms);
            if self.now < ends {
                return (format!("waits for the end of round {}", at.round), Some(ends));
            }
            let text = format!(
                "held: round {} has too few signatures or disclosures to say what became of it",
                at.round
            );
            return (text, Some(at_last.max(ends)));
        }
        let (text, at) = match (entry.hold, self.why()) {
            (Hold::Storing(_), _) => ("is being written to disk".to_owned(), soon),
            (Hold::FromDisk, _) if self.scan.stage == Stage::Done => (
                "waits for disclosures about rounds that were abandoned since it was accepted".to_owned(),
                at_last,
            ),
            (Hold::FromDisk, _) => ("waits until the log since its acceptance is read".to_owned(), at_last),
            (Hold::Free, Some(why)) => (format!("waits: {why}"), at_last),
            (Hold::Free, None) if reserved == Some(m.id) => {
                ("a slot of the next round is reserved".to_owned(), soon)
            }
            (Hold::Free, None) if m.not_before_round > self.rounds.last + 1 => {
                let rounds = m.not_before_round - self.rounds.last;
                let at = self.now + rounds * u64::from(params.round_period_ms);
                (format!("rests until round {} after an attempt that was lost", m.not_before_round), at)
            }
            (Hold::Free, None) => ("reserves a slot".to_owned(), soon),
        };
        (text, Some(at.min(at_last)))
    }
}
