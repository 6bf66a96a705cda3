//! A daemon that says what the test told it to say.

use std::{
    collections::VecDeque,
    fs,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use tempfile::TempDir;
use tokio_stream::{Stream, StreamExt, wrappers::UnixListenerStream};
use tonic::{Request, Response, Status, transport::Server};
use zipnet_proto::v1::{
    CancelRequest, CancelResponse, DrainRequest, DrainResponse, GetDescriptorRequest, GetDescriptorResponse,
    GetReceiptRequest, GetReceiptResponse, GetRequest, ListRequest, ListResponse, Message, MessageState,
    Progress, Published, ReadItem, ReadRequest, SendRequest, SendResponse, ServersRequest, ServersResponse,
    SetLogLevelRequest, SetLogLevelResponse, SetPausedRequest, SetPausedResponse, StatusRequest,
    StatusResponse, VerifyLogItem, VerifyLogRequest, WatchItem, WatchRequest,
    control_server::{Control, ControlServer},
    read_item::Item,
};

pub(crate) const ID: &str = "01990000-0000-7000-8000-000000000001";

/// What the daemon answers, and what it was asked.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) send: Option<Status>,
    pub(crate) duplicate: bool,
    /// One per call; the last one stays.
    pub(crate) get: VecDeque<Result<Message, Status>>,
    /// One stream per call.
    pub(crate) read: VecDeque<Vec<Result<ReadItem, Status>>>,
    /// One page per call.
    pub(crate) list: VecDeque<Result<ListResponse, Status>>,
    /// One stream per call; it stays open after the last item.
    pub(crate) watch: VecDeque<Vec<Result<WatchItem, Status>>>,
    pub(crate) cancel: Option<Result<CancelResponse, Status>>,
    pub(crate) receipt: Option<Result<Vec<u8>, Status>>,
    pub(crate) descriptor: Option<Result<GetDescriptorResponse, Status>>,
    pub(crate) servers: Option<Result<ServersResponse, Status>>,
    /// The stream of `VerifyLog`.
    pub(crate) walk: Vec<Result<VerifyLogItem, Status>>,
    /// What the operator's verbs are refused with.
    pub(crate) forbidden: Option<Status>,
    pub(crate) paused: bool,
    pub(crate) status: StatusResponse,
    pub(crate) not_serving: bool,
    /// The call in which the daemon dies, without an answer.
    pub(crate) dies_at: Option<&'static str>,
    pub(crate) sent: Vec<SendRequest>,
    pub(crate) got: Vec<GetRequest>,
    pub(crate) reads: Vec<ReadRequest>,
    pub(crate) lists: Vec<ListRequest>,
    pub(crate) watches: Vec<WatchRequest>,
    pub(crate) walks: Vec<VerifyLogRequest>,
    /// `Drain`, `SetPaused`, `SetLogLevel` and `Cancel` in short.
    pub(crate) orders: Vec<String>,
}

pub(crate) struct Daemon {
    pub(crate) dir: TempDir,
    running: Running,
}

/// A daemon at a path that somebody else owns: for restarts.
pub(crate) struct Running {
    pub(crate) socket: PathBuf,
    script: Arc<Mutex<Script>>,
    stop: mpsc::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

struct Service {
    script: Arc<Mutex<Script>>,
    stop: mpsc::Sender<()>,
}

impl Daemon {
    pub(crate) fn start(script: Script) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let running = Running::start(&dir.path().join("z.sock"), script);
        Self { dir, running }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.running.socket
    }

    /// Looks at what was asked.
    pub(crate) fn script<T>(&self, look: impl FnOnce(&mut Script) -> T) -> T {
        look(&mut self.running.script.lock().unwrap())
    }

    /// Ends without a word, as the script's `dies_at` does.
    pub(crate) fn kill(&self) {
        self.running.stop.send(()).unwrap();
    }

    /// After [`Daemon::kill`] or `dies_at`: a new daemon at the same place.
    pub(crate) fn restart(&mut self, script: Script) {
        self.running.thread.take().unwrap().join().unwrap();
        let socket = self.running.socket.clone();
        self.running = Running::start(&socket, script);
    }
}

