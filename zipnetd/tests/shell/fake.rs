//! A client that is no client: messages in memory, a log made up.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};
use zipnet_proto::v1::{
    Message, MessageState, Progress, Published, ReadItem, SendResponse, StatusResponse, read_item::Item,
};
use zipnet_proto::{Client, Reason, Refused};
use zipnetd::config::Socket;
use zipnetd::control::backend::{Backend, Caller, Denied, LogSink, NewMessage};
use zipnetd::control::{Control, Limits};

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

    fn status(&self, caller: Caller) -> BoxFuture<'static, Result<StatusResponse, Denied>> {
        let why = format!("uid {} sees all: {}", caller.uid, caller.sees_all);
        Box::pin(async move { Ok(StatusResponse { why, ..StatusResponse::default() }) })
    }
}

/// A socket with the fake behind it.
pub(crate) struct Served {
    pub(crate) fake: Arc<Fake>,
    pub(crate) control: Control,
    pub(crate) dir: tempfile::TempDir,
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
        let control = Control::serve(&socket, uid, Arc::new(Shared(fake.clone())), limits).await.unwrap();
        Self { fake, control, dir }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("c.sock")
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.path()).await.unwrap()
    }
}
