//! What callers ask of the core.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::info;
use zipnet_proto::v1::{GetDescriptorResponse, ListResponse};
use zipnet_proto::{Reason, Refused};
use zipnet_store::Store;

use super::changes::Changed;
use super::execute::{Waiting, refused};
use super::handle::{Request, instance_unknown};
use super::runner::{Live, Runner};
use super::servers::servers;
use super::status::{self, Own};
use crate::control::backend::{Caller, ListPage};
use crate::core::config::MAX_PAGE;
use crate::core::input::{Command, Input};
use crate::core::message::{MessageId, MessageIdError};
use crate::core::output::RECEIPTS;

/// When a receipt is there that is being written.
const RECEIPT_RETRY: Duration = Duration::from_secs(1);

impl Runner {
    /// Does or starts what is asked; `true` when the core is done.
    pub(super) fn request(&mut self, request: Request) -> bool {
        match request {
            Request::Accept { caller, message, reply } => {
                let command = Command::Accept {
                    uid: caller.uid,
                    payload: message.payload,
                    request_id: message.request_id,
                    ttl_ms: message.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
                    receipt: message.receipt,
                };
                return self.command(command, reply, Waiting::Accept);
            }
            Request::Cancel { caller, id, reply } => match parse(&id) {
                Ok(id) => {
                    let command = Command::Cancel { uid: caller.uid, id };
                    return self.command(command, reply, Waiting::Cancel);
                }
                Err(refused) => drop(reply.send(Err(refused))),
            },
            Request::Get { caller, id, reply } => {
                let answer = self.live().and_then(|live| {
                    let view = live.core.message(caller.uid, &parse(&id)?);
                    view.map(status::message).map_err(|no| refused(&no))
                });
                let _ = reply.send(answer);
            }
            Request::List { caller, page, reply } => {
                let _ = reply.send(self.live().and_then(|live| list(live, caller, &page)));
            }
            Request::Changed { caller, only, since, reply } => {
                let answer = self.live().and_then(|live| changed(live, caller, only.as_deref(), since));
                let _ = reply.send(answer);
            }
            Request::Receipt { caller, id, reply } => self.receipt(caller, &id, reply),
            Request::SetPaused { paused, reply } => {
                let was = std::mem::replace(&mut self.paused, paused);
                if was != paused && self.config.public {
                    let now = if paused { "paused: only cover leaves" } else { "resumed: messages leave" };
                    info!("{now}, as the operator said");
                }
                let done = self.step(Input::SetPaused(paused));
                let _ = reply.send(was);
                return done;
            }
            Request::SetCadence { cadence, reply } => {
                // A client without a deployment begins with it.
                self.config.cadence = cadence.get();
                let done = self.step(Input::SetCadence(cadence.get()));
                let _ = reply.send(());
                return done;
            }
            Request::Descriptor { reply } => {
                let pinned = self.config.instance.pin.is_some();
                let answer = self.live().map(|live| GetDescriptorResponse {
                    descriptor: zipnet_dcnet::signed::encode(&live.descriptor),
                    pinned,
                });
                let _ = reply.send(answer);
            }
            Request::Servers { reply } => {
                let _ = reply.send(self.live().map(servers));
            }
            Request::Status { caller, reply } => {
                let own = Own {
                    paused: self.paused,
                    started_at: self.started_at,
                    now: self.clock.now(),
                    room: self.disk.room(),
                };
                let core = self.live.as_ref().map(|live| (&live.descriptor, live.core.status(caller.uid)));
                let core = core.as_ref().map(|(descriptor, status)| (*descriptor, status));
                let _ = reply.send(status::status(&self.config, &self.connection, &own, core));
            }
        }
        false
    }

    /// Hands a command to the core, which answers it when it is done.
    fn command<T>(
        &mut self,
        command: Command,
        reply: oneshot::Sender<Result<T, Refused>>,
        waiting: fn(oneshot::Sender<Result<T, Refused>>) -> Waiting,
    ) -> bool {
        let Some(live) = &mut self.live else {
            let _ = reply.send(Err(self.unknown()));
            return false;
        };
        live.next_reply += 1;
        let number = live.next_reply;
        live.hands.replies.insert(number, waiting(reply));
        self.step(Input::Command { reply: number, command })
    }

    /// Reads a receipt, beside the core: it is long.
    fn receipt(&mut self, caller: Caller, id: &str, reply: oneshot::Sender<Result<Vec<u8>, Refused>>) {
        let id = self.live().and_then(|live| {
            let id = parse(id)?;
            live.core.receipt(caller.uid, &id).map(|()| id).map_err(|no| refused(&no))
        });
        match (id, &mut self.live) {
            (Ok(id), Some(live)) => {
                let store = self.config.store.clone();
                while live.hands.tasks.try_join_next().is_some() {}
                live.hands.tasks.spawn_blocking(move || drop(reply.send(read_receipt(&store, &id))));
            }
            (Ok(_), None) => drop(reply.send(Err(self.unknown()))),
            (Err(refused), _) => drop(reply.send(Err(refused))),
        }
    }

    fn live(&self) -> Result<&Live, Refused> {
        self.live.as_ref().ok_or_else(|| self.unknown())
    }

    /// Why nothing can be done without a deployment.
    fn unknown(&self) -> Refused {
        let mut refused = instance_unknown();
        if let Some(missing) = &self.connection.missing {
            refused.message = format!("{}: {missing}", refused.message);
        }
        refused
    }
}

fn parse(id: &str) -> Result<MessageId, Refused> {
    id.parse().map_err(|error: MessageIdError| Refused {
        reason: Reason::InvalidRequest,
        message: error.to_string(),
        retry_after: None,
    })
}

fn list(live: &Live, caller: Caller, page: &ListPage) -> Result<ListResponse, Refused> {
    let after = page.after.as_deref().map_or(Ok(MessageId::NONE), parse)?;
    let want =
        |state: &_, reserved| page.states.is_empty() || page.states.contains(&status::state(state, reserved));
    let (messages, next) = live.core.list(caller.uid, want, after, page.limit);
    Ok(ListResponse {
        messages: messages.into_iter().map(status::message).collect(),
        next_page: next.map(|id| id.to_string()).unwrap_or_default(),
    })
}

fn changed(live: &Live, caller: Caller, only: Option<&str>, since: u64) -> Result<Changed, Refused> {
    let only = only.map(parse).transpose()?;
    if let Some(id) = &only {
        live.core.message(caller.uid, id).map_err(|no| refused(&no))?;
    }
    let changes = live.core.changed_since(caller.uid, only.as_ref(), since, MAX_PAGE);
    let messages = changes.messages.into_iter().map(|(number, view)| (number, status::message(view)));
    Ok(Changed { messages: messages.collect(), upto: changes.upto, more: changes.more, last: changes.last })
}

fn read_receipt(store: &Arc<dyn Store>, id: &MessageId) -> Result<Vec<u8>, Refused> {
    let refuse = |reason, message, retry_after| Err(Refused { reason, message, retry_after });
    match store.get(RECEIPTS, &id.0) {
        Ok(Some(receipt)) => Ok(receipt),
        Ok(None) => {
            let text = format!("the receipt of message {id} is not on the disk yet");
            refuse(Reason::NotFound, text, Some(RECEIPT_RETRY))
        }
        Err(error) => {
            let text = format!("the receipt of message {id} cannot be read: {error}");
            refuse(Reason::StoreCorrupt, text, None)
        }
    }
}
