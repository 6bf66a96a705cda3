//! `Read`: the broadcast log as a stream.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures::Stream;
use tokio::sync::mpsc::{self, error::SendTimeoutError};
use tonic::Status;
use zipnet_proto::Reason;
use zipnet_proto::v1::{ReadItem, ReadRequest, read_item::Item};

use super::{Service, place, refuse};

/// What the reader gets: the items, then the status that ended the stream, if it did not just end.
pub(super) struct ReadItems {
    items: mpsc::Receiver<ReadItem>,
    end: Arc<OnceLock<Status>>,
}

impl Stream for ReadItems {
    type Item = Result<ReadItem, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.items.poll_recv(cx) {
            Poll::Ready(Some(item)) => Poll::Ready(Some(Ok(item))),
            // Closed: told once, because the receiver is asked no more after an error.
            Poll::Ready(None) => Poll::Ready(self.end.get().cloned().map(Err)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Starts a reader. It has three parts: the backend, which fills a queue; this, which moves the items on and notices a
/// reader that takes nothing; the stream, which tonic polls.
pub(super) fn read(service: &Service, request: &ReadRequest) -> Result<ReadItems, Status> {
    let limits = service.limits;
    let permit = place(&service.readers, limits.readers, "readers of the log")?;
    let (sink, mut filled) = mpsc::channel(1);
    let (out, items) = mpsc::channel(limits.reader_items);
    let end = Arc::new(OnceLock::new());
    let fill = tokio::spawn(service.backend.read(request.from_round, request.follow, sink));
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
                    Ok(Err(refused)) => Some(refuse(refused)),
                    Err(error) => Some(Status::internal(format!("reading the log failed: {error}"))),
                };
            };
            let mark = match &item.item {
                Some(Item::Progress(progress)) => Some(progress.next_round),
                _ => None,
            };
            match out.send_timeout(item, limits.reader_stall).await {
                // Only a mark that got through is where the reader is.
                Ok(()) => resume = mark.or(resume),
                Err(SendTimeoutError::Closed(_)) => break None,
                Err(SendTimeoutError::Timeout(_)) => break Some(lagged(resume, limits.reader_stall)),
            }
        };
        // Before the channel closes, which is what makes the stream look here. Set once: nobody else has this cell.
        if let Some(status) = status {
            let _ = ended.set(status);
        }
        drop(out);
    });
    Ok(ReadItems { items, end })
}

fn lagged(resume: Option<u64>, stall: std::time::Duration) -> Status {
    let went_on = resume.map_or_else(
        || "resume at the last progress mark".to_owned(),
        |round| format!("resume at round {round}"),
    );
    Reason::Lagged.into_status(format!("this reader took nothing for {} s; {went_on}", stall.as_secs()))
}
