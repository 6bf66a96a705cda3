//! Watching messages: what changed since a number, again and again. Nothing is kept per watcher but that number.
//!
//! A cursor is `START:NUMBER`. The start is drawn anew at every start of the client, because the numbers begin anew too:
//! who comes with an earlier one gets every message that is remembered.

use std::fmt;

use zipnet_proto::v1::{Message, WatchItem};
use zipnet_proto::{Reason, Refused};

use super::handle::{Handle, Request};
use crate::control::backend::{Caller, Denied, WatchSink};

/// A place in the changes of one start of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    start: u64,
    number: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}:{}", self.start, self.number)
    }
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (start, number) = text.split_once(':')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
        if start.len() != 16 || !digits(start) || !digits(number) {
            return None;
        }
        Some(Self { start: u64::from_str_radix(start, 16).ok()?, number: number.parse().ok()? })
    }
}

/// What the core says changed.
pub(crate) struct Changed {
    pub messages: Vec<(u64, Message)>,
    pub upto: u64,
    pub more: bool,
    pub last: u64,
}

fn malformed(cursor: &str) -> Refused {
    let shown: String = cursor.chars().take(64).collect();
    let message =
        format!("{shown:?} is not a cursor of this daemon: give the last one of the stream, or none");
    Refused { reason: Reason::InvalidRequest, message, retry_after: None }
}

/// Writes what becomes of messages into `sink`, until the watcher has gone or the client ends.
pub(super) async fn watch(
    handle: Handle,
    caller: Caller,
    only: Option<String>,
    cursor: String,
    sink: WatchSink,
) -> Result<(), Denied> {
    let start = handle.start();
    let resumed = match cursor.as_str() {
        "" => None,
        text => Some(Cursor::parse(text).ok_or_else(|| malformed(text))?),
    };
    let known = resumed.filter(|cursor| cursor.start == start).map(|cursor| cursor.number);
    let at = |number| Cursor { start, number }.to_string();
    let put = async |message, number| {
        let item = WatchItem { message, cursor: at(number) };
        sink.send(item).await
    };
    let mut changes = crate::control::backend::Backend::changes(&handle);
    let mut since = known.unwrap_or(0);
    // Who comes without a cursor is told of what is open now, and of everything from then on.
    let mut settled_before = None;
    let (mut started, mut told) = (false, false);
    loop {
        changes.borrow_and_update();
        let changed = handle.changed(caller, only.clone(), since).await?;
        if known.is_some_and(|number| number > changed.last) {
            return Err(malformed(&cursor).into());
        }
        let until = *settled_before.get_or_insert(if resumed.is_some() { 0 } else { changed.last });
        let shown = |(number, message): &(u64, Message)| *number > until || !message.state().is_terminal();
        let messages: Vec<_> = changed.messages.into_iter().filter(shown).collect();
        if !started {
            let first = messages.first().map_or(changed.upto, |(number, _)| number - 1);
            if put(None, first).await.is_err() {
                return Ok(());
            }
            started = true;
        }
        for (number, message) in messages {
            told = true;
            if put(Some(message), number).await.is_err() {
                return Ok(());
            }
        }
        since = changed.upto;
        if changed.more {
            continue;
        }
        if std::mem::take(&mut told) && put(None, since).await.is_err() {
            return Ok(());
        }
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return Err(ending().into());
                }
            }
            () = sink.closed() => return Ok(()),
        }
    }
}

fn ending() -> Refused {
    let message = "the daemon is shutting down".to_owned();
    Refused { reason: Reason::Draining, message, retry_after: None }
}

impl Handle {
    async fn changed(&self, caller: Caller, only: Option<String>, since: u64) -> Result<Changed, Denied> {
        Ok(self.ask(|reply| Request::Changed { caller, only, since, reply }).await??)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_and_nothing_else_is_one() {
        let cursor = Cursor { start: 0xab, number: 17 };
        assert_eq!(cursor.to_string(), "00000000000000ab:17");
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        let bad = [
            "",
            ":",
            "ab:17",
            "00000000000000ab",
            "00000000000000ab:",
            "00000000000000ab:+1",
            "+0000000000000ab:1",
        ];
        for text in bad {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
        assert_eq!(Cursor::parse("00000000000000ab:99999999999999999999"), None);
    }
}
