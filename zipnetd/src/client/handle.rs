//! What callers have of a client: the verbs of the control API.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use zipnet_proto::v1::{Message, SendResponse, StatusResponse};
use zipnet_proto::{Reason, Refused};

use super::log::Log;
use super::peers::Peers;
use super::read;
use crate::control::backend::{Backend, Caller, Denied, LogSink, NewMessage};

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
    changes: watch::Receiver<u64>,
    view: watch::Receiver<Option<View>>,
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
    pub(crate) fn new(
        requests: mpsc::Sender<Request>,
        changes: watch::Receiver<u64>,
        view: watch::Receiver<Option<View>>,
    ) -> Self {
        Self { requests, changes, view }
    }

    /// Resolves when the deployment is known: from then on messages are taken. Never, if the client ends before.
    pub async fn known(&self) {
        if self.view.clone().wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn grace(&self) -> Duration {
        self.view.borrow().as_ref().map_or(SHORT_GRACE, |view| view.grace)
    }

    fn ask<T: Send + 'static>(
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

    fn changes(&self) -> watch::Receiver<u64> {
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

    fn status(&self, caller: Caller) -> BoxFuture<'static, Result<StatusResponse, Denied>> {
        self.ask(|reply| Request::Status { caller, reply })
    }
}
