//! One member's log.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use openraft::error::{ClientWriteError, Fatal, InstallSnapshotError, RaftError};
use openraft::raft::{AppendEntriesRequest, InstallSnapshotRequest, VoteRequest};
use openraft::{Config, EntryPayload, Membership, Raft, SnapshotPolicy};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use zipnet_dcnet::ids::PeerId;
use zipnet_store::{Batch, Store};

use super::error::{LogError, ProposeError};
use super::log_store::LogStore;
use super::machine::StateMachine;
use super::network::{Network, SnapshotAnswer};
use super::shared::{LOG, STATE, Shared};
use super::snapshots::Snapshots;
use super::types::{Entry, LogId, Opaque, Types, Vote, decode, encode};
use super::under_way::UnderWay;
use super::{
    APPEND_ENTRIES, CALLS, KEEP_ENTRIES, LogConfig, MAX_CALL_BYTES, MAX_ENTRY_BYTES, MAX_MEMBERS,
    MAX_SNAPSHOT_BYTES, Machine, PROPOSALS, Peers, RaftKind, SNAPSHOT_CALL_TIMEOUT, SNAPSHOT_CHUNK_BYTES,
    SNAPSHOT_EVERY,
};

/// Longest that an entry counts as under way: openraft says nothing about one that a snapshot of another leader replaced.
const UNDER_WAY: Duration = Duration::from_mins(1);
/// How long `shutdown` waits for openraft's tasks to let go of the store.
const LET_GO: Duration = Duration::from_secs(5);

/// How long a leader that steps back waits for another; a new one is elected after one to two election timeouts, and
/// again as long if the votes are split.
pub const STEP_BACK: Duration = Duration::from_secs(8);

/// A running member of the log. End it with [`Log::shutdown`]: dropped without, it goes on in the background.
pub struct Log {
    raft: Raft<Types>,
    me: PeerId,
    members: Arc<[PeerId]>,
    leader: watch::Receiver<Option<PeerId>>,
    watcher: JoinHandle<()>,
    proposals: Arc<Semaphore>,
    /// What was proposed here and is neither committed nor given up by the log.
    under_way: UnderWay,
    calls: Semaphore,
    propose_timeout: Duration,
    /// This member leads and wants another to.
    stepping: AtomicBool,
    /// `Shared::closing`; gone once nothing of this log holds the store.
    store_in_use: Weak<AtomicBool>,
}

impl Log {
    /// Opens the log in `store`, or starts a new one. On return `machine` has the state of all entries known here to
    /// be committed.
    ///
    /// Every member starts a new log by itself with the same list of members: that is the same first entry everywhere,
    /// so they are one log from the beginning and need no order of starting. Call it before the members' calls are
    /// answered; they repeat them.
    ///
    /// # Errors
    /// See [`LogError`]; a log of other members is left as it is.
    pub async fn open(
        cfg: LogConfig,
        store: Arc<dyn Store>,
        machine: Box<dyn Machine>,
        peers: Arc<dyn Peers>,
    ) -> Result<Log, LogError> {
        let me = check(&cfg)?;
        let config = Arc::new(raft_config(&cfg)?);
        let members: Arc<[PeerId]> = cfg.members.into();
        let closing = Arc::new(AtomicBool::new(false));
        let store_in_use = Arc::downgrade(&closing);
        let shared = Arc::new(Shared { store, closing });
        let new = claim(&shared, &members).await?;
        let opened = tokio::task::spawn_blocking(move || {
            let log_store = LogStore::open(shared.clone())?;
            let machine = StateMachine::open(machine, Snapshots::open(shared)?)?;
            Ok::<_, LogError>((log_store, machine))
        });
        let (log_store, machine) =
            opened.await.map_err(|panicked| LogError::Start(panicked.to_string()))??;
        log_store.remove_purged();
        let network = Network { peers, members: members.clone() };
        let raft = Raft::new(me, config, network, log_store, machine).await.map_err(start)?;
        if new && me == 0 {
            // The others wait for an election timeout first: so a new log has its leader at once, and only one.
            raft.trigger().elect().await.map_err(start)?;
        }
        let (leader, watcher) = watch_leader(&raft, members.clone());
        Ok(Log {
            raft,
            me: cfg.me,
            members,
            leader,
            watcher,
            proposals: Arc::new(Semaphore::new(PROPOSALS)),
            under_way: UnderWay::default(),
            calls: Semaphore::new(CALLS),
            propose_timeout: cfg.propose_timeout,
            stepping: AtomicBool::new(false),
            store_in_use,
        })
    }

