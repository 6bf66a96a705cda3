//! What callers at the control socket change: accept and cancel.

use zeroize::Zeroizing;

use super::Core;
use super::config::{DEFAULT_TTL_MS, MAX_REQUEST_ID_BYTES, MAX_TTL_MS, MIN_TTL_MS};
use super::input::Command;
use super::message::{Message, MessageId, State};
use super::output::{Answer, Op, Output, Refusal};
use super::queue::Hold;
use super::status::Why;
use super::store::{Layout, nothing};
use super::writes::After;

impl Core {
    pub(super) fn command(&mut self, reply: u64, command: Command) {
        let answer = match command {
            Command::Accept { uid, payload, request_id, ttl_ms, receipt } => {
                self.accept(reply, uid, Zeroizing::new(payload), request_id, ttl_ms, receipt)
            }
            Command::Cancel { uid, id } => self.cancel(reply, uid, &id),
        };
        if let Some(answer) = answer.transpose() {
            self.out.push(Output::Reply { reply, answer });
        }
    }

    /// `Ok(None)`: the answer comes when the message is durable.
    fn accept(
        &mut self,
        reply: u64,
        uid: u32,
        payload: Zeroizing<Vec<u8>>,
        request_id: Option<String>,
        ttl_ms: Option<u64>,
        receipt: bool,
    ) -> Result<Option<Answer>, Refusal> {
        let (len, max) = (payload.len(), self.cfg.descriptor.params.max_payload());
        if len > max {
            return Err(Refusal::MessageTooLong { len, max });
        }
        let ttl = ttl_ms.unwrap_or(DEFAULT_TTL_MS);
        if !(MIN_TTL_MS..=MAX_TTL_MS).contains(&ttl) {
            let text = format!("a ttl of {ttl} ms: must be {MIN_TTL_MS} to {MAX_TTL_MS}");
            return Err(Refusal::InvalidRequest(text));
        }
        if let Some(request) = &request_id {
            let fits = (1..=MAX_REQUEST_ID_BYTES).contains(&request.len());
            if !fits || !request.bytes().all(|b| b.is_ascii_graphic()) {
                let text = format!(
                    "a request id has 1 to {MAX_REQUEST_ID_BYTES} printable characters without blanks"
                );
                return Err(Refusal::InvalidRequest(text));
            }
            if let Some(id) = self.queue.request(uid, request, &payload)? {
                let storing = self.queue.get(&id).and_then(|e| match e.hold {
                    Hold::Storing(ticket) => Some(ticket),
                    _ => None,
                });
                return match storing {
                    None => Ok(Some(Answer::Accepted { id, duplicate: true })),
                    Some(ticket) if self.writes.join(ticket, reply) => Ok(None),
                    Some(_) => {
                        Err(Refusal::InvalidRequest("too many callers wait for this request id".to_owned()))
                    }
                };
            }
        }
        if self.stopping.is_some() {
            return Err(Refusal::Draining);
        }
        if self.paused {
            return Err(Refusal::Paused);
        }
        self.queue.room(len)?;
        let random = self.draw.ids.bytes();
        self.last_id = MessageId::after(self.last_id, self.now);
        let message = Message {
            id: MessageId::new(self.last_id.0, self.last_id.1, std::array::from_fn(|i| random[i])),
            uid,
            request_id,
            state: State::Queued,
            accepted_at: self.now,
            expires_at: self.now + ttl,
            receipt,
            payload,
            ..nothing(self.exact_until())
        };
        let id = message.id;
        let mut ops = vec![Layout::short(&message)];
        ops.extend(self.forget());
        self.queue.insert(message, Hold::Free);
        let ticket = self.write(ops, After::Accept { id, waiting: vec![(reply, false)] });
        self.queue.set_hold(&id, Hold::Storing(ticket));
        Ok(None)
    }

    fn cancel(&mut self, reply: u64, uid: u32, id: &MessageId) -> Result<Option<Answer>, Refusal> {
        let entry = self.owned(uid, id)?;
        if entry.message.state == State::Cancelled && self.writes.is_unsure_of(id) {
            // Nobody is told before it is durable, however often it is asked for.
            let op = Layout::short(&entry.message);
            let message = Box::new(self.message(uid, id)?);
            self.write(vec![op], After::Cancel { reply, message });
            return Ok(None);
        }
        // One from the disk may have been published before a restart, as long as the log was not read.
        if entry.message.state != State::Queued || entry.hold != Hold::Free {
            let message = Box::new(self.view(entry, self.reserved()));
            return Ok(Some(Answer::Cancelled { cancelled: false, message }));
        }
        // A slot that was reserved meanwhile goes to the next message, or stays empty as cover's do.
        let changed = self.queue.change(id, |m| m.state = State::Cancelled);
        let op = changed.map(Layout::short).expect("invariant: the message was there a line ago");
        // As it is now: by the time of the write it may be forgotten.
        let message = Box::new(self.message(uid, id)?);
        self.write(vec![op], After::Cancel { reply, message });
        Ok(None)
    }

    /// Forgets terminal messages beyond the bound, with their receipts.
    pub(super) fn forget(&mut self) -> Vec<Op> {
        let mut ops = Vec::new();
        for id in self.queue.forget(self.layout.max_terminal()) {
            ops.push(Op::Delete { key: id.0.to_vec() });
            ops.extend(self.receipts.forget(&id));
        }
        ops
    }

    /// Only cover, or no longer so.
    pub(super) fn pause(&mut self, paused: bool) {
        self.paused = paused;
        if !paused && self.rounds.why == Some(Why::Paused) {
            // What the last round was held for does not hold any more; the next one says what does.
            self.rounds.why = None;
        }
    }

    /// The message, if this caller may see it.
    pub(super) fn owned(&self, uid: u32, id: &MessageId) -> Result<&super::queue::Entry, Refusal> {
        if *id == MessageId::STANDING {
            return Err(Refusal::NotFound(*id));
        }
        let entry = self.queue.get(id).ok_or(Refusal::NotFound(*id))?;
        if entry.message.uid == uid || self.sees_all(uid) {
            return Ok(entry);
        }
        Err(Refusal::NotYours(*id))
    }

    /// Root and the daemon's own uid see everybody's messages.
    pub(super) fn sees_all(&self, uid: u32) -> bool {
        uid == 0 || uid == self.cfg.daemon_uid
    }
}
