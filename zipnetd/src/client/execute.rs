//! Doing what the core wants done. Nothing here waits: what takes time runs in a task of its own, and its result comes
//! back through the bounded feed.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::debug;
use zipnet_dcnet::ids::{PeerId, RecordDigest, Session};
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::seal::Envelope;
use zipnet_dcnet::signed::encode;
use zipnet_dcnet::wire::{Ended, RecordsCall, RegisterCall, RegisterReply, RosterCall, refusal};
use zipnet_network::links::{Kind, LinkError};
use zipnet_proto::v1::{CancelResponse, SendResponse};
use zipnet_proto::{Reason, Refused};
use zipnet_store::{Batch, Store, StoreError};
use zipnet_tdx::quote::{Evidence, QuoteSource, ReportData, Subject};

use super::Feed;
use super::log::Log;
use super::notice;
use super::peers::Peers;
use super::read::Source;
use super::status;
use super::vetting::Vetting;
use crate::core::input::{Input, RegisterFailure, StoreFailure};
use crate::core::output::{Answer, Op, Output, RECEIPTS, Refusal, TREE};

/// A registration call's time, as the core expects it.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);
/// A roster may be long.
const ROSTER_TIMEOUT: Duration = Duration::from_secs(20);
/// What an aggregator gets beyond the end of its fold to say that it took an envelope.
const ENVELOPE_GRACE: Duration = Duration::from_secs(1);
/// Between two tries to fetch records when nobody answered.
const RECORDS_PAUSE: Duration = Duration::from_millis(500);

/// The hands of the core.
pub(super) struct Hands {
    pub peers: Arc<Peers>,
    pub store: Arc<dyn Store>,
    pub log: Option<Arc<Log>>,
    pub feed: mpsc::Sender<Feed>,
    pub public: bool,
    /// Where quotes come from.
    pub quotes: Arc<dyn QuoteSource>,
    /// Looks at the servers' quotes, where they show them.
    pub vetting: Option<Arc<Vetting>>,
    /// This client at this deployment; the session is the core's.
    pub subject: Subject,
    /// What is under way; dropped, and so ended, with the client.
    pub tasks: JoinSet<()>,
    /// Callers that wait for a reply.
    pub replies: BTreeMap<u64, Waiting>,
}

/// A caller that waits for a reply of the core.
pub(super) enum Waiting {
    Accept(oneshot::Sender<Result<SendResponse, Refused>>),
    Cancel(oneshot::Sender<Result<CancelResponse, Refused>>),
}

impl Hands {
    /// Does one thing; `true` when the core is done. `now` is the core's time.
    pub(super) fn execute(&mut self, now: u64, output: Output) -> bool {
        match output {
            Output::Write { ticket, ops } => self.write(ticket, ops),
            Output::Register { server, call } => self.register(server, &call),
            Output::Attest { session, record } => self.attest(session, record),
            Output::FetchRoster { from, digest } => self.roster(from, digest),
            Output::FetchRecords { from_round, limit, not } => self.records(from_round, limit, not),
            Output::SendEnvelope { aggregator, envelope, not_before, not_after } => {
                self.envelope(now, aggregator, &envelope, not_before, not_after);
            }
            Output::Reply { reply, answer } => self.reply(reply, answer),
            Output::Notice(notice) => {
                if self.public {
                    notice::log(&notice);
                }
            }
            Output::Stopped => return true,
        }
        false
    }

    /// Runs a task whose result is fed to the core.
    fn later(&mut self, work: impl Future<Output = Input> + Send + 'static) {
        // Finished ones are let go of here; their number is bounded by what the core has under way.
        while self.tasks.try_join_next().is_some() {}
        let feed = self.feed.clone();
        self.tasks.spawn(async move {
            let input = work.await;
            // Refused only when the client has ended.
            let _ = feed.send(Feed::Input(input)).await;
        });
    }