    /// Proposes an entry. Returns its index when it is committed and applied here.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(&self, entry: Vec<u8>) -> Result<u64, ProposeError> {
        if entry.len() > MAX_ENTRY_BYTES {
            return Err(ProposeError::TooLarge { len: entry.len(), max: MAX_ENTRY_BYTES });
        }
        if self.stepping.load(Ordering::Relaxed) && self.elected() == Some(self.me) {
            // Each entry would tell the others that this member still leads.
            return Err(ProposeError::NotLeader { leader: None });
        }
        let Some(entered) = self.under_way.enter(&entry) else { return Err(ProposeError::UnderWay) };
        let (raft, proposals) = (self.raft.clone(), self.proposals.clone());
        let write = async move {
            let turn = proposals.acquire_owned().await.expect("invariant: never closed");
            // Once in the leader's log it stays there, whether somebody waits or not, and so do its place and its turn.
            let written = tokio::spawn(async move {
                let written = tokio::time::timeout(UNDER_WAY, raft.client_write(Opaque(entry))).await;
                drop((turn, entered));
                written
            });
            // Ended with the runtime, when the process does.
            written.await.map_err(|ended| ProposeError::Stopped(ended.to_string()))
        };
        let late = |_| ProposeError::Timeout(self.propose_timeout);
        match tokio::time::timeout(self.propose_timeout, write).await.map_err(late)??.map_err(late)? {
            Ok(written) => Ok(written.log_id.index),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to))) => {
                Err(ProposeError::NotLeader { leader: to.leader_id.map(|id| self.members[id as usize]) })
            }
            Err(error) => Err(ProposeError::Stopped(error.to_string())),
        }
    }

    /// The leader as far as this member knows. Behind a partition that may be one the others have replaced. None while
    /// this member steps back.
    pub fn leader(&self) -> Option<PeerId> {
        let stepping = self.stepping.load(Ordering::Relaxed);
        self.elected().filter(|leader| !stepping || *leader != self.me)
    }

    fn elected(&self) -> Option<PeerId> {
        *self.leader.borrow()
    }

    /// Whether this member leads, as far as it knows.
    pub fn is_leader(&self) -> bool {
        self.leader() == Some(self.me)
    }

    /// The members that have acknowledged something since this one began to lead, itself among them; `None` if it does not
    /// lead.
    pub fn heard(&self) -> Option<BTreeSet<PeerId>> {
        if !self.is_leader() {
            return None;
        }
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let acknowledged =
            metrics.replication.iter().flatten().filter(|(_, last)| {
                last.is_some_and(|last| last.leader_id.get_term() == metrics.current_term)
            });
        let others = acknowledged.filter_map(|(id, _)| self.members.get(*id as usize).copied());
        Some(others.chain([self.me]).collect())
    }

    /// Follows [`Log::leader`]. Closed when the log has stopped.
    pub fn changes(&self) -> watch::Receiver<Option<PeerId>> {
        self.leader.clone()
    }

    /// Why the log has stopped by itself (its store failed, the machine panicked), if it has. The process should then end.
    pub fn failure(&self) -> Option<String> {
        let metrics = self.raft.metrics();
        let running = metrics.borrow().running_state.clone();
        match running {
            // A task that panicked says nothing any more.
            Ok(()) if metrics.has_changed().is_err() => Some("its main task died".to_owned()),
            Ok(()) | Err(Fatal::Stopped) => None,
            Err(failure) => Some(failure.to_string()),
        }
    }

    /// Deposes the leader by asking for votes in a new term; nothing happens on the leader itself.
    ///
    /// The others still trust the old leader and refuse, but it learns of the newer term with its next heartbeat
    /// to this member and steps down; then whoever's timeout ends first is elected.
    pub async fn campaign(&self) {
        if let Err(error) = self.raft.trigger().elect().await {
            tracing::warn!(%error, "no election: the log has stopped");
        }
    }

    /// Gives up this member's office: it stays silent as a leader and does not stand for election until another leads, for
    /// [`STEP_BACK`] at most; then it leads on. Whether another leads now. The others elect after their timeouts, as if
    /// this member had died, but it goes on answering them.
    pub async fn step_back(&self) -> bool {
        let other = |leader: &Option<PeerId>| leader.is_some_and(|leader| leader != self.me);
        if self.members.len() < 2 || self.elected() != Some(self.me) {
            return other(&self.elected());
        }
        if self.stepping.swap(true, Ordering::Relaxed) {
            return false;
        }
        let _silent = Silent::new(self);
        let mut leader = self.leader.clone();
        let replaced = tokio::time::timeout(STEP_BACK, leader.wait_for(other)).await;
        matches!(replaced, Ok(Ok(_)))
    }

    /// Answers a call of member `from`, as carried by its [`Peers`].
    ///
    /// # Errors
    /// A refusal to be sent back: not a member, speaking for another member, malformed, beyond a limit, too many calls
    /// at a time, or the log has stopped.
    pub async fn handle(&self, from: PeerId, kind: RaftKind, body: &[u8]) -> Result<Vec<u8>, String> {
        let from = self.members.iter().position(|member| *member == from);
        let from = from.ok_or("not a member of this log")? as u64;
        if body.len() > MAX_CALL_BYTES {
            return Err(format!("a call of {} bytes is over the limit of {MAX_CALL_BYTES}", body.len()));
        }
        let _slot = self.calls.try_acquire().map_err(|_| "too many calls at a time")?;
        match kind {
            RaftKind::Append => {
                let request: AppendEntriesRequest<Types> = decode(body)?;
                speaks_for_itself(from, &request.vote)?;
                check_entries(&request)?;
                Ok(encode(&self.raft.append_entries(request).await.map_err(stopped)?))
            }
            RaftKind::Vote => {
                let request: VoteRequest<u64> = decode(body)?;
                speaks_for_itself(from, &request.vote)?;
                Ok(encode(&self.raft.vote(request).await.map_err(stopped)?))
            }
            RaftKind::Snapshot => {
                let request: InstallSnapshotRequest<Types> = decode(body)?;
                speaks_for_itself(from, &request.vote)?;
                let end = request.offset.saturating_add(request.data.len() as u64);
                if end > MAX_SNAPSHOT_BYTES as u64 {
                    return Err(format!(
                        "a snapshot of {end} bytes is over the limit of {MAX_SNAPSHOT_BYTES}"
                    ));
                }
                let installed: SnapshotAnswer = match self.raft.install_snapshot(request).await {
                    Ok(done) => Ok(done),
                    Err(RaftError::APIError(InstallSnapshotError::SnapshotMismatch(again))) => {
                        Err(again.into())
                    }
                    Err(RaftError::Fatal(error)) => return Err(stopped(error)),
                };
                Ok(encode(&installed))
            }
        }
    }

    /// Stops this member. On return nothing of the log uses the store any more, so that it can be closed and opened again.
    pub async fn shutdown(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "a task of the log panicked");
        }
        self.watcher.abort();
        if let Some(closing) = self.store_in_use.upgrade() {
            closing.store(true, Ordering::Relaxed);
        }
        let let_go = async {
            while self.store_in_use.strong_count() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(LET_GO, let_go).await.is_err() {
            tracing::warn!("a task of the log still uses its store");
        }
    }
}

