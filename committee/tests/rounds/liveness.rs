//! What must not stop the rounds.

use zipnet_committee::entry::Entry;

use crate::net::{Net, identity};

#[test]
fn a_server_that_no_client_reaches_does_not_stop_the_others() {
    // From the start.
    let mut net = Net::new(1, 3, 6);
    let two = net.id(2);
    for client in &mut net.clients {
        client.cut_off.push(two);
    }
    net.within(30_000, "two servers go on", |n| n.finals() >= 3);
    assert_eq!(net.last().servers.len(), 2);
    for client in &mut net.clients {
        client.cut_off.clear();
    }
    net.until("all three", |n| n.last().servers.len() == 3 && n.last().count() == 6);
    // And after a restart, beyond the ten rounds.
    for client in &mut net.clients {
        client.cut_off.push(two);
    }
    net.crash(2);
    net.restart(2);
    let last = net.finals();
    net.within(60_000, "two servers go on and on", |n| n.finals() >= last + 20);
}

#[test]
fn a_server_whose_policy_shares_no_aggregator_does_not_stop_the_others() {
    let mut net = Net::new(2, 3, 6);
    let another = identity(&mut net.rng);
    net.aggregators.push(another.into());
    crate::headers::policies(&mut net, |i| if i == 1 { vec![1] } else { vec![0] });
    net.within(30_000, "two servers go on", |n| n.finals() >= 3);
    assert_eq!(net.last().servers, [net.id(0), net.id(2)]);
}

#[test]
fn a_collection_that_brings_nothing_is_repeated() {
    let mut net = Net::started(3, 3, 6);
    net.rounds(2);
    net.fail_collects = 2;
    let last = net.finals();
    net.within(5_000, "the round is final", |n| n.finals() > last);
    assert_eq!(net.fail_collects, 0);
    assert_eq!(net.abandoned(), Vec::<u64>::new());
}

#[test]
fn a_collection_that_always_fails_is_not_repeated_in_a_loop() {
    let mut net = Net::started(4, 3, 6);
    net.rounds(2);
    net.fail_collects = 1_000;
    let from = net.state().opened();
    net.within(20_000, "three rounds are given up", |n| n.state().opened() >= from + 3);
    let collects = 1_000 - net.fail_collects;
    assert!(collects <= 20, "{collects} collections");
}

#[test]
fn rounds_open_while_clients_register_without_pause() {
    let mut net = Net::started(5, 3, 6);
    net.rounds(2);
    let from = net.state().opened();
    let start = net.now;
    while net.now < start + 15_000 {
        // Twenty newcomers a second, each vouched for by three servers.
        if net.now.is_multiple_of(50) {
            net.newcomer();
        }
        net.tick();
    }
    let opened = net.state().opened() - from;
    assert!(opened >= 12, "{opened} rounds in 15 periods");
    let refused = net.refusals().filter(|(e, _)| matches!(e, Entry::Open(_))).count();
    assert!(refused <= 5, "{refused} headers were overtaken by vouches");
}

#[test]
fn a_registration_outlives_an_outage_of_the_log() {
    let mut net = Net::started(6, 3, 6);
    net.rounds(2);
    // No entry gets into the log for five minutes, in which a client comes.
    net.hold = Some(Box::new(|_| true));
    net.newcomer();
    net.run(300_000);
    net.held.clear();
    net.hold = None;
    net.within(20_000, "it takes part", |n| n.last().count() == 7);
}

#[test]
fn a_server_that_lags_moves_on_past_what_it_missed() {
    let mut net = Net::started(7, 3, 6);
    net.rounds(2);
    // Two is behind by more than a round; the others abandon, and it catches up in one go.
    net.servers[2].lag = 100_000;
    net.run(20_000);
    net.servers[2].lag = 0;
    let last = net.finals();
    net.within(15_000, "all three", |n| n.finals() > last && n.last().servers.len() == 3);
}

#[test]
fn the_log_and_the_state_stay_small_while_nothing_can_happen() {
    let mut net = Net::new(8, 3, 2);
    net.run(5_000);
    let (log, state) = (net.log.len(), borsh::to_vec(net.state()).unwrap().len());
    net.run(60_000);
    assert_eq!(net.log.len(), log, "too few clients: nothing to log");
    assert_eq!(borsh::to_vec(net.state()).unwrap().len(), state);
}

#[test]
fn the_state_does_not_grow_with_the_rounds() {
    let mut net = Net::started(9, 3, 4);
    net.until("70 rounds", |n| n.finals() >= 70);
    let size = |net: &Net| {
        let mut state = net.state().clone();
        // Between rounds.
        if let Some(round) = state.round().map(|r| r.header.round) {
            state.apply(&Entry::Abandon { round }).unwrap();
        }
        borsh::to_vec(&state).unwrap().len()
    };
    let before = size(&net);
    net.until("140 rounds", |n| n.finals() >= 140);
    assert!(size(&net) <= before + before / 10, "{} after {before}", size(&net));
    assert!(net.state().recent().len() <= zipnet_committee::state::RECENT);
}
