//! The typed client: every call bounded in time, every error one of a few kinds.

use std::{
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::timeout;
use tonic::{Code, Status, Streaming, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use uuid::Uuid;

use crate::{
    connect::{ConnectError, chain, connect_any, is_transport},
    limits::{MAX_GET_WAIT, MAX_GRPC_REQUEST_BYTES, MAX_GRPC_RESPONSE_BYTES, MAX_PAYLOAD_BYTES},
    reason::{Reason, Refused},
    socket::Candidate,
    v1::{
        GetRequest, Message, MessageState, ReadRequest, SendRequest, SendResponse, StatusRequest,
        StatusResponse, control_client::ControlClient, read_item::Item,
    },
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
            Some(refused) => Self::Refused(refused),
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
    /// Connects to the daemon at `path` and waits for its first answer, at most 3 s.
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

    /// Hands a message over; the answer means it is kept. Without `request_id` one is made. After an error other than
    /// [`CallError::Refused`] nobody knows whether it was taken: calling again with the same id and payload is safe.
    ///
    /// # Errors
    /// `MessageTooLong`, `QueueFull`, `RequestIdReused`, … as [`CallError::Refused`]; a lost or silent daemon.
    pub async fn send(
        &mut self,
        payload: Vec<u8>,
        request_id: Option<String>,
        ttl: Option<Duration>,
    ) -> Result<SendResponse, CallError> {
        if payload.len() > MAX_PAYLOAD_BYTES {
            let message =
                format!("the message has more than {MAX_PAYLOAD_BYTES} bytes, no deployment takes that");
            return Err(Refused { reason: Reason::MessageTooLong, message, retry_after: None }.into());
        }
        let request_id = Some(request_id.unwrap_or_else(new_request_id));
        let request = SendRequest { payload, request_id, ttl_ms: ttl.map(millis), receipt: false };
        bounded("Send", CALL_TIMEOUT, self.control.send(request)).await
    }

    /// What became of the message.
    ///
    /// # Errors
    /// `NotFound` and `NotYours` as [`CallError::Refused`]; a lost or silent daemon.
    pub async fn get(&mut self, message_id: &str) -> Result<Message, CallError> {
        self.get_changed(message_id, MessageState::Unspecified, Duration::ZERO).await
    }

    /// The message as soon as its state differs from `known`, or after `wait` (at most [`MAX_GET_WAIT`]) as it is.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_changed(
        &mut self,
        message_id: &str,
        known: MessageState,
        wait: Duration,
    ) -> Result<Message, CallError> {
        let wait = wait.min(MAX_GET_WAIT);
        let request = GetRequest {
            message_id: message_id.to_owned(),
            wait_ms: millis(wait),
            known_state: known.into(),
        };
        bounded("Get", CALL_TIMEOUT + wait, self.control.get(request)).await
    }

    /// The broadcast log from `from_round` on (0: the earliest kept; absent: the last 100 rounds); with `follow` also
    /// what comes.
    ///
    /// # Errors
    /// `TooManyCallers`, `InstanceUnknown` as [`CallError::Refused`]; a lost or silent daemon.
    pub async fn read(&mut self, from_round: Option<u64>, follow: bool) -> Result<ReadStream, CallError> {
        let stream =
            bounded("Read", CALL_TIMEOUT, self.control.read(ReadRequest { from_round, follow })).await?;
        Ok(ReadStream { stream, follow })
    }

    /// How the daemon is doing.
    ///
    /// # Errors
    /// A lost or silent daemon.
    pub async fn status(&mut self) -> Result<StatusResponse, CallError> {
        bounded("Status", CALL_TIMEOUT, self.control.status(StatusRequest {})).await
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

/// The broadcast log as it arrives.
#[derive(Debug)]
pub struct ReadStream {
    stream: Streaming<crate::v1::ReadItem>,
    follow: bool,
}

impl ReadStream {
    /// The next message or progress mark; `None` at the end, which only a stream that does not follow has.
    ///
    /// # Errors
    /// `Lagged`, `Draining` as [`CallError::Refused`]; a lost or silent daemon. Reading may go on with a new stream
    /// from the last progress mark.
    pub async fn next(&mut self) -> Result<Option<Item>, CallError> {
        loop {
            let next = self.stream.message();
            let item = if self.follow {
                // However long nobody talks; keep-alive pings notice a daemon that is no more.
                next.await
            } else {
                timeout(CALL_TIMEOUT, next)
                    .await
                    .map_err(|_| CallError::TimedOut { call: "Read", after: CALL_TIMEOUT })?
            };
            match item.map_err(|status| CallError::of("Read", &status))? {
                None => return Ok(None),
                Some(crate::v1::ReadItem { item: Some(item) }) => return Ok(Some(item)),
                // A kind of item of a later version.
                Some(crate::v1::ReadItem { item: None }) => {}
            }
        }
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
