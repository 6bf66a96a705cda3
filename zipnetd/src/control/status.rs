//! `Status`: how the daemon is doing.

use tonic::Status;
use zipnet_proto::v1::StatusResponse;

use super::backend::Caller;
use super::{Service, deny};

pub(super) async fn status(service: &Service, caller: Caller) -> Result<StatusResponse, Status> {
    let mut status = service.backend.status(caller).await.map_err(deny)?;
    if service.draining.is_cancelled() {
        status.why = "the daemon is shutting down".to_owned();
        status.draining = true;
    }
    Ok(status)
}
