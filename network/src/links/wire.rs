//! Messages on a QUIC stream: one tag byte, a `u32` length, the body. The length is checked before anything is
//! allocated for it, and memory grows only with what has arrived.

use std::time::Duration;

use bytes::Bytes;
use iroh::endpoint::{ReadError, RecvStream, SendStream, WriteError};
use tokio::time::timeout;

/// Tag and length.
const HEAD: usize = 5;
/// Allocated before the first byte of a body is there.
const FIRST_ALLOCATION: usize = 32 * 1024;

/// Tag of an answer or of a frame of a stream.
pub(super) const OK: u8 = 0;
/// Tag of a refusal.
pub(super) const REFUSED: u8 = 1;
/// Tag of the regular end of a stream.
pub(super) const END: u8 = 2;

/// What went wrong with a message.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The connection or the stream is gone.
    #[error("{0}")]
    Lost(String),
    /// Nothing moved for this long.
    #[error("nothing moved for {0:?}")]
    Stalled(Duration),
    /// The announced length is beyond the limit.
    #[error("a message with tag {tag} of {len} bytes, at most {max} are allowed")]
    TooLong { tag: u8, len: usize, max: usize },
    /// A tag that has no meaning here.
    #[error("a message with unknown tag {0}")]
    Tag(u8),
    /// The stream ended inside a message.
    #[error("the stream ended early")]
    Truncated,
}

impl From<ReadError> for WireError {
    fn from(error: ReadError) -> Self {
        Self::Lost(match error {
            ReadError::ConnectionLost(reason) => reason.to_string(),
            other => other.to_string(),
        })
    }
}

impl From<WriteError> for WireError {
    fn from(error: WriteError) -> Self {
        Self::Lost(match error {
            WriteError::ConnectionLost(reason) => reason.to_string(),
            other => other.to_string(),
        })
    }
}

/// The bytes of one message, without copying the body.
pub(super) fn message(tag: u8, body: Bytes) -> Vec<Bytes> {
    let len = u32::try_from(body.len()).expect("invariant: bodies are checked against their kind");
    let mut head = Vec::with_capacity(HEAD);
    head.push(tag);
    head.extend_from_slice(&len.to_le_bytes());
    let mut chunks = vec![Bytes::from(head)];
    if len > 0 {
        chunks.push(body);
    }
    chunks
}

/// Writes one message. Not cancel safe. Fails when the other side takes nothing for `stall`.
pub(super) async fn write(
    send: &mut SendStream,
    tag: u8,
    body: Bytes,
    stall: Duration,
) -> Result<(), WireError> {
    let mut chunks = message(tag, body);
    let mut rest = &mut chunks[..];
    while !rest.is_empty() {
        timeout(stall, send.write_many_chunks(&mut rest)).await.map_err(|_| WireError::Stalled(stall))??;
    }
    Ok(())
}

/// Where a [`Reader`] reads. Both are cancel safe.
pub(super) trait Source {
    /// Some bytes; `None` at the end.
    async fn some(&mut self, into: &mut [u8]) -> Result<Option<usize>, WireError>;
    /// At most so many bytes; `None` at the end.
    async fn chunk(&mut self, max: usize) -> Result<Option<Bytes>, WireError>;
}

impl Source for RecvStream {
    async fn some(&mut self, into: &mut [u8]) -> Result<Option<usize>, WireError> {
        Ok(self.read(into).await?)
    }

    async fn chunk(&mut self, max: usize) -> Result<Option<Bytes>, WireError> {
        Ok(self.read_chunk(max).await?)
    }
}

/// Reads messages off a stream. [`Reader::next`] is cancel safe: what has arrived is kept.
pub(super) struct Reader<S = RecvStream> {
    recv: S,
    head: [u8; HEAD],
    have: usize,
    /// Length of the current body, once the head is complete and accepted.
    len: Option<usize>,
    body: Vec<u8>,
}

impl<S: Source> Reader<S> {
    pub(super) fn new(recv: S) -> Self {
        Self { recv, head: [0; HEAD], have: 0, len: None, body: Vec::new() }
    }

    /// The next message, or `None` when the stream has ended between two messages.
    /// `max` gives the longest body for a tag, `None` for a tag that is not expected.
    pub(super) async fn next(
        &mut self,
        max: impl Fn(u8) -> Option<usize>,
    ) -> Result<Option<(u8, Vec<u8>)>, WireError> {
        while self.have < HEAD {
            match self.recv.some(&mut self.head[self.have..]).await? {
                Some(n) => self.have += n,
                None if self.have == 0 => return Ok(None),
                None => return Err(WireError::Truncated),
            }
        }
        let tag = self.head[0];
        let len = if let Some(len) = self.len {
            len
        } else {
            let [_, len @ ..] = self.head;
            let len = u32::from_le_bytes(len) as usize;
            let max = max(tag).ok_or(WireError::Tag(tag))?;
            if len > max {
                return Err(WireError::TooLong { tag, len, max });
            }
            self.body = Vec::with_capacity(len.min(FIRST_ALLOCATION));
            self.len = Some(len);
            len
        };
        while self.body.len() < len {
            let chunk = self.recv.chunk(len - self.body.len()).await?.ok_or(WireError::Truncated)?;
            self.body.extend_from_slice(&chunk);
        }
        self.have = 0;
        self.len = None;
        Ok(Some((tag, std::mem::take(&mut self.body))))
    }

    /// The one message that has to come.
    pub(super) async fn one(
        &mut self,
        max: impl Fn(u8) -> Option<usize>,
    ) -> Result<(u8, Vec<u8>), WireError> {
        self.next(max).await?.ok_or(WireError::Truncated)
    }
}
