//! A leader, an aggregator or a server that lies.

use zipnet_committee::core::{Action, Core, Marks};
use zipnet_committee::entry::Entry;
use zipnet_committee::state::{Stage, State};
use zipnet_dcnet::signed::Signed;
use zipnet_dcnet::statement::{Policy, Vouch};

use crate::net::{Net, identity};

fn proposals(core: &mut Core, now: u64, state: &State) -> Vec<Entry> {
    let entries = core.react(now, state, 1, None).into_iter();
    entries.filter_map(|a| if let Action::Propose(entry) = a { Some(entry) } else { None }).collect()
}

#[test]
fn old_statements_replayed_by_a_server_change_no_round() {
    let mut net = Net::started(1, 3, 6);
    net.rounds(3);
    let old: Vec<Entry> = net.log.iter().map(|(_, e)| e.clone()).collect();
    let (from, said) = (net.finals(), net.published);
    for entry in old {
        net.inject(entry);
        net.run(75);
    }
    net.until("three more rounds are final", |n| n.finals() >= from + 3);
    assert!(net.published > said);
    assert_eq!(net.abandoned(), Vec::<u64>::new());
    assert_eq!(net.last().count(), 6);
}

#[test]
fn one_server_cannot_evict_a_session_that_all_vouch_for() {
    let mut net = Net::started(2, 3, 6);
    net.rounds(2);
    let session = net.clients[0].session;
    for n in 0..10 {
        let s = &net.servers[2];
        let vouch = Vouch {
            deployment: net.descriptor.id(),
            server: s.identity.peer_id(),
            boot: s.core.boot(),
            client: net.clients[0].identity.client_bundle(),
            session: [n + 1; 32],
            digest: [n; 32],
        };
        let entry = Entry::Vouch(Box::new(Signed::new(&s.identity, vouch)));
        net.inject(entry);
    }
    net.rounds(3);
    assert!(!net.state().registry().is_evicted(&session));
    assert_eq!(net.last().count(), 6);
    assert_eq!(net.abandoned(), Vec::<u64>::new());
}

#[test]
fn a_client_has_two_sessions_at_most_whoever_vouches() {
    let net = Net::started(3, 3, 4);
    let mut state = net.state().clone();
    let s = &net.servers[2];
    let size = borsh::to_vec(&state).unwrap().len();
    let mut session = [0; 32];
    for n in 0..300_u32 {
        session[..4].copy_from_slice(&(n + 1).to_le_bytes());
        let vouch = Vouch {
            deployment: net.descriptor.id(),
            server: s.identity.peer_id(),
            boot: s.core.boot(),
            client: net.clients[0].identity.client_bundle(),
            session,
            digest: [0; 32],
        };
        state.apply(&Entry::Vouch(Box::new(Signed::new(&s.identity, vouch)))).unwrap();
    }
    // Two sessions of the client at most, and 64 bytes for each that left.
    let grown = borsh::to_vec(&state).unwrap().len() - size;
    assert!(grown < 300 * 64 + 1_000, "{grown}");
}

#[test]
fn a_server_signs_no_header_with_an_aggregator_it_does_not_trust() {
    let mut net = Net::started(4, 3, 6);
    net.rounds(1);
    net.hold = Some(Box::new(|e| matches!(e, Entry::Policy(_) | Entry::HeaderSignature(_))));
    net.until("between rounds", |n| n.state().round().is_none());
    let evil = identity(&mut net.rng);
    let mut list = vec![net.aggregators[0].peer_id(), evil.peer_id()];
    list.sort();
    // Old policies, signed when it was still trusted, replayed right before an opening.
    let mut state = net.state().clone();
    for s in &net.servers {
        let body = Policy {
            deployment: net.descriptor.id(),
            server: s.identity.peer_id(),
            aggregators: list.clone(),
        };
        state.apply(&Entry::Policy(Signed::new(&s.identity, body))).unwrap();
    }
    let (header, _) = state.next_header(net.descriptor.servers.clone());
    assert_eq!(header.aggregators, list);
    state.apply(&Entry::Open(header)).unwrap();
    let now = net.now + 10_000;
    let said = proposals(&mut net.servers[1].core, now, &state);
    assert!(said.iter().any(|e| matches!(e, Entry::Policy(_))), "it says again what it trusts");
    assert!(!said.iter().any(|e| matches!(e, Entry::HeaderSignature(_))));
}