impl Running {
    pub(crate) fn start(socket: &Path, script: Script) -> Self {
        let _ = fs::remove_file(socket);
        let listener = UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let script = Arc::new(Mutex::new(script));
        let (stop, stopped) = mpsc::channel();
        let service = Service { script: script.clone(), stop: stop.clone() };
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.spawn(async move {
                let (health, health_service) = tonic_health::server::health_reporter();
                if service.script.lock().unwrap().not_serving {
                    health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
                }
                let incoming = UnixListenerStream::new(tokio::net::UnixListener::from_std(listener).unwrap());
                let server =
                    Server::builder().add_service(health_service).add_service(ControlServer::new(service));
                server.serve_with_incoming(incoming).await.unwrap();
            });
            stopped.recv().unwrap();
            // Closes listener and connections without another word, as a kill does.
            runtime.shutdown_timeout(Duration::from_secs(5));
        });
        Self { socket: socket.to_owned(), script, stop, thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Service {
    async fn enter<T>(&self, call: &str, act: impl FnOnce(&mut Script) -> T) -> T {
        let (dies, result) = {
            let mut script = self.script.lock().unwrap();
            (script.dies_at == Some(call), act(&mut script))
        };
        if dies {
            self.stop.send(()).unwrap();
            std::future::pending::<()>().await;
        }
        result
    }
}

impl Service {
    async fn order(&self, call: &str, order: String) -> Result<(), Status> {
        self.enter(call, |script| {
            script.orders.push(order);
            script.forbidden.clone().map_or(Ok(()), Err)
        })
        .await
    }
}

#[tonic::async_trait]
impl Control for Service {
    async fn send(&self, request: Request<SendRequest>) -> Result<Response<SendResponse>, Status> {
        self.enter("Send", |script| {
            script.sent.push(request.into_inner());
            match script.send.clone() {
                Some(status) => Err(status),
                None => {
                    Ok(Response::new(SendResponse { message_id: ID.into(), duplicate: script.duplicate }))
                }
            }
        })
        .await
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Message>, Status> {
        let request = request.into_inner();
        let (wait, known) = (Duration::from_millis(request.wait_ms), request.known_state());
        let next = self
            .enter("Get", |script| {
                script.got.push(request);
                if script.get.len() > 1 { script.get.pop_front().unwrap() } else { script.get[0].clone() }
            })
            .await;
        if next.as_ref().is_ok_and(|message| message.state() == known) {
            tokio::time::sleep(wait).await;
        }
        next.map(Response::new)
    }

    type ReadStream = std::pin::Pin<Box<dyn Stream<Item = Result<ReadItem, Status>> + Send>>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let request = request.into_inner();
        let follow = request.follow;
        let items = self
            .enter("Read", |script| {
                script.reads.push(request);
                script.read.pop_front().unwrap()
            })
            .await;
        let items = tokio_stream::iter(items);
        Ok(Response::new(if follow {
            Box::pin(items.chain(tokio_stream::pending()))
        } else {
            Box::pin(items)
        }))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        self.enter("List", |script| {
            script.lists.push(request.into_inner());
            script.list.pop_front().unwrap().map(Response::new)
        })
        .await
    }

    type WatchStream = std::pin::Pin<Box<dyn Stream<Item = Result<WatchItem, Status>> + Send>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let items = self
            .enter("Watch", |script| {
                script.watches.push(request.into_inner());
                script.watch.pop_front().unwrap()
            })
            .await;
        // A stream that is refused at once is refused as a call.
        if let [Err(status)] = &items[..] {
            return Err(status.clone());
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(items).chain(tokio_stream::pending()))))
    }

    async fn cancel(&self, request: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        self.enter("Cancel", |script| {
            script.orders.push(format!("cancel {}", request.into_inner().message_id));
            script.cancel.clone().unwrap().map(Response::new)
        })
        .await
    }

    async fn get_receipt(
        &self,
        _: Request<GetReceiptRequest>,
    ) -> Result<Response<GetReceiptResponse>, Status> {
        let receipt = self.enter("GetReceipt", |script| script.receipt.clone().unwrap()).await?;
        Ok(Response::new(GetReceiptResponse { receipt }))
    }

    async fn get_descriptor(
        &self,
        _: Request<GetDescriptorRequest>,
    ) -> Result<Response<GetDescriptorResponse>, Status> {
        self.enter("GetDescriptor", |script| script.descriptor.clone().unwrap().map(Response::new)).await
    }

    async fn servers(&self, _: Request<ServersRequest>) -> Result<Response<ServersResponse>, Status> {
        self.enter("Servers", |script| script.servers.clone().unwrap().map(Response::new)).await
    }

    type VerifyLogStream = std::pin::Pin<Box<dyn Stream<Item = Result<VerifyLogItem, Status>> + Send>>;

    async fn verify_log(
        &self,
        request: Request<VerifyLogRequest>,
    ) -> Result<Response<Self::VerifyLogStream>, Status> {
        let items = self
            .enter("VerifyLog", |script| {
                script.walks.push(request.into_inner());
                script.walk.clone()
            })
            .await;
        Ok(Response::new(Box::pin(tokio_stream::iter(items))))
    }

    async fn drain(&self, request: Request<DrainRequest>) -> Result<Response<DrainResponse>, Status> {
        let now = request.into_inner().now;
        self.order("Drain", format!("drain {now}")).await?;
        Ok(Response::new(DrainResponse { grace_ms: if now { 999 } else { 90_001 } }))
    }

    async fn set_paused(
        &self,
        request: Request<SetPausedRequest>,
    ) -> Result<Response<SetPausedResponse>, Status> {
        let paused = request.into_inner().paused;
        self.order("SetPaused", format!("paused {paused}")).await?;
        let was = self.enter("SetPaused", |script| std::mem::replace(&mut script.paused, paused)).await;
        Ok(Response::new(SetPausedResponse { was }))
    }

    async fn set_log_level(
        &self,
        request: Request<SetLogLevelRequest>,
    ) -> Result<Response<SetLogLevelResponse>, Status> {
        let filter = request.into_inner().filter;
        self.order("SetLogLevel", format!("log {filter}")).await?;
        let filter = if filter.is_empty() { "info".to_owned() } else { filter };
        Ok(Response::new(SetLogLevelResponse { filter }))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(self.enter("Status", |script| script.status.clone()).await))
    }
}

