//! The control API of `zipnetd`: generated types of `zipnet.v1` (client and server side), the one list of error
//! reasons, where the socket is, a typed client, and what makes strangers' words fit for a terminal.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut client = zipnet_proto::Client::connect("/run/zipnet/zipnetd.sock".as_ref()).await?;
//! let sent = client.send(b"hello".to_vec(), None, None).await?;
//! println!("{}", sent.message_id);
//! # Ok(())
//! # }
//! ```

mod client;
mod connect;
mod limits;
mod reason;
mod socket;
pub mod terminal;

/// Package `zipnet.v1`, generated from `proto/zipnet/v1/control.proto`, where everything is documented.
#[allow(clippy::pedantic, missing_docs, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("zipnet.v1");
}

/// What the control API is, as gRPC reflection serves it: an encoded `FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/control.bin"));

pub use client::{
    CallError, Client, Health, ReadStream, SendOptions, VerifyStream, WatchStream, new_request_id,
};
pub use connect::ConnectError;
pub use limits::{
    MAX_GET_WAIT, MAX_GRPC_REQUEST_BYTES, MAX_GRPC_RESPONSE_BYTES, MAX_LIST_PAGE, MAX_PAYLOAD_BYTES,
    MAX_REQUEST_ID_BYTES, request_id_is_valid,
};
pub use reason::{REASON_KEY, RETRY_AFTER_KEY, Reason, Refused, UnknownReason};
pub use socket::{
    Candidate, SYSTEM_SOCKET, SocketDirError, check_socket_dir, create_socket_dir, default_socket_candidates,
    dev_socket_path, own_socket_path,
};

impl v1::MessageState {
    /// The lower-case word used in output and documentation: `queued`, `reserved`, … (`unspecified` for the zero value).
    pub fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Queued => "queued",
            Self::Reserved => "reserved",
            Self::Sealed => "sealed",
            Self::Published => "published",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }

    /// Nothing further happens to a message in this state.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Published | Self::Cancelled | Self::Expired | Self::Failed)
    }
}
