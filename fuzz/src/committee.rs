//! The committee's log: entries from other servers, registrations, and a state that another server hands over.

use std::cell::{LazyCell, RefCell};
use std::sync::Arc;

use borsh::BorshDeserialize;
use zeroize::Zeroizing;
use zipnet_committee::core::{Action, Core, Marks, Open};
use zipnet_committee::entry::Entry;
use zipnet_committee::state::State;
use zipnet_dcnet::aggregate::{Aggregate, Fold};
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::register::{Pending, Request};
use zipnet_dcnet::signed::{Signed, encode};

use crate::links::identity;

const CLIENTS: u8 = 4;
/// Final rounds in the honest log.
const ROUNDS: u64 = 3;

/// An honest log, and the states on the way: before each entry.
struct Honest {
    descriptor: Descriptor,
    log: Vec<Entry>,
    states: Vec<State>,
    requests: Vec<Signed<Request>>,
}

thread_local! {
    static HONEST: LazyCell<Honest> = const { LazyCell::new(honest) };
}

fn core(n: u8, aggregator: &Identity) -> Core {
    let policy = vec![aggregator.peer_id()];
    Core::new(Arc::new(identity(n)), policy, Marks::default(), &Zeroizing::new([n; 32]))
}

/// Three servers, four clients who only register, and an aggregator that folds zeros.
fn honest() -> Honest {
    let aggregator = identity(50);
    let mut cores: Vec<Core> = (100..103).map(|n| core(n, &aggregator)).collect();
    let params = Params { slots: 2, slot_bytes: 17, cells: 6, ..Params::dev(3) };
    let descriptor = Descriptor::new("test", params, cores.iter().map(Core::me).collect()).unwrap();
    let mut state = State::new(descriptor.clone());
    let (mut log, mut states, mut requests) = (Vec::new(), Vec::new(), Vec::new());
    let all = cores.iter().map(Core::me).collect();
    let mut now = 0;
    let (mut lost, mut registered) = (false, [false; 3]);
    while state.last().is_none_or(|last| last.round < ROUNDS) {
        now += 100;
        assert!(now < 200_000, "the honest log stands still");
        for (i, core) in cores.iter_mut().enumerate() {
            let ready = state.server(&core.me()).is_some_and(|s| s.boot.is_some());
            let clients = if ready && !std::mem::replace(&mut registered[i], ready) { CLIENTS } else { 0 };
            for client in 0..clients {
                let random = Zeroizing::new([client + 1; 32]);
                let (id, session) = (state.deployment(), [client; 32]);
                let (_, request) =
                    Pending::new(&identity(client), id, core.me(), core.boot(), session, Vec::new(), &random);
                core.register(now, &state, &Open, &request).unwrap();
                requests.push(request);
            }
            for action in core.react(now, &state, log.len() as u64, (i == 0).then_some(&all)) {
                match action {
                    // One round is given up: its partials are lost.
                    Action::Propose(Entry::Partial(_)) if state.opened() == 2 => lost = true,
                    Action::Propose(entry) => {
                        states.push(state.clone());
                        let _ = state.apply(&entry);
                        log.push(entry);
                    }
                    Action::Collect { header, digest, .. } => {
                        let mut fold = Fold::new(&descriptor.params, &header);
                        (0..header.roster_len).for_each(|i| fold.participants.set(i));
                        let part = Aggregate {
                            deployment: header.deployment,
                            round: header.round,
                            header_digest: digest,
                            aggregator: aggregator.peer_id(),
                            participants: fold.participants,
                            vector: fold.vector,
                        };
                        core.collected(digest, vec![Signed::new(&aggregator, part)]);
                    }
                    Action::Mark(_) | Action::Campaign | Action::StepBack | Action::Forgot => {}
                }
            }
        }
    }
    assert!(lost);
    states.push(state);
    Honest { descriptor, log, states, requests }
}

