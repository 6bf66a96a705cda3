//! The round that is being folded (R5, R6).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use zipnet_dcnet::aggregate::{Aggregate, Fold, FoldError};
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::header::{Header, SignedHeader};
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{ClientId, DeploymentId, PeerId};
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::seal::Envelope;
use zipnet_dcnet::signed::Signed;
use zipnet_dcnet::wire::AggregateCall;

use crate::metrics;

/// An envelope that is ahead of the header waits at most this long for it.
const EARLY: Duration = Duration::from_secs(1);
/// An aggregate is never waited for longer than this, whatever the leader says.
const MAX_WAIT: Duration = Duration::from_hours(1);

struct Round {
    header: Header,
    roster: Roster,
    fold: Fold,
    /// The envelopes by index, for an aggregate without some of them.
    envelopes: BTreeMap<u32, Vec<u8>>,
    /// Since when this aggregator folds it.
    since: Instant,
    /// An aggregate was given at or after the deadline, or of the whole roster: nothing is folded in any more. One that
    /// is asked for earlier cuts nothing, or any server could shrink the round.
    cut: bool,
}

/// Why an envelope or a request for an aggregate is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The round is not the one that is being folded.
    #[error("round {0} is not being folded")]
    NotOpen(u64),
    /// The round was folded already.
    #[error("round {0} is folded already")]
    Folded(u64),
    /// The sender is not the peer of the roster entry.
    #[error("roster entry {0} is another client's")]
    NotYours(u32),
    /// Not a server of the header.
    #[error("{0} is no server of this round")]
    NotServer(PeerId),
    /// Not the header that is being folded.
    #[error("no round with this header is being folded")]
    UnknownHeader,
    /// Section 6.
    #[error(transparent)]
    Fold(#[from] FoldError),
}

/// See the module.
pub struct Folding {
    identity: Arc<Identity>,
    descriptor: Descriptor,
    deployment: DeploymentId,
    round: Mutex<Option<Round>>,
    /// Round and number of envelopes; moves with every envelope and every new round.
    progress: watch::Sender<(u64, u32)>,
    /// The server whose events this aggregator follows.
    following: Mutex<Option<PeerId>>,
    /// How often the loop that follows went round.
    turns: AtomicU64,
}

impl Folding {
    /// Folds nothing yet.
    pub fn new(identity: Arc<Identity>, descriptor: Descriptor) -> Self {
        let deployment = descriptor.id();
        Self {
            identity,
            descriptor,
            deployment,
            round: Mutex::default(),
            progress: watch::Sender::new((0, 0)),
            following: Mutex::default(),
            turns: AtomicU64::new(0),
        }
    }

    pub(crate) fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    pub(crate) fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    /// Notes whom it follows now.
    pub(crate) fn follows(&self, server: Option<PeerId>) {
        *self.following.lock().unwrap_or_else(PoisonError::into_inner) = server;
        metrics::following(server.is_some());
    }

    /// The loop that follows the committee went round once more.
    pub(crate) fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Moves while the loop turns and the round can be worked on: stands still when either is wedged.
    pub(crate) fn turns(&self) -> u64 {
        let _works = self.lock();
        self.turns.load(Ordering::Relaxed)
    }

