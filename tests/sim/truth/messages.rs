//! Messages of honest clients: accepted means kept, at most once, and told right.

use std::collections::BTreeMap;

use zipnet_dcnet::record::Record;
use zipnetd::core::message::State;
use zipnetd::core::{Core, MessageId};

use super::rounds::Rounds;
use super::{Check, Violation};

const KEPT: &str = "accepted means kept";
const ONCE: &str = "at most once";

/// One message that a caller brought.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) client: usize,
    pub(crate) payload: Vec<u8>,
    pub(crate) ttl_ms: u64,
    /// Set once it was acknowledged.
    pub(crate) id: Option<MessageId>,
    cancelled: bool,
    /// How it ended, as the client says since it started last.
    pub(crate) seen: Option<State>,
    /// Records it is in.
    published: Vec<u64>,
}

impl Message {
    /// Acknowledged, and not ended.
    pub(crate) fn is_live(&self) -> bool {
        self.id.is_some() && self.seen.is_none()
    }

    /// Its client says that it is published.
    pub(crate) fn is_published(&self) -> bool {
        matches!(self.seen, Some(State::Published { .. }))
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Messages {
    pub(crate) all: Vec<Message>,
    by_payload: BTreeMap<Vec<u8>, usize>,
    /// By client: acknowledged and not ended.
    live: BTreeMap<usize, Vec<usize>>,
}

impl Messages {
    /// Every message has bytes of its own.
    pub(super) fn offered(&mut self, client: usize, ttl_ms: u64) -> usize {
        let number = self.all.len();
        let mut payload = b"m".to_vec();
        payload.extend_from_slice(&(number as u32).to_be_bytes());
        payload.truncate(8);
        self.by_payload.insert(payload.clone(), number);
        let new = Message {
            client,
            payload,
            ttl_ms,
            id: None,
            cancelled: false,
            seen: None,
            published: Vec::new(),
        };
        self.all.push(new);
        number
    }

    pub(super) fn by_payload(&self, payload: &[u8]) -> Option<&Message> {
        self.by_payload.get(payload).map(|n| &self.all[*n])
    }

    pub(super) fn accepted(&mut self, number: usize, id: MessageId) -> Check {
        let message = &mut self.all[number];
        match message.id {
            None => {
                message.id = Some(id);
                self.live.entry(message.client).or_default().push(number);
                Ok(())
            }
            Some(known) if known == id => Ok(()),
            Some(known) => {
                let text = format!("message {number} is {known}, and with the same request id {id}");
                Err(Violation::new(ONCE, text))
            }
        }
    }

    pub(super) fn cancelled(&mut self, number: usize) -> Check {
        let message = &mut self.all[number];
        message.cancelled = true;
        if message.published.is_empty() {
            return Ok(());
        }
        let text = format!("message {number} was taken back, and is in record {:?}", message.published);
        Err(Violation::new(ONCE, text))
    }

    /// A record is final.
    pub(super) fn record(&mut self, record: &Record) -> Check {
        for (slot, payload) in &record.messages {
            let Some(number) = self.by_payload.get(payload) else { continue };
            let message = &mut self.all[*number];
            message.published.push(record.round);
            let fail = |what: String| {
                let text = format!("message {number} of c{} is in slot {slot}, {what}", message.client);
                Err(Violation::new(ONCE, text))
            };
            if message.published.len() > 1 {
                return fail(format!("and in all in the records {:?}", message.published));
            }
            if message.cancelled || message.seen == Some(State::Expired) {
                return fail(format!("round {}, after it was taken back or expired", record.round));
            }
        }
        Ok(())
    }

    /// The client's memory is gone: it is asked about all its messages again.
    pub(super) fn started(&mut self, client: usize) {
        let live = self.live.entry(client).or_default();
        live.clear();
        for (number, message) in self.all.iter_mut().enumerate() {
            if message.client == client && message.id.is_some() {
                message.seen = None;
                live.push(number);
            }
        }
    }

    /// What the client says of its messages.
    pub(super) fn look(&mut self, client: usize, core: &Core, rounds: &Rounds) -> Check {
        if let Some(id) = core.stuck() {
            let text = format!("nothing would ever look at message {id} of c{client} again");
            return Err(Violation::new(KEPT, text));
        }
        let Some(live) = self.live.get_mut(&client) else { return Ok(()) };
        let (all, mut check) = (&mut self.all, Ok(()));
        live.retain(|number| {
            let message = &mut all[*number];
            let ended = ended(message, *number, core, rounds);
            match ended {
                Ok(None) => true,
                Ok(Some(state)) => {
                    message.seen = Some(state);
                    false
                }
                Err(violation) => {
                    check = Err(violation);
                    false
                }
            }
        });
        check
    }
}

/// How a message ended; `None` while it has not.
fn ended(message: &Message, number: usize, core: &Core, rounds: &Rounds) -> Result<Option<State>, Violation> {
    let Some(id) = message.id else { return Ok(None) };
    let c = message.client;
    let Ok(view) = core.message(0, &id) else {
        let text = format!("message {number} ({id}) was acknowledged, and c{c} does not know it");
        return Err(Violation::new(KEPT, text));
    };
    if message.cancelled && view.state != State::Cancelled {
        let text = format!("message {number} was taken back, and c{c} says {:?}", view.state);
        return Err(Violation::new(KEPT, text));
    }
    match view.state {
        State::Queued | State::Sealed(_) => Ok(None),
        State::Published { round, slot } => {
            let record = rounds.records.get(&round).map(|(_, record)| record);
            let held = record.is_some_and(|record| match slot {
                Some(slot) => record.message(slot) == Some(&message.payload),
                None => record.messages.iter().any(|(_, payload)| *payload == message.payload),
            });
            if held {
                return Ok(Some(view.state));
            }
            let text =
                format!("c{c} says that message {number} is published in round {round}, and it is not");
            Err(Violation::new(KEPT, text))
        }
        State::Expired | State::Cancelled if !message.published.is_empty() => {
            let text = format!(
                "message {number} of c{c} is in record {:?}, and {:?}",
                message.published, view.state
            );
            Err(Violation::new(ONCE, text))
        }
        state => Ok(Some(state)),
    }
}
