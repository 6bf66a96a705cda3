//! `Servers`: who is in the current header, and who can be reached from here.

use tonic::Status;
use zipnet_proto::v1::ServersResponse;

use super::{Service, deny};

pub(super) async fn servers(service: &Service) -> Result<ServersResponse, Status> {
    service.backend.servers().await.map_err(deny)
}