/// A member that does not show itself as a leader and is no candidate, until this is dropped.
struct Silent<'a>(&'a Log);

impl<'a> Silent<'a> {
    fn new(log: &'a Log) -> Self {
        log.raft.runtime_config().heartbeat(false);
        log.raft.runtime_config().elect(false);
        Self(log)
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        self.0.raft.runtime_config().heartbeat(true);
        self.0.raft.runtime_config().elect(true);
        self.0.stepping.store(false, Ordering::Relaxed);
    }
}

fn check(cfg: &LogConfig) -> Result<u64, LogError> {
    let config = |text: String| Err(LogError::Config(text));
    if cfg.members.len() > MAX_MEMBERS {
        return config(format!("{} members are over the limit of {MAX_MEMBERS}", cfg.members.len()));
    }
    let mut sorted = cfg.members.clone();
    sorted.sort_unstable();
    if let Some([twice, _]) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return config(format!("member {twice} is listed twice"));
    }
    match cfg.members.iter().position(|member| *member == cfg.me) {
        Some(place) => Ok(place as u64),
        None => config(format!("{} is not among the members", cfg.me)),
    }
}

fn raft_config(cfg: &LogConfig) -> Result<Config, LogError> {
    let millis = |duration: Duration| duration.as_millis() as u64;
    let config = Config {
        cluster_name: "zipnet".to_owned(),
        heartbeat_interval: millis(cfg.heartbeat),
        election_timeout_min: millis(cfg.election_min),
        election_timeout_max: millis(cfg.election_max),
        max_payload_entries: APPEND_ENTRIES,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
        max_in_snapshot_log_to_keep: KEEP_ENTRIES,
        snapshot_max_chunk_size: SNAPSHOT_CHUNK_BYTES,
        install_snapshot_timeout: millis(SNAPSHOT_CALL_TIMEOUT),
        ..Config::default()
    };
    config.validate().map_err(|error| LogError::Config(error.to_string()))
}

