//! A message as `show`, `list`, `watch` and `cancel` show it.

use serde::Serialize;
use zipnet_proto::v1::Message;

use crate::text;

/// A message for programs.
#[derive(Serialize)]
pub(crate) struct View<'a> {
    id: &'a str,
    request_id: &'a str,
    state: &'a str,
    reason: Option<&'a str>,
    round: Option<u64>,
    slot: Option<u32>,
    accepted_at_ms: u64,
    expires_at_ms: u64,
    attempts: u32,
    length: u32,
    last_reason: Option<&'a str>,
    next_step: Option<&'a str>,
    next_at_ms: Option<u64>,
    receipt: bool,
    uid: u32,
}

impl<'a> From<&'a Message> for View<'a> {
    fn from(m: &'a Message) -> Self {
        Self {
            id: &m.id,
            request_id: &m.request_id,
            state: m.state().word(),
            reason: text::some(&m.reason),
            round: m.round,
            slot: m.slot,
            accepted_at_ms: m.accepted_at_ms,
            expires_at_ms: m.expires_at_ms,
            attempts: m.attempts,
            length: m.length,
            last_reason: text::some(&m.last_reason),
            next_step: text::some(&m.next_step),
            next_at_ms: m.next_at_ms,
            receipt: m.receipt,
            uid: m.uid,
        }
    }
}

/// `published in round 12, slot 3`.
pub(crate) fn progress(message: &Message) -> String {
    let word = message.state().word();
    let place = match (message.round, message.slot) {
        (Some(round), Some(slot)) => format!(" in round {round}, slot {slot}"),
        _ => String::new(),
    };
    let reason = if message.reason.is_empty() { "" } else { ": " };
    format!("{word}{place}{reason}{}", text::tame(&message.reason))
}

/// As [`progress`], and of a message that still waits why its last attempt did not publish it.
pub(crate) fn progress_and_past(message: &Message) -> String {
    if message.state().is_terminal() || message.last_reason.is_empty() {
        return progress(message);
    }
    format!("{} (last attempt: {})", progress(message), text::tame(&message.last_reason))
}
