//! What callers have of a client: the verbs of the control API.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch::Receiver;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use zipnet_dcnet::ids::PeerId;
use zipnet_proto::v1::{
    CancelResponse, GetDescriptorResponse, ListResponse, Message, SendResponse, ServersResponse,
    StatusResponse,
};
use zipnet_proto::{Reason, Refused};

use super::changes::{Changed, Start};
use super::log::Log;
use super::peers::{OneServer, Peers};
use super::runner::Runner;
use super::{changes, read, verify};
use crate::control::backend::{
    Backend, Caller, Denied, ListPage, LogSink, NewMessage, VerifySink, WatchSink,
};

/// How long the core may take for an answer: a full disk queue in front of a slow disk.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(9);
/// When a caller whose daemon does not know its instance yet may try again.
const UNKNOWN_RETRY: Duration = Duration::from_secs(5);
/// Grace of a client that has no deployment yet.
const SHORT_GRACE: Duration = Duration::from_secs(10);

/// What the runner is asked.
pub(crate) enum Request {
    /// Take a message.
    Accept { caller: Caller, message: NewMessage, reply: oneshot::Sender<Result<SendResponse, Refused>> },
    /// Look at one.
    Get { caller: Caller, id: String, reply: oneshot::Sender<Result<Message, Refused>> },
    /// Look at several.
    List { caller: Caller, page: ListPage, reply: oneshot::Sender<Result<ListResponse, Refused>> },
    /// Look at what changed.
    Changed {
        caller: Caller,
        only: Option<String>,
        since: u64,
        reply: oneshot::Sender<Result<Changed, Refused>>,
    },
    /// Take one back.
    Cancel { caller: Caller, id: String, reply: oneshot::Sender<Result<CancelResponse, Refused>> },
    /// Give a receipt.
    Receipt { caller: Caller, id: String, reply: oneshot::Sender<Result<Vec<u8>, Refused>> },
    /// Only cover, or no longer so; answered with what it was before.
    SetPaused { paused: bool, reply: oneshot::Sender<bool> },
    /// Reserve in every Nth round from now on.
    SetCadence { cadence: NonZeroU32, reply: oneshot::Sender<()> },
    /// Give the descriptor.
    Descriptor { reply: oneshot::Sender<Result<GetDescriptorResponse, Refused>> },
    /// Who is in the current header, and who can be reached.
    Servers { reply: oneshot::Sender<Result<ServersResponse, Refused>> },
    /// Look at everything.
    Status { caller: Caller, reply: oneshot::Sender<StatusResponse> },
}

/// What is there once the deployment is known.
#[derive(Clone)]
pub(crate) struct View {
    pub log: Option<Arc<Log>>,
    pub peers: Arc<Peers>,
    pub grace: Duration,
}

/// A client's handle. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    /// The number of the last change of a message.
    changes: Receiver<u64>,
    /// Steps of the core so far.
    steps: Receiver<u64>,
    /// Turns of the loop so far.
    turns: Arc<AtomicU64>,
    view: Receiver<Option<View>>,
    /// Drawn at the start, for cursors.
    start: Start,
}

fn refuse(reason: Reason, message: &str, retry_after: Option<Duration>) -> Refused {
    Refused { reason, message: message.to_owned(), retry_after }
}

/// The same answer for everything that needs a deployment.
pub(crate) fn instance_unknown() -> Refused {
    let text = "no descriptor of the instance is known yet";
    refuse(Reason::InstanceUnknown, text, Some(UNKNOWN_RETRY))
}

impl Handle {
    pub(super) fn new(requests: mpsc::Sender<Request>, runner: &Runner) -> Self {
        let (changes, steps, view) =
            (runner.changes.subscribe(), runner.steps.subscribe(), runner.view.subscribe());
        let turns = runner.turns.clone();
        Self { requests, changes, steps, turns, view, start: Start::new() }
    }

    pub(super) fn start(&self) -> &Start {
        &self.start
    }

    /// Changes whenever the status may have changed.
    pub fn steps(&self) -> Receiver<u64> {
        self.steps.clone()
    }

    /// Turns of the loop that owns the core, so far; it stands still for a second only if that loop does.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Resolves when the deployment is known: from then on messages are taken. Never, if the client ends before.
    pub async fn known(&self) {
        if self.view.clone().wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reserves in every Nth round from now on. Waits for the client, some seconds at most.
    ///
    /// # Errors
    /// When the client has ended, or does not answer.
    pub(crate) async fn set_cadence(&self, cadence: NonZeroU32) -> Result<(), Denied> {
        self.ask(|reply| Request::SetCadence { cadence, reply }).await
    }

    pub(super) fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> BoxFuture<'static, Result<T, Denied>> {
        let (reply, answer) = oneshot::channel();
        let request = request(reply);
        let requests = self.requests.clone();
        Box::pin(async move {
            let asked = async {
                let gone = || refuse(Reason::Draining, "the daemon is shutting down", None);
                requests.send(request).await.map_err(|_| gone())?;
                // From here on it may have its effect, whatever becomes of the answer.
                answer.await.map_err(|_| Denied::Unknown("the daemon ended before it could answer"))
            };
            let late = Denied::Unknown("the daemon did not come to answer in time");
            timeout(ANSWER_TIMEOUT, asked).await.unwrap_or(Err(late))
        })
    }
}