    /// A line for `systemctl status`: nothing that the headers do not tell.
    pub(crate) fn line(&self) -> String {
        let following = *self.following.lock().unwrap_or_else(PoisonError::into_inner);
        let (round, envelopes) = *self.progress.borrow();
        match following {
            Some(server) => format!("following {}: round {round}, {envelopes} envelopes", server.short()),
            None => format!("no server reachable: round {round}"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Round>> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts folding a round whose header and roster are verified. Older rounds than the current one are ignored.
    pub fn open(&self, signed: &SignedHeader, roster: Roster) {
        let header = &signed.header;
        let mut round = self.lock();
        if round.as_ref().is_some_and(|r| r.header.round >= header.round) {
            return;
        }
        *round = Some(Round {
            fold: Fold::new(&self.descriptor.params, header),
            header: header.clone(),
            roster,
            envelopes: BTreeMap::new(),
            since: Instant::now(),
            cut: false,
        });
        metrics::round(header.round);
        self.progress.send_replace((header.round, 0));
    }

    /// Takes an envelope from the peer that is this client. One that is ahead of the header waits for it.
    ///
    /// # Errors
    /// [`Refused`] says why it is not taken.
    pub async fn envelope(&self, from: ClientId, envelope: Envelope) -> Result<(), Refused> {
        let mut progress = self.progress.subscribe();
        let there = progress.wait_for(|(round, _)| *round >= envelope.round);
        // Too early for too long is refused below.
        let _ = timeout_at(Instant::now() + EARLY, there).await;
        let mut guard = self.lock();
        let round = guard.as_mut().filter(|r| r.header.round == envelope.round);
        let round = round.ok_or(Refused::NotOpen(envelope.round))?;
        let entry = round.roster.entries().get(envelope.index as usize);
        if entry.is_some_and(|e| e.client != from) {
            return Err(Refused::NotYours(envelope.index));
        }
        if round.cut {
            return Err(Refused::Folded(envelope.round));
        }
        round.fold.add(&envelope)?;
        round.envelopes.insert(envelope.index, envelope.vector);
        metrics::envelopes(round.envelopes.len());
        // Under the lock, so that progress never goes back: an aggregate would wait for nothing, or not at all.
        self.progress.send_replace((envelope.round, round.envelopes.len() as u32));
        Ok(())
    }

    /// The aggregate for a server of the round: when the whole roster is in, and at the latest when its time is over.
    ///
    /// # Errors
    /// [`Refused`] says why there is none.
    pub async fn aggregate(&self, from: PeerId, call: &AggregateCall) -> Result<Signed<Aggregate>, Refused> {
        let mut progress = self.progress.subscribe();
        let deadline = Instant::now() + Duration::from_millis(call.within_ms.into()).min(MAX_WAIT);
        let (number, len) = self.known(from, call, &mut progress, deadline).await?;
        let full = progress.wait_for(|(round, count)| *round != number || *count >= len);
        let _ = timeout_at(deadline, full).await;
        let mut guard = self.lock();
        let round = guard.as_mut().filter(|r| r.fold.header_digest == call.header_digest);
        let round = round.ok_or(Refused::UnknownHeader)?;
        let window = Duration::from_millis(self.descriptor.params.fold_deadline_ms.into());
        round.cut |= round.envelopes.len() as u32 >= len || round.since.elapsed() >= window;
        let mut fold = round.fold.clone();
        if !call.without.is_empty() {
            fold = Fold::new(&self.descriptor.params, &round.header);
            for (index, vector) in round.envelopes.iter().filter(|(i, _)| !call.without.get(**i)) {
                let (round, index, vector) = (number, *index, vector.clone());
                fold.add(&Envelope { round, index, vector })?;
            }
        }
        let aggregate = Aggregate {
            deployment: self.deployment,
            round: number,
            header_digest: call.header_digest,
            aggregator: self.identity.peer_id(),
            participants: fold.participants,
            vector: fold.vector,
        };
        metrics::aggregate();
        Ok(Signed::new(&self.identity, aggregate))
    }

    /// Waits until the header asked for is the one being folded; its round and the length of its roster.
    async fn known(
        &self,
        from: PeerId,
        call: &AggregateCall,
        progress: &mut watch::Receiver<(u64, u32)>,
        deadline: Instant,
    ) -> Result<(u64, u32), Refused> {
        loop {
            if let Some(round) = self.lock().as_ref().filter(|r| r.fold.header_digest == call.header_digest) {
                if round.header.servers.binary_search(&from).is_err() {
                    return Err(Refused::NotServer(from));
                }
                return Ok((round.header.round, round.header.roster_len));
            }
            match timeout_at(deadline, progress.changed()).await {
                Ok(Ok(())) => {}
                _ => return Err(Refused::UnknownHeader),
            }
        }
    }
}

#[cfg(test)]
mod tests;
