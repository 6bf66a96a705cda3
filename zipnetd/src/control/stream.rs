//! Streams to callers, within their bounds. A stream has three parts: the backend, which fills a queue; the one here that
//! moves the items on and notices a caller who takes nothing; and what tonic polls.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures::Stream;
use tokio::sync::mpsc::{self, error::SendTimeoutError};
use tonic::Status;
use zipnet_proto::Reason;

use super::backend::Denied;
use super::{Service, deny};

/// What the caller gets: the items, then the status that ended the stream, if it did not just end.
pub(super) struct Items<T> {
    items: mpsc::Receiver<T>,
    end: Arc<OnceLock<Status>>,
}

impl<T> Stream for Items<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.items.poll_recv(cx) {
            Poll::Ready(Some(item)) => Poll::Ready(Some(Ok(item))),
            // Closed: told once, because the receiver is asked no more after an error.
            Poll::Ready(None) => Poll::Ready(self.end.get().cloned().map(Err)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// How a stream is filled.
pub(super) struct Filling<T, F> {
    /// Fills the queue; its end is that of the stream.
    pub(super) fill: F,
    /// The queue.
    pub(super) filled: mpsc::Receiver<T>,
    /// Where a caller resumes who has got this item: `round 7`.
    pub(super) mark: fn(&T) -> Option<String>,
    /// The place among those that there may be.
    pub(super) permit: super::places::Place,
}

/// Starts a stream.
pub(super) fn start<T, F>(service: &Service, filling: Filling<T, F>) -> Items<T>
where
    T: Send + 'static,
    F: Future<Output = Result<(), Denied>> + Send + 'static,
{
    let Filling { fill, mut filled, mark, permit } = filling;
    let limits = service.limits;
    let (out, items) = mpsc::channel(limits.stream_items);
    let end = Arc::new(OnceLock::new());
    let fill = tokio::spawn(fill);
    let stop = service.stop.clone();
    let ended = end.clone();
    tokio::spawn(async move {
        let _permit = permit;
        let mut resume = None;
        let status = loop {
            let item = tokio::select! {
                item = filled.recv() => item,
                () = stop.cancelled() => break Some(Reason::Draining.into_status("the daemon is shutting down")),
                () = out.closed() => break None,
            };
            let Some(item) = item else {
                break match fill.await {
                    Ok(Ok(())) => None,
                    Ok(Err(denied)) => Some(deny(denied)),
                    Err(error) => Some(Status::internal(format!("filling the stream failed: {error}"))),
                };
            };
            let at = mark(&item);
            match out.send_timeout(item, limits.stream_stall).await {
                // Only a mark that got through is where the caller is.
                Ok(()) => resume = at.or(resume),
                Err(SendTimeoutError::Closed(_)) => break None,
                Err(SendTimeoutError::Timeout(_)) => break Some(lagged(resume, limits.stream_stall)),
            }
        };
        // Before the channel closes, which is what makes the stream look here. Set once: nobody else has this cell.
        if let Some(status) = status {
            let _ = ended.set(status);
        }
        drop(out);
    });
    Items { items, end }
}

fn lagged(resume: Option<String>, stall: std::time::Duration) -> Status {
    let at = resume.unwrap_or_else(|| "the last progress mark".to_owned());
    Reason::Lagged.into_status(format!("this reader took nothing for {} s; resume at {at}", stall.as_secs()))
}
