//! What an acceptor does with calls and streams: the trait, and the serving of one stream.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use iroh::endpoint::{RecvStream, SendStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::debug;

use super::kind::Shape;
use super::limits::Limits;
use super::wire::{self, Reader, WireError};
use super::{Kind, LinkError, Refusal, Remote};

/// Frames between a service and its reader beyond those in QUIC's own windows.
const SINK_FRAMES: usize = 1;

/// Answers calls and pushes streams. One per [`Links`](super::Links).
pub trait Service: Send + Sync + 'static {
    /// Answers a call. Runs to its end even if the caller has gone, so half-done work cannot be left behind; it has to
    /// bound its own time. `from` is authenticated; that it may ask for `kind` is the service's to check.
    ///
    /// # Errors
    /// A [`Refusal`] reaches the caller as [`LinkError::Refused`].
    fn call(&self, from: &Remote, kind: Kind, body: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, Refusal>>;

    /// Pushes frames until it has no more. Dropped at its next await when the reader has gone or stalls.
    ///
    /// # Errors
    /// A [`Refusal`] reaches the reader after the frames sent before it.
    fn stream(
        &self,
        from: &Remote,
        kind: Kind,
        body: Vec<u8>,
        sink: FrameSink,
    ) -> BoxFuture<'_, Result<(), Refusal>>;
}

/// The sending end of a stream.
pub struct FrameSink {
    kind: Kind,
    frames: mpsc::Sender<Bytes>,
}

impl FrameSink {
    /// Sends a frame; waits while the reader is behind. Cancel safe: a frame is sent whole or not at all.
    ///
    /// # Errors
    /// [`LinkError::TooLong`] beyond the limit of the kind, [`LinkError::Closed`] when the reader has gone.
    pub async fn send(&mut self, frame: impl Into<Bytes>) -> Result<(), LinkError> {
        let frame = frame.into();
        check_len(self.kind, frame.len(), self.kind.max_answer())?;
        self.frames.send(frame).await.map_err(|_| LinkError::Closed)
    }
}

/// Refuses what is beyond `max`.
pub(super) fn check_len(kind: Kind, len: usize, max: usize) -> Result<(), LinkError> {
    if len > max {
        return Err(LinkError::TooLong { kind, len, max });
    }
    Ok(())
}

/// Serves one stream of an authenticated connection, to its end. `admitted` is false when the peer has too much under way.
pub(super) async fn serve(
    service: Arc<dyn Service>,
    from: Arc<Remote>,
    mut send: SendStream,
    recv: RecvStream,
    limits: Limits,
    admitted: bool,
) {
    let done = respond(&*service, &from, &mut send, recv, limits, admitted).await;
    if let Err(error) = done {
        debug!(peer = %from.peer_id.short(), %error, "answer not taken");
        let _ = send.reset(0u32.into());
    }
}

async fn respond(
    service: &dyn Service,
    from: &Remote,
    send: &mut SendStream,
    recv: RecvStream,
    limits: Limits,
    admitted: bool,
) -> Result<(), WireError> {
    let request = if admitted {
        request(from, recv, limits.request).await
    } else {
        Err(Refusal::new(Refusal::BUSY, "too many requests under way"))
    };
    let result = match request {
        Ok((kind, body)) if kind.shape() == Shape::Stream => {
            push(service, from, kind, body, send, limits.stall).await?.map(|()| (wire::END, Bytes::new()))
        }
        Ok((kind, body)) => answer(service, from, kind, body).await.map(|body| (wire::OK, body)),
        Err(refusal) => Err(refusal),
    };
    let (tag, body) = result.unwrap_or_else(|refusal| {
        metrics::counter!(super::REQUESTS_REFUSED, "reason" => refusal.reason()).increment(1);
        debug!(peer = %from.peer_id.short(), code = refusal.code, text = refusal.text, "refused");
        (wire::REFUSED, refusal.to_bytes().into())
    });
    wire::write(send, tag, body, limits.stall).await?;
    let _ = send.finish();
    Ok(())
}

/// Reads the request: kind, length, body.
async fn request(from: &Remote, recv: RecvStream, deadline: Duration) -> Result<(Kind, Vec<u8>), Refusal> {
    let max = |tag| Kind::from_byte(tag).filter(|kind| kind.allows(from.role)).map(Kind::max_request);
    let mut reader = Reader::new(recv);
    let read = timeout(deadline, reader.one(max))
        .await
        .map_err(|_| Refusal::new(Refusal::TOO_SLOW, format!("the request took more than {deadline:?}")))?;
    match read {
        Ok((tag, body)) => {
            let kind = Kind::from_byte(tag).expect("invariant: `max` accepts only kinds");
            Ok((kind, body))
        }
        Err(error @ WireError::TooLong { .. }) => {
            Err(Refusal::new(Refusal::REQUEST_TOO_LONG, error.to_string()))
        }
        Err(error) => Err(Refusal::new(Refusal::NOT_ALLOWED, error.to_string())),
    }
}

async fn answer(service: &dyn Service, from: &Remote, kind: Kind, body: Vec<u8>) -> Result<Bytes, Refusal> {
    let answer = service.call(from, kind, body).await?;
    check_len(kind, answer.len(), kind.max_answer())
        .map_err(|error| Refusal::new(Refusal::ANSWER_TOO_LONG, error.to_string()))?;
    Ok(answer.into())
}

/// Runs the service and writes its frames at the reader's pace. Dropped, service and all, when the reader has gone.
async fn push(
    service: &dyn Service,
    from: &Remote,
    kind: Kind,
    body: Vec<u8>,
    send: &mut SendStream,
    stall: Duration,
) -> Result<Result<(), Refusal>, WireError> {
    let gone = send.stopped();
    let (frames, mut queue) = mpsc::channel(SINK_FRAMES);
    let produce = service.stream(from, kind, body, FrameSink { kind, frames });
    let write = async {
        while let Some(frame) = queue.recv().await {
            wire::write(send, wire::OK, frame, stall).await?;
        }
        Ok(())
    };
    tokio::select! {
        both = async { tokio::try_join!(async { Ok(produce.await) }, write) } => both.map(|(result, ())| result),
        _ = gone => Err(WireError::Lost("the reader has gone".to_owned())),
    }
}