/// Two bytes say after how many honest entries, the rest are entries one after the other. What is refused changes nothing,
/// and the state goes on as before.
pub(crate) fn entries(data: &[u8]) {
    let [low, high, rest @ ..] = data else { return };
    HONEST.with(|honest| {
        let at = usize::from(u16::from_le_bytes([*low, *high])) % honest.states.len();
        let mut state = honest.states[at].clone();
        let (mut rest, mut said) = (rest, state.opened());
        while let Ok(entry) = Entry::deserialize(&mut rest) {
            said += 1;
            let before = encode(&state);
            match state.apply(&entry) {
                Err(refused) if !matches!(entry, Entry::Fold { .. }) => {
                    assert!(encode(&state) == before, "a refused entry changed the state: {refused}");
                }
                Ok(()) | Err(_) => {}
            }
        }
        assert!(state.opened() <= said, "more rounds are open than were opened");
        look_at(&state);
    });
}

/// What servers ask of a state, and that it survives a snapshot.
fn look_at(state: &State) {
    let (header, roster) = state.next_header(state.up());
    assert_eq!(header.roster, roster.digest());
    let _ = (state.eligible(), state.check_open(&header).is_ok());
    let copy = borsh::from_slice::<State>(&encode(state)).unwrap();
    assert!(copy == *state && copy.check(state.descriptor()) == Ok(()), "a snapshot is the state");
}

pub(crate) fn entries_seeds() -> Vec<Vec<u8>> {
    HONEST.with(|honest| {
        let seed = |(at, entry)| {
            let mut out = (at as u16).to_le_bytes().to_vec();
            out.extend_from_slice(&encode::<Entry>(entry));
            out
        };
        let mut out: Vec<Vec<u8>> = honest.log.iter().enumerate().map(seed).collect();
        let mut all = vec![0, 0];
        all.extend(honest.log.iter().flat_map(encode));
        out.push(all);
        out
    })
}

/// A state that a leader hands over to a server that was away. It is taken if it is one; whatever it says then, the server
/// goes on with it.
pub(crate) fn snapshot(data: &[u8]) {
    thread_local! {
        static CORE: RefCell<Option<Core>> = const { RefCell::new(None) };
    }
    let Ok(mut state) = borsh::from_slice::<State>(data) else { return };
    HONEST.with(|honest| {
        if state.check(&honest.descriptor).is_err() {
            return;
        }
        CORE.with_borrow_mut(|server| {
            let server = server.get_or_insert_with(|| core(100, &identity(50)));
            let all = honest.descriptor.servers.iter().copied().collect();
            for heard in [Some(&all), None] {
                let _ = server.react(1_000, &state, 1, heard);
            }
        });
        for entry in &honest.log {
            let _ = state.apply(entry);
        }
    });
}

pub(crate) fn snapshot_seeds() -> Vec<Vec<u8>> {
    HONEST.with(|honest| honest.states.iter().step_by(7).map(encode).collect())
}

/// A registration, at a server that has just started and at one that knows the session.
pub(crate) fn register(data: &[u8]) {
    HONEST.with(|honest| {
        let Ok(request) = borsh::from_slice::<Signed<Request>>(data) else { return };
        let mut core = core(100, &identity(50));
        let state = honest.states.last().unwrap();
        for seed in honest.requests.iter().take(1) {
            let _ = core.register(1, state, &Open, seed);
        }
        let first = core.register(2, state, &Open, &request);
        let again = core.register(3, state, &Open, &request);
        assert_eq!(first.is_ok(), again.is_ok(), "the same request gets the same answer");
        if let Ok(answer) = first {
            assert_eq!(answer, again.unwrap());
            assert_eq!(answer.trusted().deployment, honest.descriptor.id());
            assert!(request.verify().is_ok(), "nobody is registered by another one's signature");
        }
    });
}

pub(crate) fn register_seeds() -> Vec<Vec<u8>> {
    HONEST.with(|honest| honest.requests.iter().map(encode).collect())
}
