//! Watching messages: what changed since a number, again and again. Nothing is kept per watcher but that number.
//!
//! A cursor is `START:NUMBER`. The start is drawn anew at every start of the client, because the numbers begin anew too:
//! who comes with an earlier one gets every message that is remembered. The number is enciphered: the changes of others
//! are counted too, and a gap would tell that they talk.

use zeroize::Zeroizing;
use zipnet_dcnet::hash::{Use, keyed32};
use zipnet_proto::v1::{Message, WatchItem};
use zipnet_proto::{Reason, Refused};

use super::handle::{Handle, Request};
use crate::control::backend::{Caller, Denied, WatchSink};

const CURSOR: Use = Use("zipnetd cursor");
/// Of the Feistel network that enciphers a number.
const ROUNDS: u8 = 4;

/// A place in the changes of one start of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    start: u64,
    number: u64,
}

/// What one start of the client writes its cursors with.
#[derive(Clone)]
pub(super) struct Start {
    id: u64,
    key: Zeroizing<[u8; 32]>,
}

impl Start {
    pub(super) fn new() -> Self {
        Self { id: rand::random(), key: Zeroizing::new(rand::random()) }
    }

    /// A round function of the cipher below.
    fn mix(&self, round: u8, half: u32) -> u32 {
        let mut out = [0; 32];
        keyed32(CURSOR, &*self.key, &[&[round], &half.to_le_bytes()], &mut out);
        u32::from_le_bytes([out[0], out[1], out[2], out[3]])
    }

    fn write(&self, number: u64) -> String {
        let (mut left, mut right) = ((number >> 32) as u32, number as u32);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.mix(round, right));
        }
        format!("{:016x}:{left:08x}{right:08x}", self.id)
    }

    /// A cursor of this start, or of another one, whose number means nothing here.
    fn parse(&self, text: &str) -> Option<Cursor> {
        let (start, number) = text.split_once(':')?;
        let digits = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !digits(start) || !digits(number) {
            return None;
        }
        let start = u64::from_str_radix(start, 16).ok()?;
        let number = u64::from_str_radix(number, 16).ok()?;
        let (mut left, mut right) = ((number >> 32) as u32, number as u32);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.mix(round, left), left);
        }
        Some(Cursor { start, number: u64::from(left) << 32 | u64::from(right) })
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
    let start = handle.start().clone();
    let resumed = match cursor.as_str() {
        "" => None,
        text => Some(start.parse(text).ok_or_else(|| malformed(text))?),
    };
    let known = resumed.filter(|cursor| cursor.start == start.id).map(|cursor| cursor.number);
    let put = async |message, number| {
        let item = WatchItem { message, cursor: start.write(number) };
        sink.send(item).await
    };
    let mut changes = crate::control::backend::Backend::changes(&handle);
    // How far was looked, at everybody's changes; and the last one that this watcher may see, which is what it is told.
    let mut since = known.unwrap_or(0);
    let mut mark = since;
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
        mark = changed.messages.last().map_or(mark, |(number, _)| *number);
        let shown = |(number, message): &(u64, Message)| *number > until || !message.state().is_terminal();
        let messages: Vec<_> = changed.messages.into_iter().filter(shown).collect();
        if !started {
            let first = messages.first().map_or(mark, |(number, _)| number - 1);
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
        if changed.more {
            since = changed.upto;
            continue;
        }
        since = changed.last;
        if std::mem::take(&mut told) && put(None, mark).await.is_err() {
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
        let start = Start::new();
        for number in [0, 1, 17, u64::MAX] {
            assert_eq!(start.parse(&start.write(number)), Some(Cursor { start: start.id, number }));
        }
        let bad = [
            "",
            ":",
            "ab:17",
            "00000000000000ab",
            "00000000000000ab:",
            "00000000000000ab:+000000000000001",
            "+0000000000000ab:0000000000000001",
            "00000000000000ab:00000000000000011",
        ];
        for text in bad {
            assert_eq!(start.parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_cursor_does_not_tell_how_many_changes_there_were() {
        let start = Start::new();
        let shown = |number| start.write(number).split_once(':').unwrap().1.to_owned();
        assert_ne!(shown(1), format!("{:016x}", 1));
        let numbers: std::collections::BTreeSet<String> = (0..1_000).map(shown).collect();
        assert_eq!(numbers.len(), 1_000, "each has a cursor of its own");
        assert!(
            !numbers
                .iter()
                .is_sorted_by_key(|text| start.parse(&format!("{:016x}:{text}", start.id)).unwrap().number)
        );
    }
}
