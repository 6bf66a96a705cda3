//! Members, the calls between them, and the cutting of both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use zipnet_dcnet::ids::PeerId;
use zipnet_store::{MemStore, Store};

use crate::raft::{Log, LogConfig, LogError, Machine, Peers, RaftKind};

/// Far more than anything here takes; only a hanging test meets it.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

pub(super) type Entries = Vec<(u64, Vec<u8>)>;

pub(super) fn id(number: usize) -> PeerId {
    PeerId([number as u8; 32])
}

/// Waits for a condition.
pub(super) async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

#[derive(Default)]
struct Wires {
    logs: BTreeMap<PeerId, Arc<Log>>,
    cut: BTreeSet<PeerId>,
    last: BTreeMap<u8, (PeerId, PeerId, Vec<u8>)>,
    longest: usize,
    calls: BTreeMap<u8, u64>,
}

#[derive(Default)]
pub(super) struct Hub {
    wires: Mutex<Wires>,
}

impl Hub {
    pub(super) fn cut(&self, number: usize) {
        self.wires.lock().unwrap().cut.insert(id(number));
    }

    pub(super) fn heal(&self, number: usize) {
        self.wires.lock().unwrap().cut.remove(&id(number));
    }

    /// The last call of a kind that arrived: from, to, body.
    pub(super) fn last_call(&self, kind: RaftKind) -> (PeerId, PeerId, Vec<u8>) {
        self.wires.lock().unwrap().last[&(kind as u8)].clone()
    }

    pub(super) fn calls(&self, kind: RaftKind) -> u64 {
        self.wires.lock().unwrap().calls.get(&(kind as u8)).copied().unwrap_or(0)
    }

    /// Length of the longest body so far.
    pub(super) fn longest(&self) -> usize {
        self.wires.lock().unwrap().longest
    }
}

struct Wire {
    hub: Arc<Hub>,
    from: PeerId,
}

impl Peers for Wire {
    fn call(
        &self,
        to: PeerId,
        kind: RaftKind,
        body: Vec<u8>,
        _timeout: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        let log = {
            let mut wires = self.hub.wires.lock().unwrap();
            let cut = wires.cut.contains(&self.from) || wires.cut.contains(&to);
            let log = wires.logs.get(&to).filter(|_| !cut).cloned();
            if log.is_some() {
                wires.longest = wires.longest.max(body.len());
                *wires.calls.entry(kind as u8).or_default() += 1;
                wires.last.insert(kind as u8, (self.from, to, body.clone()));
            }
            log
        };
        async move {
            let log = log.ok_or("no way there")?;
            log.handle(self.from, kind, &body).await
        }
        .boxed()
    }
}

/// Remembers everything, twice: in the snapshot that it makes, and where the test can see it.
struct Memory(Arc<Mutex<Entries>>);

impl Machine for Memory {
    fn apply(&mut self, index: u64, entry: &[u8]) {
        let mut entries = self.0.lock().unwrap();
        assert!(entries.last().is_none_or(|(last, _)| *last < index), "applied twice or backwards");
        entries.push((index, entry.to_vec()));
    }

    fn snapshot(&self) -> Vec<u8> {
        borsh::to_vec(&*self.0.lock().unwrap()).unwrap()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        *self.0.lock().unwrap() = borsh::from_slice(snapshot).map_err(|error| error.to_string())?;
        Ok(())
    }
}

pub(super) struct Member {
    pub(super) number: usize,
    pub(super) store: Arc<MemStore>,
    log: Option<Arc<Log>>,
    entries: Arc<Mutex<Entries>>,
}

impl Member {
    pub(super) fn log(&self) -> &Log {
        self.log.as_ref().expect("this member was killed")
    }

    pub(super) fn applied(&self) -> Entries {
        self.entries.lock().unwrap().clone()
    }
}

pub(super) struct Cluster {
    pub(super) hub: Arc<Hub>,
    pub(super) members: Vec<Member>,
}

