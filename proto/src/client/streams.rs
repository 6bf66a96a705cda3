//! Calls that answer with a stream.

use std::{future::Future, time::Duration};

use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::{CALL_TIMEOUT, CallError, Client, bounded};
use crate::v1::{
    ReadItem, ReadRequest, VerifyLogItem, VerifyLogRequest, WatchItem, WatchRequest, read_item::Item,
    verify_log_item,
};

/// Longest time between two items of a verification: the daemon asks a slow server three times, ten seconds each.
const VERIFY_TIMEOUT: Duration = Duration::from_mins(1);

impl Client {
    /// The broadcast log from `from_round` on (0: the earliest kept; absent: the last 100 rounds); with `follow` also
    /// what comes.
    ///
    /// # Errors
    /// `TooManyCallers`, `InstanceUnknown` as [`CallError::Refused`]; a lost or silent daemon.
    pub async fn read(&mut self, from_round: Option<u64>, follow: bool) -> Result<ReadStream, CallError> {
        let stream =
            bounded("Read", CALL_TIMEOUT, self.control.read(ReadRequest { from_round, follow })).await?;
        Ok(ReadStream { stream, follow })
    }

    /// What becomes of one message, or without `message_id` of all the caller may see. `cursor` is that of the last item
    /// seen, also of a stream before a restart of the daemon; empty: from now on, after one item for each message that
    /// is not terminal.
    ///
    /// # Errors
    /// `NotFound`, `NotYours`, `TooManyCallers`, `InvalidRequest` (a cursor that is none) as [`CallError::Refused`]; a
    /// lost or silent daemon.
    pub async fn watch(&mut self, message_id: Option<&str>, cursor: &str) -> Result<WatchStream, CallError> {
        let message_id = message_id.unwrap_or_default().to_owned();
        let request = WatchRequest { message_id, cursor: cursor.to_owned() };
        let stream = bounded("Watch", CALL_TIMEOUT, self.control.watch(request)).await?;
        Ok(WatchStream { stream, first: true })
    }
}

impl Client {
    /// Walks the log of a server (empty: one that can be reached) from a round on (0: the earliest kept).
    ///
    /// # Errors
    /// `TooManyCallers`, `InstanceUnknown`, `InvalidRequest` (no server of the deployment) as [`CallError::Refused`]; a
    /// lost or silent daemon.
    pub async fn verify_log(&mut self, from_round: u64, server: &str) -> Result<VerifyStream, CallError> {
        let request = VerifyLogRequest { from_round, server: server.to_owned() };
        let stream = bounded("VerifyLog", CALL_TIMEOUT, self.control.verify_log(request)).await?;
        Ok(VerifyStream { stream })
    }
}

/// What a walk through the log finds, as it goes on.
#[derive(Debug)]
pub struct VerifyStream {
    stream: Streaming<VerifyLogItem>,
}

impl VerifyStream {
    /// The next progress mark or problem; `None` at the end.
    ///
    /// # Errors
    /// `ConnectTimeout` when the server does not answer, `Draining` as [`CallError::Refused`]; a lost or silent daemon.
    pub async fn next(&mut self) -> Result<Option<verify_log_item::Item>, CallError> {
        loop {
            match next_item("VerifyLog", Some(VERIFY_TIMEOUT), self.stream.message()).await? {
                None => return Ok(None),
                Some(VerifyLogItem { item: Some(item) }) => return Ok(Some(item)),
                // A kind of item of a later version.
                Some(VerifyLogItem { item: None }) => {}
            }
        }
    }
}

/// The broadcast log as it arrives.
#[derive(Debug)]
pub struct ReadStream {
    stream: Streaming<ReadItem>,
    follow: bool,
}

impl ReadStream {
    /// The next message or progress mark; `None` at the end, which only a stream that does not follow has.
    ///
    /// # Errors
    /// `Lagged`, `Draining` as [`CallError::Refused`]; a lost or silent daemon. Reading may go on with a new stream
    /// from the last progress mark.
    pub async fn next(&mut self) -> Result<Option<Item>, CallError> {
        loop {
            // However long nobody talks; keep-alive pings notice a daemon that is no more.
            let limit = (!self.follow).then_some(CALL_TIMEOUT);
            match next_item("Read", limit, self.stream.message()).await? {
                None => return Ok(None),
                Some(ReadItem { item: Some(item) }) => return Ok(Some(item)),
                // A kind of item of a later version.
                Some(ReadItem { item: None }) => {}
            }
        }
    }
}

/// The changes of messages as they come.
#[derive(Debug)]
pub struct WatchStream {
    stream: Streaming<WatchItem>,
    /// No item came yet: the daemon says at once where the stream is.
    first: bool,
}

impl WatchStream {
    /// The next item: a message as it is now, or without a message only where the stream is. `None` at the end.
    ///
    /// # Errors
    /// `Lagged`, `Draining` as [`CallError::Refused`]; a lost or silent daemon. Watching may go on with a new stream
    /// from the cursor of the last item.
    pub async fn next(&mut self) -> Result<Option<WatchItem>, CallError> {
        let limit = self.first.then_some(CALL_TIMEOUT);
        let item = next_item("Watch", limit, self.stream.message()).await?;
        self.first = false;
        Ok(item)
    }
}

/// Within the limit the daemon has to say something; without one it may be silent, and keep-alive pings notice one that
/// is no more.
async fn next_item<T>(
    call: &'static str,
    limit: Option<Duration>,
    next: impl Future<Output = Result<Option<T>, Status>>,
) -> Result<Option<T>, CallError> {
    let item = match limit {
        Some(after) => timeout(after, next).await.map_err(|_| CallError::TimedOut { call, after })?,
        None => next.await,
    };
    item.map_err(|status| CallError::of(call, &status))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_that_has_to_speak_is_given_up_in_time() {
        let limit = Duration::from_millis(20);
        let silent = std::future::pending::<Result<Option<()>, Status>>();
        let error = next_item("Watch", Some(limit), silent).await.unwrap_err();
        assert!(matches!(error, CallError::TimedOut { call: "Watch", after } if after == limit));
        let late = async {
            tokio::time::sleep(limit * 2).await;
            Ok(Some(()))
        };
        assert_eq!(next_item("Watch", None, late).await.unwrap(), Some(()));
    }
}
