//! Who is in the roster: silence, new sessions, eviction (R2, R9, section 1).

use zipnet_dcnet::params::Params;

use crate::net::{Net, params};

fn impatient(seed: u64, clients: usize) -> Net {
    let mut net = Net::with(seed, 3, clients, Params { absence_limit: 4, ..params(3) });
    net.until("round 3 is final", |n| n.finals() >= 3);
    net
}

#[test]
fn a_silent_session_leaves_after_absence_limit_rounds_and_never_returns() {
    let mut net = impatient(1, 8);
    let session = net.clients[7].session;
    net.omit.insert(7);
    let from = net.finals();
    net.until("it is evicted", |n| n.state().registry().is_evicted(&session));
    // The round under way may have had its envelope already.
    assert!((from + 4..=from + 5).contains(&net.finals()), "{} after {from}", net.finals());
    assert_eq!(net.state().registry().roster(&net.descriptor.servers).entries().len(), 7);
    // It sees that it is not listed, and starts a new session; the old one stays out whoever vouches for it.
    net.omit.clear();
    net.until("it is back under a new session", |n| n.last().count() == 8);
    assert_ne!(net.clients[7].session, session);
    assert!(net.state().registry().is_evicted(&session));
}

#[test]
fn an_absence_that_ends_in_time_evicts_nobody() {
    let mut net = impatient(2, 8);
    for _ in 0..3 {
        net.omit.insert(7);
        net.rounds(3);
        net.omit.clear();
        net.rounds(2);
    }
    assert!(!net.state().registry().is_evicted(&net.clients[7].session));
    assert_eq!(net.last().count(), 8);
}

#[test]
fn a_new_session_of_the_same_client_takes_over_and_counts_as_present() {
    let mut net = impatient(3, 8);
    let old = net.clients[2].session;
    net.new_session(2);
    let new = net.clients[2].session;
    let from = net.finals();
    net.until("it takes part", |n| {
        let entry = n.state().last_roster().index(&n.clients[2].id());
        let at = |i: u32| n.state().last_roster().entries()[i as usize].session;
        entry.map(at) == Some(new) && n.finals() > from + 1 && n.last().count() == 8
    });
    assert_eq!(net.abandoned(), Vec::<u64>::new(), "R9 counts it as present, one absence is slack");
    assert!(net.state().registry().is_evicted(&old));
    assert_eq!(net.state().registry().len(), 8);
}

#[test]
fn all_clients_restart_at_once() {
    let mut net = impatient(4, 8);
    for i in 0..8 {
        net.new_session(i);
    }
    let last = net.finals();
    net.within(10_000, "they go on", |n| n.finals() > last + 1 && n.last().count() == 8);
}

#[test]
fn a_client_that_registers_session_after_session_stops_nobody() {
    let mut net = impatient(5, 6);
    let from = net.finals();
    while net.finals() < from + 6 {
        // Many starts within a round, one of them often with all servers.
        let pause = 100 + net.below(400);
        net.run(pause);
        net.new_session(0);
        assert!(net.now < 60_000, "rounds stop: {:?}", net.abandoned());
    }
    assert_eq!(net.state().registry().len(), 6);
    assert!(net.servers.iter().all(|s| !s.state.server(&s.identity.peer_id()).unwrap().out));
}

#[test]
fn a_takeover_in_the_middle_of_a_round_does_not_take_its_chain_away() {
    let mut net = impatient(6, 6);
    let round = net.freeze(zipnet_committee::state::Stage::Folding);
    // Its envelope is in. Two more sessions replace the one it was sealed with.
    for _ in 0..2 {
        net.new_session(0);
        net.run(400);
    }
    net.release();
    net.within(2_000, "the round is final", |n| n.finals() >= round);
    assert_eq!(net.last().count(), 6);
    assert_eq!(net.abandoned(), Vec::<u64>::new());
}

#[test]
fn who_never_gets_into_a_roster_is_forgotten() {
    let mut net = impatient(7, 7);
    let two = net.id(2);
    net.clients[6].cut_off.push(two);
    net.new_session(6);
    net.run(1_000);
    net.clients[6].up = false;
    assert_eq!(net.state().registry().len(), 7);
    net.rounds(10);
    net.until("only the six are known", |n| n.state().registry().len() == 6);
}