/// Starts a new log, or refuses one of other members. Whether the log is new.
///
/// The first entry of a log is its members. This writes it as openraft's `initialize` does, but together with the list
/// it comes from, before any call can arrive, and without an election by everybody at once, in which leaders depose
/// each other for seconds.
async fn claim(shared: &Shared, members: &[PeerId]) -> Result<bool, LogError> {
    let configured: Vec<u8> = members.iter().flat_map(|member| member.0).collect();
    let list = |bytes: &[u8]| bytes.chunks(32).map(hex).collect::<Vec<_>>().join(", ");
    match shared.store.get(STATE, b"members")? {
        Some(stored) if stored == configured => Ok(false),
        Some(stored) => Err(LogError::OtherMembers { stored: list(&stored), configured: list(&configured) }),
        None => {
            let ids: BTreeSet<u64> = (0..members.len() as u64).collect();
            let first = EntryPayload::Membership(Membership::new(vec![ids], ()));
            let first = Entry { log_id: LogId::default(), payload: first };
            let mut batch = Batch::new();
            batch.put(STATE, "members", configured);
            batch.put(LOG, first.log_id.index.to_be_bytes(), encode(&first));
            shared.store.commit(batch).await?;
            Ok(true)
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("invariant: writing to a string works");
        text
    })
}

fn watch_leader(
    raft: &Raft<Types>,
    members: Arc<[PeerId]>,
) -> (watch::Receiver<Option<PeerId>>, JoinHandle<()>) {
    let mut metrics = raft.server_metrics();
    let leader = move |id: Option<u64>| id.and_then(|id| members.get(id as usize).copied());
    let (sender, receiver) = watch::channel(leader(metrics.borrow_and_update().current_leader));
    let set = move |now: Option<PeerId>| {
        sender.send_if_modified(|before| std::mem::replace(before, now) != now);
    };
    let watcher = tokio::spawn(async move {
        while metrics.changed().await.is_ok() {
            set(leader(metrics.borrow_and_update().current_leader));
        }
        set(None);
    });
    (receiver, watcher)
}

/// A vote in a request names its sender: no member speaks for another one.
fn speaks_for_itself(from: u64, vote: &Vote) -> Result<(), String> {
    let named = vote.leader_id().voted_for();
    if named == Some(from) { Ok(()) } else { Err(format!("member {from} speaks for member {named:?}")) }
}

/// What the store would refuse must not reach it: a failed write stops the log.
fn check_entries(request: &AppendEntriesRequest<Types>) -> Result<(), String> {
    for entry in &request.entries {
        if let EntryPayload::Normal(Opaque(bytes)) = &entry.payload
            && bytes.len() > MAX_ENTRY_BYTES
        {
            return Err(format!("an entry of {} bytes is over the limit of {MAX_ENTRY_BYTES}", bytes.len()));
        }
    }
    Ok(())
}

fn start(error: impl std::fmt::Display) -> LogError {
    LogError::Start(error.to_string())
}

fn stopped(error: impl std::fmt::Display) -> String {
    format!("the log has stopped: {error}")
}
