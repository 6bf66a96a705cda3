//! Calls about messages.

use std::time::Duration;

use tonic::Code;

use super::{CALL_TIMEOUT, CallError, Client, bounded, millis, new_request_id};
use crate::{
    limits::{MAX_GET_WAIT, MAX_PAYLOAD_BYTES},
    reason::{Reason, Refused},
    v1::{
        CancelRequest, CancelResponse, GetReceiptRequest, GetRequest, ListRequest, ListResponse, Message,
        MessageState, SendRequest, SendResponse,
    },
};

/// How a message is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// Names the request: the same id with the same payload is the same message, however often it is sent. Absent: a new
    /// one is made.
    pub request_id: Option<String>,
    /// How long the message may wait for its publication. Absent: the daemon's default (10 minutes).
    pub ttl: Option<Duration>,
    /// Keep a receipt, which says on this host's disk which message of the log is the caller's.
    pub receipt: bool,
}

impl Client {
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
        self.send_with(payload, SendOptions { request_id, ttl, receipt: false }).await
    }

    /// As [`Client::send`], with everything that can be said about a message.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send_with(
        &mut self,
        payload: Vec<u8>,
        options: SendOptions,
    ) -> Result<SendResponse, CallError> {
        if payload.len() > MAX_PAYLOAD_BYTES {
            let message =
                format!("the message has more than {MAX_PAYLOAD_BYTES} bytes, no deployment takes that");
            return Err(Refused { reason: Reason::MessageTooLong, message, retry_after: None }.into());
        }
        let SendOptions { request_id, ttl, receipt } = options;
        let request_id = Some(request_id.unwrap_or_else(new_request_id));
        let request = SendRequest { payload, request_id, ttl_ms: ttl.map(millis), receipt };
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

    /// One page of the messages that the daemon remembers and the caller may see, the oldest first: those in one of
    /// `states` (none: all), at most `limit` (0: 100; at most [`MAX_LIST_PAGE`](crate::MAX_LIST_PAGE)). `page` is
    /// `next_page` of the answer before, empty at first.
    ///
    /// # Errors
    /// `InvalidRequest` for a page that the daemon did not name, as [`CallError::Refused`]; a lost or silent daemon, and
    /// one that names the same page as the next one.
    pub async fn list(
        &mut self,
        states: &[MessageState],
        limit: u32,
        page: &str,
    ) -> Result<ListResponse, CallError> {
        let states = states.iter().map(|state| i32::from(*state)).collect();
        let request = ListRequest { states, limit, page: page.to_owned() };
        let answer = bounded("List", CALL_TIMEOUT, self.control.list(request)).await?;
        if !page.is_empty() && answer.next_page == page {
            // Whoever asks page by page would never end.
            let message = format!("it names the page {page} again");
            return Err(CallError::Failed { call: "List", code: Code::Internal, message });
        }
        Ok(answer)
    }

    /// Takes a message back, if it was not sealed yet; the answer says whether, and how the message is now.
    ///
    /// # Errors
    /// `NotFound` and `NotYours` as [`CallError::Refused`]; a lost or silent daemon.
    pub async fn cancel(&mut self, message_id: &str) -> Result<CancelResponse, CallError> {
        let request = CancelRequest { message_id: message_id.to_owned() };
        bounded("Cancel", CALL_TIMEOUT, self.control.cancel(request)).await
    }

    /// The bytes of a published message's receipt (`Receipt` of zipnet-dcnet), if one was asked for when it was sent.
    ///
    /// # Errors
    /// `NotFound` and `NotYours` as [`CallError::Refused`]; a lost or silent daemon.
    pub async fn get_receipt(&mut self, message_id: &str) -> Result<Vec<u8>, CallError> {
        let request = GetReceiptRequest { message_id: message_id.to_owned() };
        let answer = bounded("GetReceipt", CALL_TIMEOUT, self.control.get_receipt(request)).await?;
        Ok(answer.receipt)
    }
}
