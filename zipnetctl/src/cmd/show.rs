//! `show`: what became of a message.

use serde::Serialize;
use zipnet_proto::v1::Message;

use super::{Context, send::progress};
use crate::{failure::Failure, text};

/// What became of a message: state, where it was published, what happens next.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The id that `send` printed.
    id: String,
}

#[derive(Serialize)]
struct Shown<'a> {
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
}

pub(crate) async fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let m = context.connect().await?.get(&args.id).await?;
    if context.out.json() {
        return context.out.object(&Shown {
            id: &m.id,
            request_id: &m.request_id,
            state: m.state().word(),
            reason: some(&m.reason),
            round: m.round,
            slot: m.slot,
            accepted_at_ms: m.accepted_at_ms,
            expires_at_ms: m.expires_at_ms,
            attempts: m.attempts,
            length: m.length,
            last_reason: some(&m.last_reason),
            next_step: some(&m.next_step),
            next_at_ms: m.next_at_ms,
        });
    }
    context.out.table(&rows(&m))
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn rows(m: &Message) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("id", text::tame(&m.id)),
        ("state", progress(m)),
        ("request id", text::tame(&m.request_id)),
        ("length", text::count(m.length, "byte")),
        ("accepted", text::moment(m.accepted_at_ms)),
        ("attempts", m.attempts.to_string()),
    ];
    if !m.state().is_terminal() {
        rows.push(("expires", text::moment(m.expires_at_ms)));
    }
    if !m.last_reason.is_empty() {
        rows.push(("last attempt", text::tame(&m.last_reason)));
    }
    if !m.next_step.is_empty() {
        let at = m.next_at_ms.map(|ms| format!(", {}", text::moment(ms))).unwrap_or_default();
        rows.push(("next", text::tame(&m.next_step) + &at));
    }
    rows
}
