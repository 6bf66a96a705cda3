//! The leader changes, dies, or does nothing (R4, section 7).

use zipnet_committee::entry::Entry;
use zipnet_committee::state::Stage;

use crate::net::{Faults, Net};

const STAGES: [Stage; 4] = [Stage::Signing, Stage::Folding, Stage::Committing, Stage::Revealing];

#[test]
fn the_leader_changes_at_each_stage_and_the_round_becomes_final() {
    for (i, stage) in STAGES.into_iter().enumerate() {
        let mut net = Net::started(i as u64, 3, 6);
        net.rounds(2);
        let round = net.freeze(stage);
        net.leader = Some(1);
        if stage == Stage::Folding {
            net.held.clear();
        }
        net.release();
        net.within(3_000, "the round is final", |n| n.finals() >= round);
        assert_eq!(net.abandoned(), Vec::<u64>::new(), "{stage:?}");
        net.rounds(2);
    }
}

#[test]
fn the_leader_changes_all_the_time() {
    for seed in 10..18 {
        let mut net = Net::new(seed, 3, 6);
        net.faults = Faults { loss: 5, twice: 10, delay: 120 };
        for _ in 0..60 {
            let pause = net.below(800);
            net.run(pause);
            net.leader = Some(net.below(3) as usize);
        }
        let last = net.finals();
        assert!(last > 5, "{last}");
        net.rounds(3);
        net.check_replay();
    }
}

#[test]
fn the_leader_dies_at_each_stage_and_the_others_go_on() {
    for (i, stage) in STAGES.into_iter().enumerate() {
        let mut net = Net::started(20 + i as u64, 3, 6);
        net.rounds(2);
        let round = net.freeze(stage);
        net.crash(0);
        net.held.clear();
        net.hold = None;
        net.within(15_000, "a later round is final", |n| n.finals() > round && n.last().servers.len() == 2);
        assert!(net.abandoned().contains(&round), "{stage:?}");
        net.restart(0);
        let last = net.finals();
        net.until("all three again", |n| n.last().servers.len() == 3 && n.finals() > last);
    }
}

/// Its successor does not name it: nobody waits for a deadline.
#[test]
fn a_leader_that_dies_between_two_rounds_costs_none() {
    let mut net = Net::started(26, 3, 6);
    net.rounds(2);
    net.until("no round is open", |n| n.stage().is_none());
    let (round, dead) = (net.state().opened(), net.id(0));
    net.crash(0);
    net.within(6_000, "the next round is final", |n| n.finals() > round);
    assert!(!net.last().servers.contains(&dead));
    assert_eq!(net.abandoned(), Vec::<u64>::new());
    net.restart(0);
    net.until("it is named again", |n| n.last().servers.len() == 3);
}

#[test]
fn followers_depose_a_leader_that_logs_nothing() {
    let mut net = Net::started(30, 3, 6);
    net.rounds(2);
    // It holds on to office, and nothing gets through it.
    net.hold = Some(Box::new(|_| true));
    let from = net.now;
    net.until("somebody stands for election", |n| n.servers.iter().any(|s| s.campaigns > 0));
    let limit = 3 * u64::from(net.descriptor.params.round_deadline_ms);
    let took = net.now - from;
    assert!((limit - 2_000..limit + 4_000).contains(&took), "{took}");
    assert_eq!(net.servers[0].campaigns, 0, "the leader itself does not");
    net.held.clear();
    net.release();
    net.rounds(2);
}

#[test]
fn nobody_stands_for_election_while_there_is_nothing_to_do() {
    let mut net = Net::new(31, 3, 2);
    net.run(120_000);
    assert_eq!(net.state().opened(), 0, "two clients are too few");
    assert!(net.servers.iter().all(|s| s.campaigns == 0));
}

#[test]
fn entries_that_are_the_leaders_are_told_apart() {
    let mut net = Net::started(32, 3, 6);
    net.rounds(4);
    let kinds = |leaders: bool| net.log.iter().filter(move |(_, e)| e.is_leaders() == leaders);
    assert!(
        kinds(true).all(|(_, e)| matches!(e, Entry::Open(_) | Entry::Fold { .. } | Entry::Abandon { .. }))
    );
    assert!(
        !kinds(false).any(|(_, e)| matches!(e, Entry::Open(_) | Entry::Fold { .. } | Entry::Abandon { .. }))
    );
    assert!(kinds(true).count() >= 8);
}

#[test]
fn stale_entries_of_an_old_leader_change_nothing() {
    let mut net = Net::started(33, 3, 6);
    net.rounds(4);
    let old: Vec<Entry> = net.log.iter().map(|(_, e)| e.clone()).filter(Entry::is_leaders).collect();
    let (from, refused) = (net.finals(), net.refusals().count());
    for entry in &old {
        net.inject(entry.clone());
        net.inject(Entry::Abandon { round: from });
        net.run(75);
    }
    assert_eq!(net.refusals().count() - refused, 2 * old.len());
    net.rounds(2);
    assert_eq!(net.abandoned(), Vec::<u64>::new());
}