impl Cluster {
    pub(super) async fn start(size: usize) -> Cluster {
        let mut cluster = Cluster { hub: Arc::default(), members: Vec::new() };
        for number in 0..size {
            let store = Arc::new(MemStore::new());
            cluster.members.push(Member { number, store, log: None, entries: Arc::default() });
        }
        for number in 0..size {
            cluster.open(number).await;
        }
        cluster
    }

    async fn open(&mut self, number: usize) {
        let members = (0..self.members.len()).map(id).collect();
        let member = &mut self.members[number];
        member.entries = Arc::default();
        let log =
            open(&self.hub, number, members, member.store.clone(), member.entries.clone()).await.unwrap();
        let log = Arc::new(log);
        member.log = Some(log.clone());
        self.hub.wires.lock().unwrap().logs.insert(id(number), log);
    }

    /// Ends a member as SIGKILL does: from now on nothing of it is heard, and only what was synced stays.
    pub(super) async fn kill(&mut self, number: usize) {
        let log = self.hub.wires.lock().unwrap().logs.remove(&id(number)).unwrap();
        self.members[number].store = Arc::new(self.members[number].store.crash());
        self.members[number].log = None;
        log.shutdown().await;
    }

    pub(super) async fn restart(&mut self, number: usize) {
        self.open(number).await;
    }

    /// The leader among the members alive and not cut off, once there is one.
    pub(super) async fn leader(&self) -> &Member {
        let leads = |member: &&Member| {
            !self.hub.wires.lock().unwrap().cut.contains(&id(member.number))
                && member.log.as_ref().is_some_and(|log| log.is_leader())
        };
        let found = std::cell::Cell::new(None);
        until("there is a leader", || {
            found.set(self.members.iter().find(leads));
            found.get().is_some()
        })
        .await;
        found.get().expect("just found")
    }

    /// Proposes until the entry is in, whoever leads meanwhile, as all callers of the log do. It may get in twice.
    pub(super) async fn propose(&self, entry: &[u8]) {
        let propose = async {
            while self.leader().await.log().propose(entry.to_vec()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, propose).await.expect("the entry was never committed");
    }

    /// Proposes `last`, waits until all living members have applied it and are the same, and returns what they have
    /// applied up to the first `last`, without it and without entries that got in twice.
    pub(super) async fn agree_on(&self, last: &[u8]) -> Vec<Vec<u8>> {
        self.propose(last).await;
        let alive = || self.members.iter().filter(|member| member.log.is_some());
        until("all members are the same", || {
            let first = alive().next().expect("a member lives").applied();
            first.iter().any(|(_, entry)| entry == last) && alive().all(|member| member.applied() == first)
        })
        .await;
        let mut seen = BTreeSet::new();
        let entries = self.members.iter().find(|m| m.log.is_some()).expect("a member lives").applied();
        let until_last = entries.into_iter().map(|(_, entry)| entry).take_while(|entry| entry != last);
        until_last.filter(|entry| seen.insert(entry.clone())).collect()
    }
}

pub(super) async fn open(
    hub: &Arc<Hub>,
    number: usize,
    members: Vec<PeerId>,
    store: Arc<dyn Store>,
    entries: Arc<Mutex<Entries>>,
) -> Result<Log, LogError> {
    let cfg = LogConfig {
        heartbeat: Duration::from_millis(100),
        election_min: Duration::from_millis(300),
        election_max: Duration::from_millis(600),
        propose_timeout: Duration::from_secs(2),
        ..LogConfig::new(id(number), members, Duration::from_secs(8))
    };
    let wire = Arc::new(Wire { hub: hub.clone(), from: id(number) });
    Log::open(cfg, store, Box::new(Memory(entries)), wire).await
}

/// Opens member 0 of `members` on a new store.
pub(super) async fn open_with(members: Vec<PeerId>) -> Result<Log, LogError> {
    open(&Arc::default(), 0, members, Arc::new(MemStore::new()), Arc::default()).await
}
