//! What callers ask of the core.

use zipnet_proto::{Reason, Refused};

use super::execute::refused;
use super::handle::{Request, instance_unknown};
use super::runner::Runner;
use super::status;
use crate::core::input::{Command, Input};
use crate::core::message::MessageIdError;

impl Runner {
    /// Does or starts what is asked; `true` when the core is done.
    pub(super) fn request(&mut self, request: Request) -> bool {
        match request {
            Request::Accept { caller, message, reply } => {
                let Some(live) = &mut self.live else {
                    let _ = reply.send(Err(self.unknown()));
                    return false;
                };
                live.next_reply += 1;
                let number = live.next_reply;
                live.hands.replies.insert(number, reply);
                let command = Command::Accept {
                    uid: caller.uid,
                    payload: message.payload,
                    request_id: message.request_id,
                    ttl_ms: message.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
                };
                return self.step(Input::Command { reply: number, command });
            }
            Request::Get { caller, id, reply } => {
                let answer = match (&self.live, id.parse()) {
                    (None, _) => Err(self.unknown()),
                    (Some(live), Ok(id)) => {
                        live.core.message(caller.uid, &id).map(status::message).map_err(|no| refused(&no))
                    }
                    (_, Err(error)) => {
                        let MessageIdError(_) = &error;
                        let message = error.to_string();
                        Err(Refused { reason: Reason::InvalidRequest, message, retry_after: None })
                    }
                };
                let _ = reply.send(answer);
            }
            Request::Status { caller, reply } => {
                let core = self.live.as_ref().map(|live| (&live.descriptor, live.core.status(caller.uid)));
                let core = core.as_ref().map(|(descriptor, status)| (*descriptor, status));
                let _ = reply.send(status::status(&self.config, &self.connection, core));
            }
        }
        false
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
