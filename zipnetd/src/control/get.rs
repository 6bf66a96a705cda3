//! `Get`: what became of a message, at once or at its next change.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::Status;
use zipnet_proto::v1::{GetRequest, Message, MessageState};
use zipnet_proto::{MAX_GET_WAIT, Reason};

use super::backend::Caller;
use super::{Service, check_id, deny};

pub(super) async fn get(service: &Service, caller: Caller, request: GetRequest) -> Result<Message, Status> {
    let GetRequest { message_id, wait_ms, known_state } = request;
    check_id(&message_id)?;
    let known = MessageState::try_from(known_state).map_err(|_| {
        Reason::InvalidRequest.into_status(format!("{known_state} is not the number of a message state"))
    })?;
    let deadline = Instant::now() + Duration::from_millis(wait_ms).min(MAX_GET_WAIT);
    // Subscribed before the first look, so that no change falls in between.
    let mut changes = service.backend.changes();
    let mut message = service.backend.get(caller, message_id.clone()).await.map_err(deny)?;
    let known = if known == MessageState::Unspecified { message.state() } else { known };
    while message.state() == known && !message.state().is_terminal() {
        let changed = tokio::select! {
            changed = timeout_at(deadline, changes.changed()) => matches!(changed, Ok(Ok(()))),
            () = service.stop.cancelled() => false,
        };
        if !changed {
            break;
        }
        message = service.backend.get(caller, message_id.clone()).await.map_err(deny)?;
    }
    Ok(message)
}
