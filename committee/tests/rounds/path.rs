//! Leaders without a path to an aggregator (section 7).

use zipnet_committee::core::{FRUITLESS_ROUNDS, STEP_BACK_MAX};

use crate::net::Net;

fn deadline(net: &Net) -> u64 {
    net.descriptor.params.round_deadline_ms.into()
}

#[test]
fn a_leader_that_reaches_no_aggregator_steps_back_and_the_rounds_go_on() {
    let mut net = Net::started(70, 3, 6);
    net.rounds(2);
    net.no_path.insert(0);
    let (last, from) = (net.finals(), net.now);
    net.until("rounds are final again", |n| n.finals() > last + 2);
    assert_eq!(net.stepped.len(), 1);
    let took = net.stepped[0].0 - from;
    let limit = u64::from(FRUITLESS_ROUNDS) * deadline(&net);
    assert!((limit - 2_000..=limit + 2_500).contains(&took), "{took} ms");
    assert_eq!(net.leader, Some(1));
    // It leads again, and again reaches nobody: it does not hold on.
    net.rounds(3);
    net.leader = Some(0);
    let last = net.finals();
    net.within(3 * deadline(&net) + 4_000, "another leads again", |n| n.finals() > last + 1);
    assert_eq!(net.stepped.len(), 2);
    net.check_replay();
}

#[test]
fn when_nobody_reaches_one_the_leader_changes_ever_more_rarely() {
    let mut net = Net::started(71, 3, 6);
    net.rounds(2);
    net.no_path.extend([0, 1, 2]);
    let hour = 3_600_000;
    // Nothing much happens: an hour is soon over.
    net.run(hour);
    let changes = net.stepped.len();
    assert!((3..=60).contains(&changes), "{changes} changes in an hour");
    let late = net.stepped.iter().filter(|(at, _)| *at > net.now - hour / 2).count();
    let rare = STEP_BACK_MAX * deadline(&net);
    assert!(late as u64 <= 3 * (hour / 2 / rare + 2), "{late} changes in the second half");
    // As soon as one of them does, it leads before long.
    net.no_path.remove(&1);
    let last = net.finals();
    net.within(3 * rare, "rounds are final again", |n| n.finals() > last + 2);
}

#[test]
fn a_round_that_fails_for_its_clients_deposes_nobody() {
    let mut net = Net::started(72, 3, 8);
    net.rounds(3);
    // Half of the clients are gone at once: the fold is refused, again and again (R9), and the aggregator answers.
    net.omit.extend(0..4);
    let from = net.state().opened();
    net.until("rounds were given up", |n| n.state().opened() > from + 3);
    assert_eq!(net.stepped, []);
    // Nor does a collection that fails once.
    net.omit.clear();
    net.rounds(2);
    net.fail_collects = 6;
    net.rounds(3);
    assert_eq!(net.stepped, []);
}
