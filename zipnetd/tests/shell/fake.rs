//! A client that is no client: messages in memory, a log made up.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tonic::Status;
use tonic::transport::Channel;
use zipnet_dcnet::ids::PeerId;
use zipnet_proto::v1::control_client::ControlClient;
use zipnet_proto::v1::{
    CancelResponse, GetDescriptorResponse, ListResponse, LogProgress, Message, MessageState, Progress,
    Published, ReadItem, SendResponse, ServersResponse, StatusResponse, VerifyLogItem, WatchItem,
    read_item::Item, verify_log_item,
};
use zipnet_proto::{Client, Reason, Refused};
use zipnetd::config::Socket;
use zipnetd::control::backend::{
    Backend, Caller, Denied, ListPage, LogSink, NewMessage, VerifySink, WatchSink,
};
use zipnetd::control::{Control, Ending, Limits, Operator};
use zipnetd::telemetry;

/// The fake.
pub(crate) struct Fake {
    pub(crate) messages: Mutex<BTreeMap<String, (u32, Message)>>,
    pub(crate) changes: watch::Sender<u64>,
    /// Rounds of the log, one message each.
    pub(crate) rounds: u64,
    /// Bytes of each of its messages.
    pub(crate) bytes: usize,
    /// `send` waits for this when it is there.
    pub(crate) gate: Option<Notify>,
    /// Only cover.
    pub(crate) paused: Mutex<bool>,
    /// Calls that have come in.
    pub(crate) calls: watch::Sender<usize>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            messages: Mutex::default(),
            changes: watch::Sender::new(0),
            rounds: 3,
            bytes: 5,
            gate: None,
            paused: Mutex::new(false),
            calls: watch::Sender::new(0),
        }
    }
}

pub(crate) fn refuse(reason: Reason) -> Refused {
    Refused { reason, message: format!("the fake says {reason}"), retry_after: None }
}

impl Fake {
    /// Moves a message on.
    pub(crate) fn set(&self, id: &str, state: MessageState) {
        self.messages.lock().unwrap().get_mut(id).unwrap().1.state = state.into();
        self.changes.send_modify(|n| *n += 1);
    }
}

/// The fake as control sees it.
pub(crate) struct Shared(pub(crate) Arc<Fake>);

