//! What a server answers over links.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use zipnet_dcnet::ids::Session;
use zipnet_dcnet::register::{RegisterError, Request};
use zipnet_dcnet::signed::{Signed, encode};
use zipnet_dcnet::wire::{
    EventsCall, QuoteReply, RecordsCall, RegisterCall, RegisterReply, RosterCall, refusal,
};
use zipnet_network::Presence;
use zipnet_network::links::{FrameSink, Kind, Refusal, Remote};

use super::{Shared, quoted};
use crate::core::RegisterRefused;
use crate::entry::Entry;
use crate::raft::{ProposeError, RaftKind};

/// The longest that an aggregator that leaves waits for its answer.
const PRESENCE_WAIT: Duration = Duration::from_secs(20);
/// How often it is looked at whether it may go.
const PRESENCE_POLL: Duration = Duration::from_millis(20);

/// See the module.
pub(super) struct Service(pub(super) Arc<Shared>);

fn later(text: impl std::fmt::Display) -> Refusal {
    Refusal::new(refusal::LATER, text.to_string())
}

impl Service {
    fn boot(&self, from: &Remote, session: &Session) -> Vec<u8> {
        let shared = &*self.0;
        let core = shared.core();
        let known = core.shares(&shared.applied().state, &from.bundle.client_id(), session);
        encode(&RegisterReply::Boot(core.boot(), core.bundle(), known))
    }

    fn register(&self, from: &Remote, request: &Signed<Request>) -> Result<Vec<u8>, Refusal> {
        if request.trusted().client != from.bundle {
            return Err(Refusal::new(refusal::FORBIDDEN, "a client registers only itself"));
        }
        let shared = &*self.0;
        let now = shared.now();
        let answer = {
            let mut core = shared.core();
            let applied = shared.applied();
            core.register(now, &applied.state, &*shared.admission, request).map_err(|e| refused(&e))?
        };
        shared.wake.notify_one();
        Ok(encode(&RegisterReply::Answer(Box::new(answer))))
    }

    async fn quote(&self) -> Result<Vec<u8>, Refusal> {
        if !self.0.descriptor.admission.asks_servers() {
            return Err(Refusal::new(refusal::FORBIDDEN, "the servers of this deployment show no quotes"));
        }
        let (server, quote) = quoted::of(&self.0).await.map_err(later)?;
        Ok(encode(&QuoteReply { server, quote }))
    }

    async fn propose(&self, body: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        if Refusal::decode::<Entry>(&body)?.is_leaders() {
            return Err(Refusal::new(refusal::FORBIDDEN, "only the leader opens, folds and abandons"));
        }
        match self.0.log.propose(body).await {
            Ok(_) => Ok(Vec::new()),
            Err(error @ ProposeError::NotLeader { .. }) => {
                Err(Refusal::new(refusal::NOT_LEADER, error.to_string()))
            }
            Err(error) => Err(later(error)),
        }
    }

    /// What one of this server's aggregators says about itself. One that leaves is answered when no round needs it.
    async fn presence(&self, from: &Remote, presence: Presence) -> Result<Vec<u8>, Refusal> {
        let (shared, aggregator) = (&*self.0, from.peer_id);
        if !shared.directory.aggregators().contains(&aggregator) {
            return Err(Refusal::new(refusal::FORBIDDEN, "not an aggregator of this server"));
        }
        if presence == Presence::Here {
            shared.core().aggregator_is_here(&aggregator);
            shared.wake.notify_one();
            return Ok(Vec::new());
        }
        shared.core().aggregator_leaves(shared.now(), aggregator);
        shared.wake.notify_one();
        let within = Duration::from_millis(shared.descriptor.params.round_deadline_ms.into());
        let gone = async {
            while !shared.core().is_without(&shared.applied().state, &aggregator) {
                tokio::time::sleep(PRESENCE_POLL).await;
            }
        };
        let gone = timeout(within.min(PRESENCE_WAIT), gone).await;
        gone.map(|()| Vec::new()).map_err(|_| later("a round may still need this aggregator"))
    }

    pub(super) async fn answer(&self, from: Remote, kind: Kind, body: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        let shared = &*self.0;
        let raft = match kind {
            Kind::RaftAppend => Some(RaftKind::Append),
            Kind::RaftVote => Some(RaftKind::Vote),
            Kind::RaftSnapshot => Some(RaftKind::Snapshot),
            _ => None,
        };
        let server = shared.descriptor.servers.binary_search(&from.peer_id).is_ok();
        if (raft.is_some() || kind == Kind::Propose) && !server {
            return Err(Refusal::new(refusal::FORBIDDEN, "only servers of the committee may ask for this"));
        }
        if let Some(kind) = raft {
            return shared.log.handle(from.peer_id, kind, &body).await.map_err(later);
        }
        match kind {
            Kind::Propose => self.propose(body).await,
            Kind::Status => self.presence(&from, Refusal::decode(&body)?).await,
            Kind::Register => match Refusal::decode::<RegisterCall>(&body)? {
                RegisterCall::Boot(session) => Ok(self.boot(&from, &session)),
                RegisterCall::Register(request) => self.register(&from, &request),
            },
            Kind::Quote => self.quote().await,
            Kind::Roster => {
                let call = Refusal::decode::<RosterCall>(&body)?;
                let unknown = || Refusal::new(refusal::UNKNOWN, "this roster is not one of the last");
                shared.hub.roster(&call.digest).map(|r| encode(&r)).ok_or_else(unknown)
            }
            Kind::Records => {
                let reply = shared.archive.read(&Refusal::decode::<RecordsCall>(&body)?).map_err(later)?;
                Ok(encode(&reply))
            }
            _ => Err(Refusal::new(Refusal::NOT_ALLOWED, "a server does not answer this")),
        }
    }
}

fn refused(error: &RegisterRefused) -> Refusal {
    let code = match error {
        RegisterRefused::Request(RegisterError::Mismatch("boot")) => refusal::BOOT,
        RegisterRefused::Request(_) => refusal::MALFORMED,
        RegisterRefused::Admission(_) => refusal::NOT_ADMITTED,
        RegisterRefused::Evicted | RegisterRefused::OtherKey => refusal::SESSION,
        RegisterRefused::Withdrawn
        | RegisterRefused::Starting
        | RegisterRefused::Stopping
        | RegisterRefused::Full => refusal::LATER,
    };
    crate::metrics::registration_refused(error.reason());
    Refusal::new(code, error.to_string())
}

impl zipnet_network::links::Service for Service {
    fn call(&self, from: &Remote, kind: Kind, body: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, Refusal>> {
        Box::pin(self.answer(from.clone(), kind, body))
    }

    fn stream(
        &self,
        _: &Remote,
        kind: Kind,
        body: Vec<u8>,
        mut sink: FrameSink,
    ) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(async move {
            if kind != Kind::Events {
                return Err(Refusal::new(Refusal::NOT_ALLOWED, "a server does not stream this"));
            }
            let call = Refusal::decode::<EventsCall>(&body)?;
            let boot = self.0.core().boot();
            let (first, mut rest) = self.0.hub.subscribe(&self.0.applied().state, boot, &call);
            for frame in first {
                sink.send((*frame).clone()).await.map_err(later)?;
            }
            loop {
                match rest.recv().await {
                    Ok(frame) => sink.send((*frame).clone()).await.map_err(later)?,
                    Err(RecvError::Lagged(missed)) => {
                        return Err(later(format!("too slow: {missed} events missed; subscribe again")));
                    }
                    Err(RecvError::Closed) => return Ok(()),
                }
            }
        })
    }
}
