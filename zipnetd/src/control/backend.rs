//! What the control socket needs of the daemon: the verbs, without sockets and without gRPC.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use zipnet_dcnet::ids::PeerId;
use zipnet_proto::Refused;
use zipnet_proto::v1::{
    CancelResponse, GetDescriptorResponse, ListResponse, Message, MessageState, ReadItem, SendResponse,
    ServersResponse, StatusResponse, VerifyLogItem, WatchItem,
};

/// Who calls: the uid of the other end of the socket, as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub uid: u32,
    /// Sees everybody's messages: root and the daemon's own user.
    pub sees_all: bool,
}

/// A message handed over, its request checked for form.
pub struct NewMessage {
    /// What to publish.
    pub payload: Vec<u8>,
    /// The caller's name for the request.
    pub request_id: Option<String>,
    /// How long it may wait.
    pub ttl: Option<Duration>,
    /// Keep a receipt once it is published.
    pub receipt: bool,
}

/// Which messages are listed.
pub struct ListPage {
    /// Only these states; none: all.
    pub states: Vec<MessageState>,
    /// At most this many.
    pub limit: usize,
    /// After this one; from the oldest on without.
    pub after: Option<String>,
}

/// The end of a stream of the broadcast log that the backend fills. It waits while the reader is behind; when the
/// receiver is gone, so is the reader.
pub type LogSink = mpsc::Sender<ReadItem>;

/// The same for what becomes of messages.
pub type WatchSink = mpsc::Sender<WatchItem>;

/// The same for what a walk through the log finds.
pub type VerifySink = mpsc::Sender<VerifyLogItem>;

/// Why a call brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Refused: it had no effect.
    Refused(Refused),
    /// Broken off: nobody knows whether it had one. Callers send the same request id again.
    Unknown(&'static str),
}

impl From<Refused> for Denied {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// The daemon behind the socket. Every call is bounded in time by itself.
pub trait Backend: Send + Sync + 'static {
    /// Takes a message; resolves when it is durable. Runs to its end even if the caller has gone.
    fn send(&self, caller: Caller, message: NewMessage) -> BoxFuture<'static, Result<SendResponse, Denied>>;

    /// The message as it is now.
    fn get(&self, caller: Caller, id: String) -> BoxFuture<'static, Result<Message, Denied>>;

    /// Changes whenever a message may have changed.
    fn changes(&self) -> watch::Receiver<u64>;

    /// One page of the messages that the caller may see, in the order of their acceptance.
    fn list(&self, caller: Caller, page: ListPage) -> BoxFuture<'static, Result<ListResponse, Denied>>;

    /// Takes a message back; resolves when that is durable, or it is too late.
    fn cancel(&self, caller: Caller, id: String) -> BoxFuture<'static, Result<CancelResponse, Denied>>;

    /// The receipt of a message, encoded.
    fn receipt(&self, caller: Caller, id: String) -> BoxFuture<'static, Result<Vec<u8>, Denied>>;

    /// Writes what becomes of one message, or of all that the caller may see, into the sink, from a cursor on (empty: from
    /// now on); goes on until the watcher has gone.
    fn watch(
        &self,
        caller: Caller,
        only: Option<String>,
        cursor: String,
        sink: WatchSink,
    ) -> BoxFuture<'static, Result<(), Denied>>;

    /// Only cover, or no longer so; resolves to what it was before.
    fn set_paused(&self, paused: bool) -> BoxFuture<'static, Result<bool, Denied>>;

    /// How long covering on may take at the end.
    fn grace(&self) -> Duration;

    /// Writes the log from a round on into the sink; ends with the last final round, or with the reader.
    fn read(&self, from: Option<u64>, follow: bool, sink: LogSink)
    -> BoxFuture<'static, Result<(), Refused>>;

    /// The descriptor, encoded, and whether it was pinned.
    fn descriptor(&self) -> BoxFuture<'static, Result<GetDescriptorResponse, Denied>>;

    /// Who is in the current header, since when, and who can be reached.
    fn servers(&self) -> BoxFuture<'static, Result<ServersResponse, Denied>>;

    /// Walks the log of a server, or of one that can be reached, from a round on (0: the earliest kept), and writes what it
    /// finds into the sink.
    fn verify_log(
        &self,
        from: u64,
        server: Option<PeerId>,
        sink: VerifySink,
    ) -> BoxFuture<'static, Result<(), Refused>>;

    /// How it is doing, as this caller may see it.
    fn status(&self, caller: Caller) -> BoxFuture<'static, Result<StatusResponse, Denied>>;
}
