//! Servers that stop and come back (R2, section 7).

use zipnet_committee::state::{RETURN_ROUNDS, Stage};

use crate::net::{Faults, Net};

fn deadline(net: &Net) -> u64 {
    net.descriptor.params.round_deadline_ms.into()
}

/// Whether the round under way or the last record names the server.
fn names(net: &Net, server: usize) -> bool {
    let id = net.id(server);
    let round = net.state().round().map(|r| r.has(&id));
    round.unwrap_or_else(|| net.last().servers.contains(&id))
}

#[test]
fn a_restart_voids_the_vouches_and_clients_register_anew() {
    let mut net = Net::started(1, 3, 8);
    net.rounds(3);
    let before = net.state().next_header(net.descriptor.servers.clone()).1;
    assert_eq!(before.entries().len(), 8);
    let (two, old) = (net.id(2), net.servers[2].core.boot());
    for client in &mut net.clients {
        client.cut_off.push(two);
    }
    net.crash(2);
    net.restart(2);
    assert_ne!(net.servers[2].core.boot(), old);
    net.until("the lapse is in the log", |n| {
        n.state().server(&two).unwrap().boot.is_some_and(|b| b.0 != old)
    });
    let all = net.state().next_header(net.descriptor.servers.clone()).1;
    assert_eq!(all.entries().len(), 0, "suspended: without a vouch of the one that restarted");
    let others = net.state().next_header(vec![net.id(0), net.id(1)]).1;
    assert_eq!(others.entries().len(), 8, "not evicted");
    assert!(net.clients.iter().all(|c| !net.state().registry().is_evicted(&c.session)));
    // The others go on, and it is named when the roster has registered.
    let done = net.finals();
    net.within(2 * deadline(&net), "rounds go on without it", |n| n.finals() > done && !names(n, 2));
    let sessions: Vec<_> = net.clients.iter().map(|c| c.session).collect();
    for client in &mut net.clients {
        client.cut_off.clear();
    }
    net.within(5_000, "it is named again", |n| n.last().servers.len() == 3 && n.finals() > done + 1);
    assert_eq!(net.last().count(), 8);
    assert_eq!(
        sessions,
        net.clients.iter().map(|c| c.session).collect::<Vec<_>>(),
        "the sessions are the same"
    );
    let said = net.published;
    net.rounds(4);
    assert!(net.published > said);
    net.check_replay();
}

#[test]
fn a_server_that_restarted_is_named_at_the_latest_after_ten_rounds_and_the_rest_is_suspended() {
    let mut net = Net::started(2, 3, 8);
    net.rounds(2);
    let two = net.id(2);
    for client in &mut net.clients[4..] {
        client.cut_off.push(two);
    }
    net.crash(2);
    net.run(1_000);
    net.restart(2);
    net.until("it is out of the headers", |n| n.last().servers.len() == 2);
    let back = net.state().server(&two).unwrap().returned;
    net.until("it is in again", |n| n.last().servers.len() == 3);
    assert!(net.finals() >= back + RETURN_ROUNDS, "{} after {back}", net.finals());
    assert!(net.finals() <= back + RETURN_ROUNDS + 3, "{} after {back}", net.finals());
    assert_eq!(net.last().participants.len(), 4, "who is not registered with it is suspended");
    for client in &mut net.clients {
        client.cut_off.clear();
    }
    net.until("all are back", |n| n.last().count() == 8);
}

#[test]
fn a_dead_server_is_out_of_the_header_within_two_deadlines_and_back_when_it_says_so() {
    for (seed, servers) in [(3, 3), (4, 5)] {
        let mut net = Net::started(seed, servers, 6);
        net.rounds(3);
        // Its state is as it was; what is lost are its links.
        let dead = servers as usize - 1;
        net.servers[dead].up = false;
        let from = net.now;
        net.until("a round without it", |n| n.last().servers.len() == dead);
        let took = net.now - from;
        assert!(took <= 2 * deadline(&net) + 3_000, "{took} ms");
        assert!(net.state().server(&net.id(dead)).unwrap().out);
        net.rounds(3);
        assert_eq!(net.last().servers.len(), dead);
        net.servers[dead].up = true;
        let known = net.finals();
        net.until("it is back", |n| n.last().servers.len() == servers as usize);
        assert!(net.finals() <= known + RETURN_ROUNDS + 2);
        let said = net.published;
        net.rounds(3);
        assert!(net.published > said);
    }
}

