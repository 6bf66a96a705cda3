//! `Drain`: ends the daemon, as a signal does.

use tonic::Status;
use zipnet_proto::v1::{DrainRequest, DrainResponse};

use super::Service;
use super::backend::Caller;
use super::operator::{Ending, only_operator};

pub(super) fn drain(
    service: &Service,
    caller: Caller,
    request: DrainRequest,
) -> Result<DrainResponse, Status> {
    only_operator(service, caller, "end it")?;
    let cover = if request.now { std::time::Duration::ZERO } else { service.backend.grace() };
    let grace = cover + service.operator.margin();
    service.operator.end(if request.now { Ending::Now } else { Ending::Drain });
    Ok(DrainResponse { grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX) })
}
