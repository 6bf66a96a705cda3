//! The handler behind a server's links: a real server, alone in the world.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::timeout;
use zeroize::Zeroizing;
use zipnet_committee::server::fuzz::Door;
use zipnet_dcnet::register::Pending;
use zipnet_dcnet::signed::{Signed, encode};
use zipnet_dcnet::statement::Policy;
use zipnet_dcnet::wire::{EventsCall, RecordsCall, RegisterCall, RegisterReply, RosterCall};
use zipnet_network::links::Kind;
use zipnet_store::MemStore;

use crate::links::identity;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    runtime: Runtime,
    door: Door,
}

fn running() -> &'static Running {
    static RUNNING: OnceLock<Running> = OnceLock::new();
    RUNNING.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (client, stranger) = (identity(1), identity(2));
        let opened = Door::open(Arc::new(identity(100)), &client, &stranger, Arc::new(MemStore::new()));
        let door = runtime.block_on(opened).unwrap();
        Running { runtime, door }
    })
}

/// One byte says who asks for what, the rest is the request.
pub(crate) fn server(data: &[u8]) {
    let [what, body @ ..] = data else { return };
    let Running { runtime, door } = running();
    let kind = Kind::ALL[usize::from(*what) % Kind::ALL.len()];
    let from = usize::from(*what) / Kind::ALL.len();
    let raft = matches!(kind, Kind::RaftAppend | Kind::RaftVote | Kind::RaftSnapshot);
    if raft && from % 3 == 2 {
        // Members trust each other to keep to Raft; see docs/threat-model.md, limits.
        return;
    }
    let asked = async { timeout(PATIENCE, door.call(from, kind, body.to_vec())).await };
    let answer = runtime.block_on(asked).expect("every request is answered");
    if let Ok(answer) = answer {
        assert!(answer.len() <= kind.max_answer());
        let inside = matches!(kind, Kind::Propose | Kind::RaftAppend | Kind::RaftVote | Kind::RaftSnapshot);
        assert!(!inside || from % 3 == 2, "strangers get nothing into the log");
    }
    assert!(!door.is_down(), "the server ended");
}

pub(crate) fn server_seeds() -> Vec<Vec<u8>> {
    let Running { runtime, door } = running();
    let kinds = Kind::ALL.len();
    let place = |kind: Kind| Kind::ALL.iter().position(|k| *k == kind).unwrap();
    let seed = |from: usize, kind: Kind, body: Vec<u8>| {
        let mut out = vec![(from * kinds + place(kind)) as u8];
        out.extend(body);
        out
    };
    let boot = runtime.block_on(door.call(0, Kind::Register, encode(&RegisterCall::Boot([0; 32])))).unwrap();
    let RegisterReply::Boot(boot, me, _) = borsh::from_slice(&boot).unwrap() else { unreachable!() };
    let (id, random) = (door.descriptor().id(), Zeroizing::new([3; 32]));
    let (_, request) = Pending::new(&identity(1), id, me.peer_id, boot, [4; 32], Vec::new(), &random);
    let policy = Policy { deployment: id, server: me.peer_id, aggregators: vec![identity(9).peer_id()] };
    let entry = zipnet_committee::entry::Entry::Policy(Signed::new(&identity(100), policy));
    let mut out = vec![
        seed(0, Kind::Register, encode(&RegisterCall::Boot([0; 32]))),
        seed(0, Kind::Register, encode(&RegisterCall::Register(Box::new(request)))),
        seed(0, Kind::Quote, Vec::new()),
        seed(0, Kind::Roster, encode(&RosterCall { digest: [0; 32] })),
        seed(1, Kind::Records, encode(&RecordsCall { from: 1, limit: 10 })),
        seed(0, Kind::Events, encode(&EventsCall { roster: [0; 32] })),
        seed(2, Kind::Propose, encode(&entry)),
    ];
    for kind in [Kind::RaftAppend, Kind::RaftVote, Kind::RaftSnapshot, Kind::Status] {
        out.extend((0..3).map(|from| seed(from, kind, vec![1; 24])));
    }
    out
}
