//! The typed client: every call bounded in time, every error one of a few kinds.

mod messages;
mod operator;
mod streams;

use std::{
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::timeout;
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use uuid::Uuid;

pub use messages::SendOptions;
pub use streams::{ReadStream, VerifyStream, WatchStream};

use crate::{
    connect::{ConnectError, chain, connect_any, is_transport},
    limits::{MAX_GRPC_REQUEST_BYTES, MAX_GRPC_RESPONSE_BYTES},
    reason::Refused,
    socket::Candidate,
    v1::control_client::ControlClient,
};

/// Longest time the daemon may take for an answer, its own waits not counted. Generous: `send` includes an fsync.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call on an open connection failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The daemon said no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The daemon accepted the call and did not answer.
    #[error("the daemon did not answer {call} within {} s", after.as_secs())]
    TimedOut {
        /// The call.
        call: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The connection ended before the answer.
    #[error("the connection to the daemon was lost during {call}: {detail}")]
    Lost {
        /// The call.
        call: &'static str,
        /// What the transport says.
        detail: String,
    },
    /// The daemon answered with an error that has no reason this client knows.
    #[error("the daemon failed at {call}: {message} ({code:?})")]
    Failed {
        /// The call.
        call: &'static str,
        /// The gRPC code.
        code: Code,
        /// The daemon's text.
        message: String,
    },
}

impl CallError {
    fn of(call: &'static str, status: &Status) -> Self {
        if is_transport(status) {
            return Self::Lost { call, detail: chain(status) };
        }
        match Refused::of(status) {
            Some(mut refused) => {
                // A daemon that does not know the call has no words for it.
                if refused.message.is_empty() {
                    refused.message = format!("the daemon refuses {call}: {}", refused.reason);
                }
                Self::Refused(refused)
            }
            None => Self::Failed { call, code: status.code(), message: status.message().to_owned() },
        }
    }
}

/// What the health service says of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It takes messages.
    Serving,
    /// It runs, but takes none (starting, draining).
    NotServing,
}

/// A new request id: a UUIDv7 as text.
pub fn new_request_id() -> String {
    Uuid::now_v7().to_string()
}

/// A connection to the daemon. Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub struct Client {
    control: ControlClient<Channel>,
    health: HealthClient<Channel>,
    path: PathBuf,
}

impl Client {
    /// Connects to the daemon at `path` and waits for its first answer, at most 15 s.
    ///
    /// # Errors
    /// [`ConnectError`] says which of the many ways it went wrong.
    pub async fn connect(path: &Path) -> Result<Self, ConnectError> {
        Self::connect_any(&[Candidate { path: path.to_owned(), owner: None }]).await
    }

    /// Connects to the first of `candidates` (see [`default_socket_candidates`](crate::default_socket_candidates))
    /// that has a daemon.
    ///
    /// # Errors
    /// As [`Client::connect`]. Only a missing file or listener leads on to the next candidate.
    pub async fn connect_any(candidates: &[Candidate]) -> Result<Self, ConnectError> {
        let (channel, path) = connect_any(candidates).await?;
        let control = ControlClient::new(channel.clone())
            .max_encoding_message_size(MAX_GRPC_REQUEST_BYTES)
            .max_decoding_message_size(MAX_GRPC_RESPONSE_BYTES);
        Ok(Self { control, health: HealthClient::new(channel), path })
    }

    /// The socket that answered.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The standard health service's word on the whole daemon.
    ///
    /// # Errors
    /// A lost or silent daemon.
    pub async fn health(&mut self) -> Result<Health, CallError> {
        let request = HealthCheckRequest::default();
        let answer = bounded("Health", CALL_TIMEOUT, self.health.check(request)).await?;
        Ok(if answer.status() == ServingStatus::Serving { Health::Serving } else { Health::NotServing })
    }
}

async fn bounded<T>(
    call: &'static str,
    after: Duration,
    answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, CallError> {
    match timeout(after, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(CallError::of(call, &status)),
        Err(_) => Err(CallError::TimedOut { call, after }),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    #[tokio::test]
    async fn no_answer_is_an_error_in_time() {
        let after = Duration::from_millis(20);
        let silent = std::future::pending::<Result<tonic::Response<()>, Status>>();
        let error = bounded("Send", after, silent).await.unwrap_err();
        assert!(matches!(error, CallError::TimedOut { call: "Send", after: a } if a == after));
    }

    #[test]
    fn what_the_daemon_says_and_what_the_transport_says_differ() {
        let refused = CallError::of("Send", &Reason::Paused.into_status("paused"));
        assert!(matches!(refused, CallError::Refused(Refused { reason: Reason::Paused, .. })));
        let unknown = CallError::of("Watch", &Status::unimplemented(""));
        assert_eq!(unknown.to_string(), "the daemon refuses Watch: VersionMismatch");
        let failed = CallError::of("Send", &Status::unavailable("said by the daemon"));
        assert!(matches!(failed, CallError::Failed { code: Code::Unavailable, .. }));
        let lost = Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::BrokenPipe)));
        assert!(matches!(CallError::of("Send", &lost), CallError::Lost { .. }));
    }

    #[test]
    fn request_ids_are_new_and_valid() {
        let (a, b) = (new_request_id(), new_request_id());
        assert_ne!(a, b);
        assert!(crate::request_id_is_valid(&a));
    }
}