#[test]
fn all_restart_at_once() {
    for seed in 10..16 {
        let servers = if seed % 2 == 0 { 3 } else { 5 };
        let mut net = Net::started(seed, servers, 7);
        net.rounds(2);
        let pause = net.below(2_500);
        net.run(pause);
        for i in 0..servers as usize {
            net.crash(i);
        }
        net.run(3_000);
        for i in 0..servers as usize {
            net.restart(i);
        }
        let last = net.finals();
        net.within(30_000, "rounds go on", |n| n.finals() > last + 4);
        assert_eq!(net.last().servers.len(), servers as usize);
        assert_eq!(net.last().count(), 7);
        net.check_replay();
    }
}

#[test]
fn a_majority_restarts_at_once() {
    for seed in 20..26 {
        let mut net = Net::started(seed, 3, 7);
        net.rounds(2);
        let pause = net.below(2_500);
        net.run(pause);
        net.crash(0);
        net.crash(1);
        net.run(2_000);
        net.restart(0);
        net.restart(1);
        let last = net.finals();
        net.within(30_000, "rounds go on", |n| n.finals() > last + 4 && n.last().servers.len() == 3);
    }
}

#[test]
fn all_restart_and_most_clients_never_come_back() {
    for seed in 30..34 {
        let mut net = Net::started(seed, 3, 12);
        net.rounds(2);
        for i in 0..3 {
            net.crash(i);
        }
        for client in &mut net.clients[4..] {
            client.up = false;
        }
        net.run(2_000);
        for i in 0..3 {
            net.restart(i);
        }
        let last = net.finals();
        net.within(60_000, "the four go on", |n| n.finals() > last + 2);
        assert_eq!(net.last().count(), 4);
    }
}

#[test]
fn restarts_at_random_moments_under_faults_always_heal() {
    for seed in 0..10 {
        let servers = if seed % 2 == 0 { 3 } else { 5 };
        let mut net = Net::new(1_000 + seed, servers, 6);
        net.faults = Faults { loss: 10, twice: 15, delay: 200 };
        for _ in 0..6 {
            let pause = 500 + net.below(6_000);
            net.run(pause);
            let victim = net.below(servers.into()) as usize;
            net.crash(victim);
            let pause = net.below(4_000);
            net.run(pause);
            net.restart(victim);
        }
        net.faults = Faults { delay: 40, ..Faults::default() };
        let last = net.finals();
        net.within(60_000, "rounds go on", |n| {
            n.finals() > last + 3 && n.last().servers.len() == servers as usize
        });
        net.check_replay();
    }
}

#[test]
fn whoever_dies_whenever_is_out_within_two_deadlines_and_back_within_ten_rounds_with_all_its_clients() {
    for (seed, servers) in [(40, 3), (41, 5)] {
        for dead in [0, servers as usize - 1] {
            for stage in [
                None,
                Some(Stage::Signing),
                Some(Stage::Folding),
                Some(Stage::Committing),
                Some(Stage::Revealing),
            ] {
                let mut net = Net::started(seed, servers, 6);
                net.rounds(3);
                let sessions: Vec<_> = net.clients.iter().map(|c| c.session).collect();
                net.until("the moment has come", |n| n.stage() == stage);
                let from = net.now;
                net.crash(dead);
                let without = |n: &Net| n.state().round().is_some_and(|r| !r.has(&n.id(dead)));
                net.until("a header without it", without);
                let took = net.now - from;
                // A follower's death shows at the deadline of the round under way and of the one after; a leader's
                // costs the election on top.
                let election = if dead == 0 { 3_000 } else { 0 };
                assert!(took <= 2 * deadline(&net) + election, "{dead} at {stage:?}: {took} ms");
                net.rounds(2);
                net.restart(dead);
                let back = net.state().opened();
                net.until("a record with it", |n| n.last().servers.len() == servers as usize);
                assert!(
                    net.finals() <= back + RETURN_ROUNDS,
                    "{dead} at {stage:?}: {} after {back}",
                    net.finals()
                );
                net.until("all its clients registered anew", |n| n.last().count() == 6);
                assert!(net.finals() <= back + RETURN_ROUNDS);
                let same: Vec<_> = net.clients.iter().map(|c| c.session).collect();
                assert_eq!(sessions, same, "{dead} at {stage:?}: nobody had to start anew");
                let said = net.published;
                net.rounds(3);
                assert!(net.published > said);
            }
        }
    }
}
