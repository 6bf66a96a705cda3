//! `Send`: takes a message for publication.

use std::time::Duration;

use tonic::Status;
use zipnet_proto::v1::{SendRequest, SendResponse};
use zipnet_proto::{MAX_REQUEST_ID_BYTES, Reason, request_id_is_valid};

use super::backend::{Caller, NewMessage};
use super::{Service, deny};

pub(super) async fn send(
    service: &Service,
    caller: Caller,
    request: SendRequest,
) -> Result<SendResponse, Status> {
    if service.draining.is_cancelled() {
        return Err(Reason::Draining.into_status("the daemon is shutting down and takes no more messages"));
    }
    let SendRequest { payload, request_id, ttl_ms, receipt } = request;
    if let Some(id) = request_id.as_deref().filter(|id| !request_id_is_valid(id)) {
        return Err(Reason::InvalidRequest.into_status(format!(
            "{:?} is not a request id: 1 to {MAX_REQUEST_ID_BYTES} printable ASCII characters without blanks",
            id.chars().take(MAX_REQUEST_ID_BYTES).collect::<String>()
        )));
    }
    if ttl_ms == Some(0) {
        return Err(Reason::InvalidRequest.into_status("a ttl of 0 ms leaves no time to publish anything"));
    }
    let ttl = ttl_ms.map(Duration::from_millis);
    let message = NewMessage { payload, request_id, ttl, receipt };
    // In a task of its own: a caller who goes away must not stop half of it.
    let taken = tokio::spawn(service.backend.send(caller, message));
    match taken.await {
        Ok(answer) => answer.map_err(deny),
        Err(error) => Err(Status::internal(format!("taking the message failed: {error}"))),
    }
}
