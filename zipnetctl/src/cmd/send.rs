//! `send`: hand a message over, and wait for its publication if asked to.

use std::{
    ffi::OsString,
    io::{self, IsTerminal, Read},
    os::unix::ffi::OsStringExt,
    time::Duration,
};

use serde::Serialize;
use tokio::time::Instant;
use zipnet_proto::{
    CallError, Client, MAX_GET_WAIT, MAX_PAYLOAD_BYTES, MAX_REQUEST_ID_BYTES, SendOptions, new_request_id,
    request_id_is_valid,
    v1::{Message, MessageState, SendResponse},
};

use super::{Backoff, Context, message::progress};
use crate::{failure::Failure, out, text};

/// Hand a message to the daemon for anonymous publication; prints the message's id.
///
/// The message is the TEXT, or standard input as it is, to the last byte, where TEXT is `-` or left away. Beware: while
/// zipnetctl runs, TEXT shows to every user of this host in the list of processes (`ps`), and it may stay in your shell's
/// history; standard input does neither. What is published is public, only its author is not.
///
/// The daemon answers when the message is safe on disk. With --wait the states are told on standard error as they come,
/// and the exit code says how it ended: 0 published, 5 ended undelivered, 6 still queued after --timeout.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The message; `-`: standard input.
    text: Option<OsString>,

    /// Wait until the message is published, or will not be.
    #[arg(long)]
    wait: bool,

    /// How long to wait; the message stays queued after that.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration, requires = "wait")]
    timeout: Duration,

    /// How long the message may wait for its publication [default: the daemon's, 10m].
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    ttl: Option<Duration>,

    /// Name this request: repeating it with the same id sends the message once. Default: a new id.
    #[arg(long, value_name = "ID", value_parser = parse_request_id)]
    request_id: Option<String>,

    /// Keep a receipt once it is published, for `show --receipt`. It stays on this host's disk and says which message of
    /// the log is yours: leave it off unless you need it.
    #[arg(long)]
    receipt: bool,
}

#[derive(Serialize)]
struct Sent<'a> {
    message_id: &'a str,
    request_id: &'a str,
    duplicate: bool,
    #[serde(flatten)]
    end: Option<End<'a>>,
}

/// How far the message got, with `--wait`.
#[derive(Serialize)]
struct End<'a> {
    state: &'a str,
    reason: Option<&'a str>,
    round: Option<u64>,
    slot: Option<u32>,
}

pub(crate) async fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let payload = payload(args.text)?;
    let request_id = args.request_id.unwrap_or_else(new_request_id);
    let mut client = context.connect().await?;
    let options = SendOptions { request_id: Some(request_id.clone()), ttl: args.ttl, receipt: args.receipt };
    let sent = client.send_with(payload, options).await;
    let sent = sent.map_err(|source| Failure::SendUnknown { request_id: request_id.clone(), source })?;
    if !context.out.json() {
        context.out.line(&text::tame(&sent.message_id))?;
        if sent.duplicate {
            out::note("this request id was sent before: it is that message's id, nothing new was queued");
        }
    }
    if !args.wait {
        return print_json(context, &sent, &request_id, None);
    }
    let message = wait(&mut client, &sent.message_id, args.timeout, context.out.json()).await?;
    print_json(context, &sent, &request_id, Some(&message))?;
    let state = message.state();
    match state {
        MessageState::Published => Ok(()),
        MessageState::Cancelled | MessageState::Expired | MessageState::Failed => {
            Err(Failure::Ended { id: message.id, state, reason: message.reason })
        }
        _ => Err(Failure::WaitTimedOut { id: message.id, state, after: args.timeout }),
    }
}

fn print_json(
    context: &mut Context,
    sent: &SendResponse,
    request_id: &str,
    message: Option<&Message>,
) -> Result<(), Failure> {
    if !context.out.json() {
        return Ok(());
    }
    let end = message.map(|m| End {
        state: m.state().word(),
        reason: (!m.reason.is_empty()).then_some(m.reason.as_str()),
        round: m.round,
        slot: m.slot,
    });
    context.out.object(&Sent { message_id: &sent.message_id, request_id, duplicate: sent.duplicate, end })
}

/// The message at its end, or as it is when the time is up. A daemon that goes away meanwhile is waited for: it keeps
/// the message.
async fn wait(client: &mut Client, id: &str, timeout: Duration, quiet: bool) -> Result<Message, Failure> {
    // A time too long to be added to the clock is no limit at all.
    let deadline = Instant::now().checked_add(timeout);
    let mut known = MessageState::Unspecified;
    let mut backoff = Backoff::new();
    loop {
        let left = deadline.map_or(MAX_GET_WAIT, |end| end.saturating_duration_since(Instant::now()));
        // The first answer tells where the message is; later ones come with the next change.
        let patience = if known == MessageState::Unspecified { Duration::ZERO } else { left };
        match client.get_changed(id, known, patience).await {
            Ok(message) => {
                backoff = Backoff::new();
                let state = message.state();
                if state.is_terminal() || left.is_zero() {
                    note_change(&message, known, quiet);
                    return Ok(message);
                }
                if state == known {
                    // The time is up, or a daemon does not wait: it must not make this loop spin.
                    tokio::time::sleep(left.min(Duration::from_millis(100))).await;
                }
                note_change(&message, known, quiet);
                known = state;
            }
            Err(error @ (CallError::Lost { .. } | CallError::TimedOut { .. })) => {
                let pause = backoff.next();
                if pause >= left {
                    return Err(Failure::WaitLost { id: id.to_owned(), source: error });
                }
                if !quiet {
                    out::note("lost the daemon, trying again; it keeps the message");
                }
                tokio::time::sleep(pause).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn note_change(message: &Message, known: MessageState, quiet: bool) {
    if message.state() != known && !quiet {
        out::note(&progress(message));
    }
}

/// The bytes to publish.
fn payload(text: Option<OsString>) -> Result<Vec<u8>, Failure> {
    let explicit = match text {
        Some(text) if text != "-" => return Ok(text.into_vec()),
        Some(_) => true,
        None => false,
    };
    let stdin = io::stdin();
    if !explicit && stdin.is_terminal() {
        return Err(Failure::NothingToSend);
    }
    // One byte more than can be sent, so that the client sees that it is too much; never all of /dev/zero.
    let limit = MAX_PAYLOAD_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    stdin.lock().take(limit).read_to_end(&mut bytes).map_err(|source| Failure::Stdin { source })?;
    // Under cron and the like standard input is /dev/null: nothing was meant to be sent.
    if bytes.is_empty() && !explicit {
        return Err(Failure::NothingToSend);
    }
    Ok(bytes)
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(ttl) if ttl < Duration::from_millis(1) => Err("a message needs some time, at least 1ms".into()),
        Ok(ttl) => Ok(ttl),
        Err(error) => Err(error.to_string()),
    }
}

fn parse_request_id(text: &str) -> Result<String, String> {
    if request_id_is_valid(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("a request id has 1 to {MAX_REQUEST_ID_BYTES} printable ASCII characters and no blanks"))
    }
}
