//! `GetReceipt`: what shows to anybody that a message was published.

use tonic::Status;
use zipnet_proto::v1::{GetReceiptRequest, GetReceiptResponse};

use super::backend::Caller;
use super::{Service, check_id, deny};

pub(super) async fn receipt(
    service: &Service,
    caller: Caller,
    request: GetReceiptRequest,
) -> Result<GetReceiptResponse, Status> {
    check_id(&request.message_id)?;
    let receipt = service.backend.receipt(caller, request.message_id).await.map_err(deny)?;
    Ok(GetReceiptResponse { receipt })
}
