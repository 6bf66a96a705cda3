//! `SetLogLevel`: what is logged from now on.

use tonic::Status;
use zipnet_proto::Reason;
use zipnet_proto::v1::{SetLogLevelRequest, SetLogLevelResponse};

use super::Service;
use super::backend::Caller;
use super::operator::only_operator;
use crate::telemetry::LogError;

/// Longest filter that is looked at, in bytes.
const MAX_FILTER_BYTES: usize = 4_096;

pub(super) fn log_level(
    service: &Service,
    caller: Caller,
    request: &SetLogLevelRequest,
) -> Result<SetLogLevelResponse, Status> {
    only_operator(service, caller, "change what it logs")?;
    let len = request.filter.len();
    if len > MAX_FILTER_BYTES {
        let text = format!("a log filter of {len} bytes: at most {MAX_FILTER_BYTES} are read");
        return Err(Reason::InvalidRequest.into_status(text));
    }
    match service.operator.log().set(&request.filter) {
        Ok(filter) => Ok(SetLogLevelResponse { filter }),
        Err(error @ LogError::Filter { .. }) => Err(Reason::InvalidRequest.into_status(error.to_string())),
        Err(error @ LogError::Fixed) => Err(Status::internal(error.to_string())),
    }
}