#[test]
fn nothing_is_computed_after_the_deadline_even_if_nobody_gives_the_round_up() {
    for doomed in [false, true] {
        let mut net = Net::started(5, 3, 6);
        net.rounds(2);
        let round = net.freeze(Stage::Folding);
        let Some(Entry::Fold { parts, .. }) = net.held.first().cloned() else { panic!("no fold") };
        net.hold = Some(Box::new(|_| true));
        if doomed {
            net.inject(Entry::Fold { round, parts: Vec::new() });
        }
        let deadline = u64::from(net.descriptor.params.round_deadline_ms);
        net.run(deadline + 200);
        // The fold arrives after all; every chain is past the round.
        let mut state = if doomed { undoomed(&net) } else { net.state().clone() };
        state.apply(&Entry::Fold { round, parts }).unwrap();
        for s in &mut net.servers {
            let said = proposals(&mut s.core, net.now + 5_000, &state);
            assert!(!said.iter().any(|e| matches!(e, Entry::Commitment(_))), "doomed: {doomed}");
        }
    }
}

/// The state without the refused fold that doomed its round.
fn undoomed(net: &Net) -> State {
    let mut state = State::new(net.descriptor.clone());
    for (_, entry) in &net.log {
        if !matches!(entry, Entry::Fold { parts, .. } if parts.is_empty()) {
            let _ = state.apply(entry);
        }
    }
    state
}

#[test]
fn a_server_computes_for_one_fold_of_a_round_only() {
    let mut net = Net::started(6, 3, 6);
    net.rounds(2);
    let round = net.freeze(Stage::Folding);
    let Some(Entry::Fold { parts, .. }) = net.held.first().cloned() else { panic!("no fold") };
    let open = net.state().clone();
    let mut one = open.clone();
    one.apply(&Entry::Fold { round, parts: parts.clone() }).unwrap();
    // A leader that shows another follower, or the same one after a rollback, another fold of the round.
    let mut other = open;
    let header = other.round().unwrap().header.clone();
    let mut body = parts[0].trusted().clone();
    body.vector[0] ^= 1;
    let body = Signed::new(&net.aggregators[0], body);
    other.apply(&Entry::Fold { round, parts: vec![body] }).unwrap();
    assert_eq!(header.round, round);
    let core = &mut net.servers[1].core;
    let first = proposals(core, net.now + 2_000, &one);
    assert_eq!(first.iter().filter(|e| matches!(e, Entry::Commitment(_))).count(), 1);
    let second = proposals(core, net.now + 4_000, &other);
    assert!(!second.iter().any(|e| matches!(e, Entry::Commitment(_) | Entry::Partial(_))));
    let again = proposals(core, net.now + 6_000, &one);
    let commitments = |list: &[Entry]| list.iter().find(|e| matches!(e, Entry::Commitment(_))).cloned();
    assert_eq!(commitments(&first), commitments(&again), "the cached one");
}

#[test]
fn a_disk_that_lost_its_marks_still_takes_no_pad_twice() {
    // Rolled back to nothing: the chains are gone with the memory, so there is nothing to take pads from.
    let mut net = Net::started(7, 3, 6);
    net.rounds(2);
    let round = net.freeze(Stage::Committing);
    let state = net.state().clone();
    let s = &mut net.servers[1];
    s.core = Core::new(
        s.identity.clone(),
        s.aggregators.clone(),
        Marks::default(),
        &zeroize::Zeroizing::new([5; 32]),
    );
    let said = proposals(&mut s.core, net.now + 2_000, &state);
    assert!(matches!(said.as_slice(), [Entry::Lapse(_)]), "{said:?}");
    assert_eq!(state.opened(), round);
}
