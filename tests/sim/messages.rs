//! Callers: they hand messages in, ask again when they got no answer, and sometimes take one back.

use zipnetd::core::input::Command;
use zipnetd::core::message::{Failure, State};
use zipnetd::core::{Answer, Input, Refusal};

use crate::plan::Mutation;
use crate::world::World;

/// Messages live up to so many milliseconds longer than the shortest.
const LONGEST_TTL: u64 = 20_000;
/// The callers' uid.
const UID: u32 = 1_000;

impl World {
    /// A client gets messages from now on.
    pub(crate) fn run_caller(&mut self, c: usize) {
        let pause = 1 + self.below(2 * self.plan.message_every);
        self.after(pause, move |w| {
            if w.talking {
                let ttl = 4_000 + w.below(LONGEST_TTL);
                w.new_message(c, ttl);
            }
            w.run_caller(c);
        });
    }

    /// Hands a new message in; its number.
    pub(crate) fn new_message(&mut self, c: usize, ttl_ms: u64) -> usize {
        let message = self.truth.offered(c, ttl_ms);
        self.hand_in(message);
        if self.chance(60) {
            let after = self.below(4_000);
            self.after(after, move |w| w.take_back(message));
        }
        message
    }

    /// Hands it in, maybe once more: the request id is the same.
    pub(crate) fn hand_in(&mut self, message: usize) {
        let offer = &self.truth.messages.all[message];
        let (c, payload, ttl_ms) = (offer.client, offer.payload.clone(), Some(offer.ttl_ms));
        let client = &mut self.clients[c];
        if !client.up {
            return self.unanswered.push(message);
        }
        client.next_reply += 1;
        let reply = client.next_reply;
        client.asked.insert(reply, message);
        let request_id = Some(format!("request-{message}"));
        let command =
            Command::Accept { uid: UID, payload, request_id, ttl_ms, receipt: message.is_multiple_of(4) };
        self.feed(c, Input::Command { reply, command });
    }

    fn take_back(&mut self, message: usize) {
        let offer = &self.truth.messages.all[message];
        let (c, Some(id)) = (offer.client, offer.id) else { return };
        let client = &mut self.clients[c];
        if client.up {
            client.next_reply += 1;
            let reply = client.next_reply;
            client.asked.insert(reply, message);
            self.feed(c, Input::Command { reply, command: Command::Cancel { uid: UID, id } });
        }
    }

    pub(crate) fn replied(&mut self, c: usize, reply: u64, answer: Result<Answer, Refusal>) {
        let Some(message) = self.clients[c].asked.remove(&reply) else { return };
        match answer {
            Ok(Answer::Accepted { id, .. }) => {
                self.say(&format!("c{c} accepts message {message} as {id}"));
                self.truth.accepted(message, id);
            }
            Ok(Answer::Cancelled { cancelled, .. }) => {
                self.say(&format!("c{c} takes message {message} back: {cancelled}"));
                if cancelled {
                    self.truth.cancelled(message);
                }
            }
            Err(refusal) => self.say(&format!("c{c} refuses message {message}: {refusal}")),
        }
    }

    /// Callers who got no answer ask again, those whose client is up.
    pub(crate) fn ask_again(&mut self) {
        for message in std::mem::take(&mut self.unanswered) {
            if self.clients[self.truth.messages.all[message].client].up {
                self.hand_in(message);
            } else {
                self.unanswered.push(message);
            }
        }
        if self.plan.mutation == Some(Mutation::SendsExposedAgain) {
            self.send_exposed_again();
        }
        self.after(1_000, World::ask_again);
    }

    /// The mutation: what R10 forbids a client, its caller does behind its back.
    fn send_exposed_again(&mut self) {
        let ended = |m: &crate::truth::messages::Message| {
            matches!(m.seen, Some(State::Failed(Failure::Exposed) | State::Published { .. }))
        };
        let all: Vec<usize> =
            (0..self.truth.messages.all.len()).filter(|m| ended(&self.truth.messages.all[*m])).collect();
        for message in all {
            let offer = &self.truth.messages.all[message];
            let (c, payload) = (offer.client, offer.payload.clone());
            self.clients[c].next_reply += 1;
            let reply = self.clients[c].next_reply;
            let command =
                Command::Accept { uid: UID, payload, request_id: None, ttl_ms: None, receipt: false };
            self.feed(c, Input::Command { reply, command });
        }
    }
}
