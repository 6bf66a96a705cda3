//! `VerifyLog`: the log as one server gives it, every signature and every link of it looked at.

use futures::TryFutureExt;
use tokio::sync::mpsc;
use tonic::Status;
use zipnet_dcnet::ids::PeerId;
use zipnet_proto::Reason;
use zipnet_proto::v1::{VerifyLogItem, VerifyLogRequest, verify_log_item::Item};

use super::backend::{Caller, Denied};
use super::stream::{Filling, Items, start};
use super::{Service, place};

/// Longest text that is looked at as a peer id, in bytes; they have 64.
const MAX_PEER_BYTES: usize = 64;

pub(super) fn verify_log(
    service: &Service,
    caller: Caller,
    request: &VerifyLogRequest,
) -> Result<Items<VerifyLogItem>, Status> {
    let server = match request.server.as_str() {
        "" => None,
        text if text.len() > MAX_PEER_BYTES => {
            let text = format!("a server's id of {} bytes is none", text.len());
            return Err(Reason::InvalidRequest.into_status(text));
        }
        text => Some(text.parse::<PeerId>().map_err(|e| Reason::InvalidRequest.into_status(e.to_string()))?),
    };
    let permit = place(&service.verifiers, caller.uid, "verifications of the log")?;
    let (sink, filled) = mpsc::channel(1);
    let fill = service.backend.verify_log(request.from_round, server, sink).map_err(Denied::from);
    Ok(start(service, Filling { fill, filled, mark, permit }))
}

fn mark(item: &VerifyLogItem) -> Option<String> {
    match &item.item {
        Some(Item::Progress(progress)) => Some(format!("round {}", progress.next_round)),
        _ => None,
    }
}