    fn write(&mut self, ticket: u64, ops: Vec<Op>) {
        let mut batch = Batch::new();
        for op in ops {
            match op {
                Op::Put { key, value } => batch.put(TREE, key, value),
                Op::Delete { key } => batch.delete(TREE, key),
                Op::PutReceipt { key, value } => batch.put(RECEIPTS, key, value),
                Op::DeleteReceipt { key } => batch.delete(RECEIPTS, key),
            };
        }
        let pending = self.store.commit(batch);
        self.later(async move {
            let result = pending.await.map_err(|error| match error {
                StoreError::Full { .. } => StoreFailure::Full,
                error => {
                    // The store has said so itself; at this moment it would tell when somebody sends.
                    debug!(%error, "a write failed");
                    StoreFailure::Failed
                }
            });
            Input::Stored { ticket, result }
        });
    }

    fn register(&mut self, server: PeerId, call: &RegisterCall) {
        let link = self.peers.link(&server);
        let (body, vetting) = (encode(call), self.vetting.clone());
        let boot = match call {
            RegisterCall::Register(request) => Some(request.trusted().boot),
            RegisterCall::Boot(_) => None,
        };
        self.later(async move {
            let ask = async {
                let link = link.ok_or(RegisterFailure::Unreachable)?;
                if let (Some(vetting), Some(boot)) = (&vetting, boot) {
                    vetting.vet(&link, boot, REGISTER_TIMEOUT).await?;
                }
                let reply = link.call(Kind::Register, body, REGISTER_TIMEOUT).await.map_err(of_link)?;
                let reply = borsh::from_slice::<RegisterReply>(&reply)
                    .map_err(|error| RegisterFailure::Refused(format!("malformed answer: {error}")))?;
                if let (Some(vetting), RegisterReply::Answer(answer)) = (&vetting, &reply) {
                    vetting.same(&answer.trusted().server)?;
                }
                Ok(reply)
            };
            let result = timeout(REGISTER_TIMEOUT, ask).await.unwrap_or(Err(RegisterFailure::Unreachable));
            Input::Register { server, result }
        });
    }

    fn attest(&mut self, session: Session, record: RecordDigest) {
        let (quotes, subject) = (self.quotes.clone(), Subject { session, ..self.subject });
        let data = ReportData::Client(subject, record);
        self.later(async move {
            let made = spawn_blocking(move || quotes.quote(&data)).await;
            let result = match made {
                Ok(Ok(quote)) => Ok(Evidence::new(record, quote).encode()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("making it broke off".to_owned()),
            };
            Input::Attested { session, result }
        });
    }

    fn roster(&mut self, from: PeerId, digest: [u8; 32]) {
        let first = self.peers.link(&from);
        let second = self.peers.pick_server(&[from]);
        self.later(async move {
            for link in [first, second].into_iter().flatten() {
                let call = encode(&RosterCall { digest });
                let answer = link.call(Kind::Roster, call, ROSTER_TIMEOUT).await;
                let roster = answer.map_err(|e| e.to_string()).and_then(|bytes| {
                    borsh::from_slice::<Roster>(&bytes).map_err(|e| format!("malformed: {e}"))
                });
                match roster {
                    Ok(roster) => return Input::Roster { digest, roster: Some(Box::new(roster)) },
                    Err(error) => debug!(server = %link.peer_id().short(), error, "no roster"),
                }
            }
            Input::Roster { digest, roster: None }
        });
    }

    fn records(&mut self, from_round: u64, limit: u32, not: Option<PeerId>) {
        let (peers, log) = (self.peers.clone(), self.log.clone());
        self.later(async move {
            let call = RecordsCall { from: from_round, limit };
            if let Some((server, reply)) = peers.records(call, None, not.as_slice()).await {
                if let Some(log) = log {
                    reply.items.iter().for_each(|ended: &Ended| log.ended(server, ended));
                }
                return Input::Records { from_round, server, reply: Some(reply) };
            }
            // The core may ask again at once: not in a hot loop.
            sleep(RECORDS_PAUSE).await;
            let server = not.or_else(|| peers.pick_server(&[]).map(|link| link.peer_id()));
            Input::Records { from_round, server: server.unwrap_or(PeerId([0; 32])), reply: None }
        });
    }

    /// Talk and cover alike.
    fn envelope(&mut self, now: u64, to: PeerId, envelope: &Envelope, not_before: u64, not_after: u64) {
        let link = self.peers.link(&to);
        let round = envelope.round;
        let body = encode(envelope);
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms.saturating_sub(now));
        let (moment, end) = (at(not_before), at(not_after));
        self.later(async move {
            sleep_until(moment).await;
            let left = end.saturating_duration_since(Instant::now());
            let (Some(link), false) = (link, left.is_zero()) else {
                debug!(round, aggregator = %to.short(), "envelope not sent: no address, or too late");
                return Input::Envelope { round, taken: false };
            };
            let sent = link.call(Kind::Envelope, body, left + ENVELOPE_GRACE).await;
            match &sent {
                Ok(_) => debug!(round, aggregator = %to.short(), "sealed envelope sent"),
                Err(error) => debug!(round, aggregator = %to.short(), %error, "sealed envelope not taken"),
            }
            Input::Envelope { round, taken: sent.is_ok() }
        });
    }

