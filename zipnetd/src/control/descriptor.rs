//! `GetDescriptor`: what the deployment is, as this daemon knows it.

use tonic::Status;
use zipnet_proto::v1::GetDescriptorResponse;

use super::{Service, deny};

pub(super) async fn descriptor(service: &Service) -> Result<GetDescriptorResponse, Status> {
    service.backend.descriptor().await.map_err(deny)
}
