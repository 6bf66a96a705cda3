//! Calls about the daemon itself.

use std::time::Duration;

use super::{CALL_TIMEOUT, CallError, Client, bounded};
use crate::v1::{
    DrainRequest, GetDescriptorRequest, GetDescriptorResponse, ServersRequest, ServersResponse,
    SetLogLevelRequest, SetPausedRequest, StatusRequest, StatusResponse,
};

impl Client {
    /// How the daemon is doing.
    ///
    /// # Errors
    /// A lost or silent daemon.
    pub async fn status(&mut self) -> Result<StatusResponse, CallError> {
        bounded("Status", CALL_TIMEOUT, self.control.status(StatusRequest {})).await
    }

    /// The descriptor of the deployment, encoded, and whether it was pinned.
    ///
    /// # Errors
    /// `InstanceUnknown` as [`CallError::Refused`]; a lost or silent daemon.
    pub async fn descriptor(&mut self) -> Result<GetDescriptorResponse, CallError> {
        bounded("GetDescriptor", CALL_TIMEOUT, self.control.get_descriptor(GetDescriptorRequest {})).await
    }

    /// Every server of the deployment: whether the current header names it, since when, and whether it can be reached.
    ///
    /// # Errors
    /// `InstanceUnknown` as [`CallError::Refused`]; a lost or silent daemon.
    pub async fn servers(&mut self) -> Result<ServersResponse, CallError> {
        bounded("Servers", CALL_TIMEOUT, self.control.servers(ServersRequest {})).await
    }

    /// Tells the daemon to take no more messages and to end; with `now` at once, without covering on. Gives how long it
    /// may take at most. For root and the daemon's own user only.
    ///
    /// # Errors
    /// `NotYours` as [`CallError::Refused`]; a lost or silent daemon.
    pub async fn drain(&mut self, now: bool) -> Result<Duration, CallError> {
        let answer = bounded("Drain", CALL_TIMEOUT, self.control.drain(DrainRequest { now })).await?;
        Ok(Duration::from_millis(answer.grace_ms))
    }

    /// Lets only cover leave, or ends that. Gives what it was before. For root and the daemon's own user only.
    ///
    /// # Errors
    /// `NotYours` as [`CallError::Refused`]; a lost or silent daemon.
    pub async fn set_paused(&mut self, paused: bool) -> Result<bool, CallError> {
        let request = SetPausedRequest { paused };
        Ok(bounded("SetPaused", CALL_TIMEOUT, self.control.set_paused(request)).await?.was)
    }

    /// Sets what is logged, in the syntax of `RUST_LOG`; empty: what the daemon was started with. Gives what is in force
    /// now. For root and the daemon's own user only.
    ///
    /// # Errors
    /// `InvalidRequest` and `NotYours` as [`CallError::Refused`]; a lost or silent daemon.
    pub async fn set_log_level(&mut self, filter: &str) -> Result<String, CallError> {
        let request = SetLogLevelRequest { filter: filter.to_owned() };
        Ok(bounded("SetLogLevel", CALL_TIMEOUT, self.control.set_log_level(request)).await?.filter)
    }
}