impl Backend for Handle {
    fn send(&self, caller: Caller, message: NewMessage) -> BoxFuture<'static, Result<SendResponse, Denied>> {
        let asked = self.ask(|reply| Request::Accept { caller, message, reply });
        Box::pin(async move { Ok(asked.await??) })
    }

    fn get(&self, caller: Caller, id: String) -> BoxFuture<'static, Result<Message, Denied>> {
        let asked = self.ask(|reply| Request::Get { caller, id, reply });
        Box::pin(async move { Ok(asked.await??) })
    }

    fn list(&self, caller: Caller, page: ListPage) -> BoxFuture<'static, Result<ListResponse, Denied>> {
        let asked = self.ask(|reply| Request::List { caller, page, reply });
        Box::pin(async move { Ok(asked.await??) })
    }

    fn cancel(&self, caller: Caller, id: String) -> BoxFuture<'static, Result<CancelResponse, Denied>> {
        let asked = self.ask(|reply| Request::Cancel { caller, id, reply });
        Box::pin(async move { Ok(asked.await??) })
    }

    fn receipt(&self, caller: Caller, id: String) -> BoxFuture<'static, Result<Vec<u8>, Denied>> {
        let asked = self.ask(|reply| Request::Receipt { caller, id, reply });
        Box::pin(async move { Ok(asked.await??) })
    }

    fn watch(
        &self,
        caller: Caller,
        only: Option<String>,
        cursor: String,
        sink: WatchSink,
    ) -> BoxFuture<'static, Result<(), Denied>> {
        Box::pin(changes::watch(self.clone(), caller, only, cursor, sink))
    }

    fn set_paused(&self, paused: bool) -> BoxFuture<'static, Result<bool, Denied>> {
        self.ask(|reply| Request::SetPaused { paused, reply })
    }

    fn grace(&self) -> Duration {
        self.view.borrow().as_ref().map_or(SHORT_GRACE, |view| view.grace)
    }

    fn changes(&self) -> Receiver<u64> {
        self.changes.clone()
    }

    fn read(
        &self,
        from: Option<u64>,
        follow: bool,
        sink: LogSink,
    ) -> BoxFuture<'static, Result<(), Refused>> {
        let view = self.view.borrow().clone();
        Box::pin(async move {
            let view = view.ok_or_else(instance_unknown)?;
            let log = view.log.ok_or_else(instance_unknown)?;
            read::read(log, view.peers, from, follow, sink).await
        })
    }

    fn descriptor(&self) -> BoxFuture<'static, Result<GetDescriptorResponse, Denied>> {
        let asked = self.ask(|reply| Request::Descriptor { reply });
        Box::pin(async move { Ok(asked.await??) })
    }

    fn servers(&self) -> BoxFuture<'static, Result<ServersResponse, Denied>> {
        let asked = self.ask(|reply| Request::Servers { reply });
        Box::pin(async move { Ok(asked.await??) })
    }

    fn verify_log(
        &self,
        from: u64,
        server: Option<PeerId>,
        sink: VerifySink,
    ) -> BoxFuture<'static, Result<(), Refused>> {
        let view = self.view.borrow().clone();
        Box::pin(async move {
            let view = view.ok_or_else(instance_unknown)?;
            let log = view.log.ok_or_else(instance_unknown)?;
            let servers = &log.descriptor().servers;
            if let Some(server) = server.filter(|server| servers.binary_search(server).is_err()) {
                let text = format!("{server} is no server of this deployment");
                return Err(refuse(Reason::InvalidRequest, &text, None));
            }
            let link = match &server {
                Some(server) => view.peers.link(server),
                None => view.peers.pick_server(&[]),
            };
            let link = link.ok_or_else(|| {
                refuse(Reason::ConnectTimeout, "nobody has told yet where the server is", None)
            })?;
            let server = link.peer_id();
            verify::verify(log, server, &OneServer(link), from, sink).await
        })
    }

    fn status(&self, caller: Caller) -> BoxFuture<'static, Result<StatusResponse, Denied>> {
        self.ask(|reply| Request::Status { caller, reply })
    }
}
