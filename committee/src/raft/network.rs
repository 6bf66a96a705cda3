//! openraft's calls to the other members, over [`Peers`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{InstallSnapshotError, RPCError, RaftError, RemoteError, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{EmptyNode, RaftNetwork, RaftNetworkFactory};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zipnet_dcnet::ids::PeerId;

use super::types::{Types, decode, encode};
use super::{Peers, RaftKind};

type CallError<E> = RPCError<u64, EmptyNode, RaftError<u64, E>>;
/// What the receiver of a snapshot's part answers; "start over" is an answer too.
pub(super) type SnapshotAnswer = Result<InstallSnapshotResponse<u64>, InstallSnapshotError>;

/// Makes a [`Line`] to each member.
pub(super) struct Network {
    pub(super) peers: Arc<dyn Peers>,
    pub(super) members: Arc<[PeerId]>,
}

/// The way to one member.
pub(super) struct Line {
    peers: Arc<dyn Peers>,
    id: u64,
    to: PeerId,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Line;

    async fn new_client(&mut self, id: u64, _node: &EmptyNode) -> Line {
        let to = self.members[id as usize];
        Line { peers: self.peers.clone(), id, to }
    }
}

impl Line {
    async fn call<T: DeserializeOwned, E: std::error::Error>(
        &self,
        kind: RaftKind,
        request: &impl Serialize,
        timeout: Duration,
    ) -> Result<T, CallError<E>> {
        let unreachable = |text: String| {
            RPCError::Unreachable(Unreachable::new(&io::Error::other(format!("{}: {text}", self.to))))
        };
        // The carrier should end in time by itself; that it does is not left to it.
        let call = tokio::time::timeout(timeout, self.peers.call(self.to, kind, encode(request), timeout));
        let answer = call.await.map_err(|_| unreachable(format!("no answer within {timeout:?}")))?;
        decode(&answer.map_err(unreachable)?)
            .map_err(|error| unreachable(format!("malformed answer: {error}")))
    }
}

impl RaftNetwork<Types> for Line {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, CallError<openraft::error::Infallible>> {
        self.call(RaftKind::Append, &rpc, option.hard_ttl()).await
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, CallError<InstallSnapshotError>> {
        // Below the time after which openraft gives up, so that it repeats the part and not the snapshot.
        let answer: SnapshotAnswer = self.call(RaftKind::Snapshot, &rpc, option.soft_ttl()).await?;
        answer.map_err(|error| RPCError::RemoteError(RemoteError::new(self.id, RaftError::APIError(error))))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, CallError<openraft::error::Infallible>> {
        self.call(RaftKind::Vote, &rpc, option.hard_ttl()).await
    }

    /// Starts below a heartbeat, so that one lost call does not cost a leader its office.
    fn backoff(&self) -> Backoff {
        Backoff::new([50, 100, 200].into_iter().chain(std::iter::repeat(400)).map(Duration::from_millis))
    }
}
