//! `Read`: the broadcast log as a stream.

use futures::TryFutureExt;
use tokio::sync::mpsc;
use tonic::Status;
use zipnet_proto::v1::{ReadItem, ReadRequest, read_item::Item};

use super::backend::{Caller, Denied};
use super::stream::{Filling, Items, start};
use super::{Service, place};

pub(super) fn read(
    service: &Service,
    caller: Caller,
    request: &ReadRequest,
) -> Result<Items<ReadItem>, Status> {
    let permit = place(&service.readers, caller.uid, "readers of the log")?;
    let (sink, filled) = mpsc::channel(1);
    let fill = service.backend.read(request.from_round, request.follow, sink).map_err(Denied::from);
    Ok(start(service, Filling { fill, filled, mark, permit }))
}

fn mark(item: &ReadItem) -> Option<String> {
    match &item.item {
        Some(Item::Progress(progress)) => Some(format!("round {}", progress.next_round)),
        _ => None,
    }
}
