//! `Watch`: what becomes of messages, as a stream.

use tokio::sync::mpsc;
use tonic::Status;
use zipnet_proto::Reason;
use zipnet_proto::v1::{WatchItem, WatchRequest};

use super::backend::Caller;
use super::stream::{Filling, Items, start};
use super::{Service, check_id, place};

/// Longest cursor that is looked at, in bytes; ours have at most 37.
const MAX_CURSOR_BYTES: usize = 64;

pub(super) fn watch(
    service: &Service,
    caller: Caller,
    request: WatchRequest,
) -> Result<Items<WatchItem>, Status> {
    let WatchRequest { message_id, cursor } = request;
    check_id(&message_id)?;
    if cursor.len() > MAX_CURSOR_BYTES {
        let text = format!("a cursor of {} bytes is none of ours", cursor.len());
        return Err(Reason::InvalidRequest.into_status(text));
    }
    let permit = place(&service.subscribers, caller.uid, "watchers of messages")?;
    let (sink, filled) = mpsc::channel(1);
    let only = Some(message_id).filter(|id| !id.is_empty());
    let fill = service.backend.watch(caller, only, cursor, sink);
    let mark = |item: &WatchItem| Some(format!("cursor {}", item.cursor));
    Ok(start(service, Filling { fill, filled, mark, permit }))
}