impl Backend for Shared {
    fn send(&self, caller: Caller, message: NewMessage) -> BoxFuture<'static, Result<SendResponse, Denied>> {
        let fake = self.0.clone();
        Box::pin(async move {
            fake.calls.send_modify(|n| *n += 1);
            if let Some(gate) = &fake.gate {
                gate.notified().await;
            }
            if message.payload == b"broken off" {
                return Err(Denied::Unknown("the fake broke off"));
            }
            if message.payload == b"unknown" {
                return Err(refuse(Reason::InstanceUnknown).into());
            }
            let mut messages = fake.messages.lock().unwrap();
            let id = format!("message-{}", messages.len() + 1);
            let kept = Message {
                id: id.clone(),
                state: MessageState::Queued.into(),
                request_id: message.request_id.unwrap_or_default(),
                length: message.payload.len() as u32,
                receipt: message.receipt,
                expires_at_ms: message.ttl.map_or(0, |ttl| ttl.as_millis() as u64),
                ..Message::default()
            };
            messages.insert(id.clone(), (caller.uid, kept));
            Ok(SendResponse { message_id: id, duplicate: false })
        })
    }

    fn get(&self, caller: Caller, id: String) -> BoxFuture<'static, Result<Message, Denied>> {
        let fake = self.0.clone();
        Box::pin(async move {
            fake.calls.send_modify(|n| *n += 1);
            match fake.messages.lock().unwrap().get(&id) {
                None => Err(refuse(Reason::NotFound).into()),
                Some((uid, _)) if *uid != caller.uid && !caller.sees_all => {
                    Err(refuse(Reason::NotYours).into())
                }
                Some((_, message)) => Ok(message.clone()),
            }
        })
    }

    fn list(&self, _: Caller, page: ListPage) -> BoxFuture<'static, Result<ListResponse, Denied>> {
        // Tells what it was asked.
        let next_page = format!("{:?} {} {:?}", page.states, page.limit, page.after);
        Box::pin(async move { Ok(ListResponse { messages: vec![], next_page }) })
    }

    fn cancel(&self, _: Caller, _: String) -> BoxFuture<'static, Result<CancelResponse, Denied>> {
        Box::pin(async move { Ok(CancelResponse::default()) })
    }

    fn receipt(&self, _: Caller, id: String) -> BoxFuture<'static, Result<Vec<u8>, Denied>> {
        Box::pin(async move { Ok(vec![0; id.parse().unwrap()]) })
    }

    fn watch(
        &self,
        _: Caller,
        _: Option<String>,
        cursor: String,
        sink: WatchSink,
    ) -> BoxFuture<'static, Result<(), Denied>> {
        let fake = self.0.clone();
        Box::pin(async move {
            let from = cursor.parse().unwrap_or(1);
            for round in from..=fake.rounds {
                let message = Message { reason: "x".repeat(fake.bytes), ..Message::default() };
                let item = WatchItem { message: Some(message), cursor: (round + 1).to_string() };
                if sink.send(item).await.is_err() {
                    return Ok(());
                }
            }
            sink.closed().await;
            Ok(())
        })
    }

    fn set_paused(&self, paused: bool) -> BoxFuture<'static, Result<bool, Denied>> {
        let was = std::mem::replace(&mut *self.0.paused.lock().unwrap(), paused);
        Box::pin(async move { Ok(was) })
    }

    fn grace(&self) -> Duration {
        Duration::from_secs(100)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    fn read(
        &self,
        from: Option<u64>,
        follow: bool,
        sink: LogSink,
    ) -> BoxFuture<'static, Result<(), Refused>> {
        let fake = self.0.clone();
        Box::pin(async move {
            let put = async |item| sink.send(ReadItem { item: Some(item) }).await;
            for round in from.unwrap_or(1)..=fake.rounds {
                let message = Published { round, slot: 0, payload: vec![b'x'; fake.bytes] };
                let mark = Progress { next_round: round + 1, oldest_round: 1 };
                if put(Item::Message(message)).await.is_err() || put(Item::Progress(mark)).await.is_err() {
                    return Ok(());
                }
            }
            if follow {
                sink.closed().await;
            }
            Ok(())
        })
    }

    fn descriptor(&self) -> BoxFuture<'static, Result<GetDescriptorResponse, Denied>> {
        Box::pin(
            async move { Ok(GetDescriptorResponse { descriptor: b"the fake's".to_vec(), pinned: true }) },
        )
    }

    fn servers(&self) -> BoxFuture<'static, Result<ServersResponse, Denied>> {
        Box::pin(async move { Ok(ServersResponse { round: Some(7), ..ServersResponse::default() }) })
    }

    fn verify_log(
        &self,
        from: u64,
        server: Option<PeerId>,
        sink: VerifySink,
    ) -> BoxFuture<'static, Result<(), Refused>> {
        // Tells what it was asked, and goes on until the caller has gone.
        let server = server.map(|peer| peer.to_string()).unwrap_or_default();
        Box::pin(async move {
            let said = LogProgress { server, next_round: from, ..LogProgress::default() };
            let item = VerifyLogItem { item: Some(verify_log_item::Item::Progress(said)) };
            let _ = sink.send(item).await;
            sink.closed().await;
            Ok(())
        })
    }

    fn status(&self, caller: Caller) -> BoxFuture<'static, Result<StatusResponse, Denied>> {
        let why = format!("uid {} sees all: {}", caller.uid, caller.sees_all);
        Box::pin(async move { Ok(StatusResponse { why, ..StatusResponse::default() }) })
    }
}

/// A socket with the fake behind it.
pub(crate) struct Served {
    pub(crate) fake: Arc<Fake>,
    pub(crate) control: Control,
    /// What the operator wants.
    pub(crate) wish: watch::Receiver<Ending>,
    pub(crate) dir: tempfile::TempDir,
}

/// The operator's hands; ending takes 2 s beyond covering.
pub(crate) fn operator() -> (Operator, watch::Receiver<Ending>) {
    Operator::new(telemetry::start("error", false), Duration::from_secs(2))
}

/// All verbs at a socket, as generated.
pub(crate) async fn verbs(socket: &Path) -> ControlClient<Channel> {
    ControlClient::connect(format!("unix://{}", socket.display())).await.unwrap()
}

/// The reason that a status carries.
pub(crate) fn reason(status: &Status) -> Reason {
    Reason::of(status).unwrap_or_else(|| panic!("no reason: {status:?}"))
}

/// The user that runs the tests.
pub(crate) fn my_uid() -> u32 {
    let dir = tempfile::tempdir().unwrap();
    std::fs::metadata(dir.path()).unwrap().uid()
}

/// Another user.
pub(crate) fn other_uid() -> u32 {
    my_uid() + 1
}

impl Served {
    /// A daemon of this user.
    pub(crate) async fn new(fake: Fake, limits: Limits) -> Self {
        Self::of(fake, limits, my_uid()).await
    }

    /// A daemon of that user, as far as it knows.
    pub(crate) async fn of(fake: Fake, limits: Limits, uid: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fake = Arc::new(fake);
        let socket = Socket { path: dir.path().join("c.sock"), own_folder: false };
        let (operator, wish) = operator();
        let backend = Arc::new(Shared(fake.clone()));
        let control = Control::serve(&socket, uid, backend, operator, limits).await.unwrap();
        Self { fake, control, wish, dir }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("c.sock")
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.path()).await.unwrap()
    }

    /// All verbs, as generated.
    pub(crate) async fn verbs(&self) -> ControlClient<Channel> {
        verbs(&self.path()).await
    }
}