    fn reply(&mut self, reply: u64, answer: Result<Answer, Refusal>) {
        let Some(caller) = self.replies.remove(&reply) else { return };
        let answer = answer.map_err(|refusal| refused(&refusal));
        // A caller who has gone does not need it.
        match (caller, answer) {
            (Waiting::Accept(caller), Err(refused)) => drop(caller.send(Err(refused))),
            (Waiting::Cancel(caller), Err(refused)) => drop(caller.send(Err(refused))),
            (Waiting::Accept(caller), Ok(Answer::Accepted { id, duplicate })) => {
                drop(caller.send(Ok(SendResponse { message_id: id.to_string(), duplicate })));
            }
            (Waiting::Cancel(caller), Ok(Answer::Cancelled { cancelled, message })) => {
                let message = Some(status::message(*message));
                drop(caller.send(Ok(CancelResponse { cancelled, message })));
            }
            (Waiting::Accept(_), Ok(Answer::Cancelled { .. }))
            | (Waiting::Cancel(_), Ok(Answer::Accepted { .. })) => {
                unreachable!("invariant: the core answers what was asked")
            }
        }
    }
}

/// A refusal of the core, as callers get it.
pub(super) fn refused(refusal: &Refusal) -> Refused {
    // The names are those of the list in `proto`; a test holds the core to it.
    let reason = refusal.reason().parse::<Reason>().unwrap_or(Reason::InvalidRequest);
    let retry_after =
        matches!(reason, Reason::QueueFull | Reason::StoreFull).then_some(Duration::from_secs(10));
    Refused { reason, message: refusal.to_string(), retry_after }
}

pub(super) fn of_link(error: LinkError) -> RegisterFailure {
    match error {
        LinkError::Refused(no) => match no.code {
            refusal::BOOT => RegisterFailure::Boot,
            refusal::SESSION => RegisterFailure::Evicted,
            refusal::NOT_ADMITTED => RegisterFailure::NotAdmitted(no.text),
            refusal::LATER => RegisterFailure::Unreachable,
            _ => RegisterFailure::Refused(no.text),
        },
        LinkError::Unreachable { .. }
        | LinkError::Timeout { .. }
        | LinkError::Lost { .. }
        | LinkError::Stalled(_)
        | LinkError::Closed => RegisterFailure::Unreachable,
        other => RegisterFailure::Refused(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::message::MessageId;

    #[test]
    fn every_refusal_of_the_core_is_a_reason_of_the_api() {
        let id = MessageId([1; 16]);
        let all = [
            Refusal::InvalidRequest("x".into()),
            Refusal::MessageTooLong { len: 2, max: 1 },
            Refusal::RequestIdReused("x".into()),
            Refusal::QueueFull { messages: 1, bytes: 1 },
            Refusal::Draining,
            Refusal::Paused,
            Refusal::NoReceipt { id, why: "x".into() },
            Refusal::NotFound(id),
            Refusal::NotYours(id),
            Refusal::Store(StoreFailure::Full),
            Refusal::Store(StoreFailure::Failed),
        ];
        for refusal in all {
            let answer = refused(&refusal);
            assert_eq!(refusal.reason().parse::<Reason>().unwrap(), answer.reason);
            // Waiting helps where room comes back by itself.
            let helps = matches!(refusal, Refusal::QueueFull { .. } | Refusal::Store(StoreFailure::Full));
            assert_eq!(answer.retry_after.is_some(), helps, "{refusal}");
        }
    }
}
