//! `watch`: what becomes of messages, as it happens.

mod seen;

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use zipnet_proto::{
    Client,
    v1::{Message, MessageState},
};

use self::seen::Seen;
use super::{
    Backoff, Context,
    message::{View, progress_and_past},
    passes_by,
};
use crate::{failure::Failure, out, text};

/// Watch what becomes of messages: one line for each change, until interrupted.
///
/// With ID only that message, and until its end: the exit code is 0 if it is published, 5 if it ended otherwise. A daemon
/// that goes away meanwhile is waited for. Programs use --json: each line has a `cursor`, by which --cursor goes on later.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this message [default: all of yours; for root and the daemon's own user everybody's].
    id: Option<String>,

    /// Go on after the line of --json that had this cursor; tells every change since, also across a restart of the
    /// daemon [default: from now on, after one line for each message that has not ended].
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    message: View<'a>,
    cursor: &'a str,
}

/// Where the watcher is.
struct Watch {
    id: Option<String>,
    cursor: String,
    seen: Seen,
    /// What ended before this is no change: a daemon that was restarted tells it again. Milliseconds since the epoch.
    since_ms: u64,
}

pub(crate) async fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Who asks for a certain message, or for everything since a cursor, is told all of it.
    let all = args.id.is_some() || args.cursor.is_some();
    let mut watch = Watch {
        id: args.id,
        cursor: args.cursor.unwrap_or_default(),
        seen: Seen::default(),
        since_ms: if all { 0 } else { u64::try_from(now.as_millis()).unwrap_or(u64::MAX) },
    };
    let mut backoff = Backoff::new();
    let mut told = String::new();
    loop {
        let before = watch.cursor.clone();
        let why = match watch.pass(&mut client, context).await {
            Ok(Some(end)) if end.state() == MessageState::Published => return Ok(()),
            Ok(Some(end)) => {
                let state = end.state();
                return Err(Failure::Ended { id: end.id, state, reason: end.reason });
            }
            Ok(None) => "the daemon ended the stream".to_owned(),
            Err(Failure::Call(error)) if passes_by(&error) => error.to_string(),
            Err(failure) => return Err(failure),
        };
        if watch.cursor != before {
            backoff = Backoff::new();
            told.clear();
        }
        // Once an outage, however long it is.
        if told != why {
            out::note(&format!("{}; trying again", text::tame(&why)));
            told = why;
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

impl Watch {
    /// One stream, from the cursor on. Gives the message that is watched when it has ended; `None` when the stream has.
    async fn pass(&mut self, client: &mut Client, context: &mut Context) -> Result<Option<Message>, Failure> {
        let mut stream = client.watch(self.id.as_deref(), &self.cursor).await?;
        let mut first = true;
        while let Some(item) = stream.next().await? {
            self.cursor = item.cursor;
            if let Some(message) = &item.message
                && self.tell(message, context)?
            {
                return Ok(item.message);
            }
            // A message that ended before the stream began has no changes to come. Asked after the beginning, so that
            // no change falls between.
            if std::mem::take(&mut first)
                && let Some(id) = &self.id
            {
                let message = client.get(id).await?;
                if message.state().is_terminal() {
                    self.tell(&message, context)?;
                    return Ok(Some(message));
                }
            }
        }
        Ok(None)
    }

    /// Prints the message, unless that was said already. True: it is the one that is watched, and it has ended.
    fn tell(&mut self, message: &Message, context: &mut Context) -> Result<bool, Failure> {
        let terminal = message.state().is_terminal();
        let line = format!("{}  {}", text::tame(&message.id), progress_and_past(message));
        let old = terminal && message.accepted_at_ms < self.since_ms && !self.seen.knows(&message.id);
        if !old && self.seen.is_new(&message.id, &line, terminal) {
            if context.out.json() {
                context.out.object(&Line { message: message.into(), cursor: &self.cursor })?;
            } else {
                context.out.line(&line)?;
            }
        }
        Ok(terminal && self.id.is_some())
    }
}