/// A message in a state, with everything else at plausible values.
pub(crate) fn message(state: MessageState) -> Message {
    Message {
        id: ID.into(),
        request_id: "r-1".into(),
        state: state.into(),
        accepted_at_ms: 1_770_000_000_000,
        expires_at_ms: 1_770_000_600_000,
        length: 5,
        ..Message::default()
    }
}

pub(crate) fn at(state: MessageState, round: u64, slot: u32) -> Message {
    Message { round: Some(round), slot: Some(slot), attempts: 1, ..message(state) }
}

/// An item of a scripted stream.
#[allow(clippy::unnecessary_wraps, reason = "a script mixes items and errors")]
pub(crate) fn published(round: u64, slot: u32, payload: &[u8]) -> Result<ReadItem, Status> {
    Ok(ReadItem { item: Some(Item::Message(Published { round, slot, payload: payload.to_vec() })) })
}

/// An item of a scripted watch.
#[allow(clippy::unnecessary_wraps, reason = "a script mixes items and errors")]
pub(crate) fn change(message: Option<Message>, cursor: &str) -> Result<WatchItem, Status> {
    Ok(WatchItem { message, cursor: cursor.into() })
}

/// A progress mark of a scripted stream.
#[allow(clippy::unnecessary_wraps, reason = "a script mixes items and errors")]
pub(crate) fn progress(next_round: u64, oldest_round: u64) -> Result<ReadItem, Status> {
    Ok(ReadItem { item: Some(Item::Progress(Progress { next_round, oldest_round })) })
}
