//! `Cancel`: takes a message back that was not sealed yet.

use tonic::Status;
use zipnet_proto::v1::{CancelRequest, CancelResponse};

use super::backend::Caller;
use super::{Service, check_id, deny};

pub(super) async fn cancel(
    service: &Service,
    caller: Caller,
    request: CancelRequest,
) -> Result<CancelResponse, Status> {
    check_id(&request.message_id)?;
    service.backend.cancel(caller, request.message_id).await.map_err(deny)
}
