//! `SetPaused`: cover and nothing else, until told otherwise or restarted.

use tonic::Status;
use zipnet_proto::v1::{SetPausedRequest, SetPausedResponse};

use super::backend::Caller;
use super::operator::only_operator;
use super::{Service, deny};

pub(super) async fn pause(
    service: &Service,
    caller: Caller,
    request: SetPausedRequest,
) -> Result<SetPausedResponse, Status> {
    only_operator(service, caller, "pause and resume sending")?;
    let was = service.backend.set_paused(request.paused).await.map_err(deny)?;
    Ok(SetPausedResponse { was })
}
