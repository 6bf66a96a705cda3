//! Rounds as they should be.

use zipnet_committee::state::Stage;
use zipnet_dcnet::wire::Ended;

use crate::net::{Faults, Net};

#[test]
fn what_is_reserved_in_a_round_comes_out_in_the_next_exactly_as_said() {
    for (seed, servers, clients) in [(1, 3, 6), (2, 5, 6), (3, 3, 17)] {
        let mut net = Net::new(seed, servers, clients);
        net.until("round 20 is final", |n| n.finals() >= 20);
        assert_eq!(net.abandoned(), Vec::<u64>::new(), "seed {seed}");
        // Two rounds at the start without messages; K = 16 slots; now and then somebody's token is hit.
        let (full, said) = (18 * clients.min(16), net.published);
        assert!(said <= full && said * 100 >= full * 95, "seed {seed}: {said} of {full}");
        net.check_replay();
    }
}

#[test]
fn rounds_open_one_period_apart_and_only_one_is_open() {
    let mut net = Net::started(4, 3, 5);
    let (first, from) = (net.state().opened(), net.now);
    net.run(20_000);
    let opened = net.state().opened() - first;
    assert!((18..=20).contains(&opened), "{opened} rounds in 20 periods from {from}");
}

#[test]
fn the_first_round_is_quiet_and_stands_on_the_deployment() {
    let mut net = Net::new(5, 3, 5);
    net.until("a round is under way", |n| n.state().round().is_some());
    let round = net.state().round().unwrap();
    assert!(round.quiet);
    assert_eq!(round.owned, 0);
    assert_eq!(round.header.prev, net.descriptor.id().0);
    net.until("round 1 is final", |n| n.finals() == 1);
    assert_eq!(net.last().reservations, Vec::<u32>::new());
    net.until("round 2 is under way", |n| n.state().opened() == 2);
    assert!(!net.state().round().unwrap().quiet);
    assert_eq!(net.state().round().unwrap().header.prev, net.last().digest());
}

#[test]
fn every_record_gets_the_signatures_of_all_its_servers_and_the_chain_holds() {
    let mut net = Net::started(6, 5, 5);
    net.rounds(9);
    net.run(500);
    let mut prev = net.descriptor.id().0;
    for ended in net.state().recent().values() {
        let Ended::Final(signed) = ended else { panic!("abandoned") };
        let (digest, all) = signed.verify(&net.descriptor, &net.descriptor.id()).unwrap();
        assert_eq!(signed.record.prev, prev);
        assert!(all || signed.record.round == net.finals(), "round {}", signed.record.round);
        prev = digest;
    }
}

#[test]
fn lost_doubled_late_and_shuffled_proposals_lose_no_message() {
    let mut repeated = 0;
    for seed in 0..12 {
        let mut net = Net::new(100 + seed, if seed % 2 == 0 { 3 } else { 5 }, 6);
        net.faults = Faults { loss: 20, twice: 20, delay: 300 };
        for s in &mut net.servers {
            s.lag = seed * 20;
        }
        net.servers[0].lag = 0;
        net.until("round 12 is final", |n| n.finals() >= 12);
        assert!(net.published > 0, "nothing was said");
        repeated += net.audit.repeated;
    }
    assert!(repeated > 0, "no lost partial was asked for again");
}

#[test]
fn clients_have_the_whole_fold_window_however_long_the_signing_took() {
    let mut net = Net::started(9, 3, 6);
    net.rounds(2);
    let round = net.freeze(Stage::Signing);
    net.run(2_000);
    net.release();
    net.until("it is final", |n| n.finals() >= round);
    assert_eq!((net.finals(), net.last().count()), (round, 6));
}

#[test]
fn several_aggregators_bring_disjoint_shares() {
    for seed in 20..24 {
        let mut net = Net::new(seed, 3, 9);
        for _ in 0..2 {
            let another = crate::net::identity(&mut net.rng);
            net.aggregators.push(another.into());
        }
        crate::headers::policies(&mut net, |_| vec![0, 1, 2]);
        net.until("round 6 is final", |n| n.finals() >= 6);
        assert_eq!(net.last().count(), 9);
        assert_eq!(net.state().round().map_or(3, |r| r.header.aggregators.len()), 3);
        assert!(net.published > 0);
    }
}

#[test]
fn a_client_that_is_late_is_not_in_the_round_and_nobody_else_suffers() {
    let mut net = Net::started(7, 3, 8);
    net.rounds(2);
    net.omit.insert(3);
    net.rounds(4);
    assert_eq!(net.last().count(), 7);
    assert_eq!(net.abandoned(), Vec::<u64>::new(), "one in sixteen may lack");
    net.omit.clear();
    net.rounds(2);
    assert_eq!(net.last().count(), 8);
}

#[test]
fn the_stages_come_in_their_order() {
    let mut net = Net::started(8, 3, 4);
    let mut stages = Vec::new();
    let from = net.finals();
    while net.finals() == from {
        net.tick();
        stages.extend(net.stage().filter(|_| net.state().opened() > from));
        stages.dedup();
    }
    assert_eq!(stages, [Stage::Signing, Stage::Folding, Stage::Committing, Stage::Revealing]);
}
