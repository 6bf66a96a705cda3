//! Starting again on what the disk holds: section 7.

use zipnetd::core::message::State;

use crate::sim::{Plan, TEXT, exposed, ready, unknown};

#[test]
fn a_queued_message_survives_a_restart_and_is_published_once() {
    let mut world = ready(5);
    world.clients[0].online = false;
    let id = world.accept(0, TEXT);
    world.rounds(3);
    world.restart(0);
    assert_eq!(world.state(0, id), State::Queued);
    world.clients[0].online = true;
    world.rounds(4);
    assert!(matches!(world.state(0, id), State::Published { .. }), "{:?}", world.state(0, id));
    assert_eq!(world.published(TEXT), 1);
}

#[test]
fn a_crash_after_sealing_settles_by_exactly_that_round() {
    // Each: the plan of the round in which the process dies after its envelope left, and what follows.
    let clean = Some(vec![(0, false), (1, false), (2, false)]);
    let cases: [(Plan, fn(&State) -> bool, usize); 5] = [
        (Plan::default(), |s| matches!(s, State::Published { .. }), 1),
        (Plan { lost: vec![0], ..Plan::default() }, |s| matches!(s, State::Published { .. }), 1),
        (Plan { abandon: clean, ..Plan::default() }, |s| matches!(s, State::Published { .. }), 1),
        (Plan { abandon: Some(vec![(0, true)]), ..Plan::default() }, |s| *s == exposed(), 0),
        (Plan { garble: true, ..Plan::default() }, |s| *s == exposed(), 0),
    ];
    for (n, (plan, fits, times)) in cases.into_iter().enumerate() {
        let mut world = ready(5);
        let id = world.accept(0, TEXT);
        let (signed, sent) = world.until_sealed(0, id);
        world.clients[0].online = false;
        world.finish(&plan, &signed, sent);
        world.pass(500);
        world.rounds(2);
        world.restart(0);
        assert!(matches!(world.state(0, id), State::Sealed(at) if at.round == signed.header.round));
        world.clients[0].online = true;
        world.rounds(80);
        assert!(fits(&world.state(0, id)), "case {n}: {:?}", world.state(0, id));
        assert_eq!(world.published(TEXT), times, "case {n}");
    }
}

#[test]
fn a_rolled_back_disk_does_not_publish_twice() {
    let mut world = ready(5);
    let id = world.accept(0, TEXT);
    let old = world.clients[0].disk.clone();
    world.rounds(3);
    assert_eq!(world.published(TEXT), 1);
    world.clients[0].disk = old;
    world.restart(0);
    assert_eq!(world.state(0, id), State::Queued, "as the old disk says");
    world.rounds(6);
    assert!(matches!(world.state(0, id), State::Published { .. }), "found by content");
    assert_eq!(world.published(TEXT), 1);
}

#[test]
fn a_log_that_does_not_reach_back_leaves_it_unknown() {
    let mut world = ready(5);
    let id = world.accept(0, TEXT);
    let old = world.clients[0].disk.clone();
    world.rounds(3);
    world.clients[0].disk = old;
    world.restart(0);
    world.earliest = world.opened;
    world.rounds(8);
    assert_eq!(world.state(0, id), unknown());
    assert_eq!(world.published(TEXT), 1);
}

#[test]
fn a_garbled_or_undisclosed_round_since_leaves_it_unknown() {
    let garbled = Plan { garble: true, ..Plan::default() };
    for plan in [garbled, Plan { abandon: Some(vec![(2, true)]), ..Plan::default() }] {
        let mut world = ready(5);
        world.clients[0].online = false;
        let id = world.accept(0, TEXT);
        world.round(&plan);
        world.rounds(1);
        world.restart(0);
        world.clients[0].online = true;
        world.rounds(5);
        assert_eq!(world.state(0, id), unknown());
    }
    let mut world = ready(5);
    world.clients[0].online = false;
    let id = world.accept(0, TEXT);
    world.round(&Plan { abandon: Some(vec![]), ..Plan::default() });
    let abandoned = world.opened;
    world.restart(0);
    world.clients[0].online = true;
    world.rounds(4);
    assert_eq!(world.state(0, id), State::Queued, "the disclosures may still come");
    world.disclose_all(abandoned, &[(0, false), (1, false), (2, false)]);
    world.rounds(2);
    assert!(matches!(world.state(0, id), State::Published { .. }));
}

#[test]
fn equal_payloads_of_others_and_of_our_own_are_told_apart() {
    // Two of our own with the same text, one of them published before the crash.
    let mut world = ready(5);
    let first = world.accept(0, TEXT);
    world.rounds(1);
    assert!(matches!(world.state(0, first), State::Published { .. }));
    world.clients[0].online = false;
    let second = world.accept(0, TEXT);
    world.restart(0);
    world.clients[0].online = true;
    world.rounds(5);
    assert!(matches!(world.state(0, second), State::Published { .. }));
    assert_eq!(world.published(TEXT), 2, "both of them");
    // Somebody else says the same in the round in which ours was lost.
    let mut world = ready(5);
    let id = world.accept(0, TEXT);
    let theirs = world.accept(1, TEXT);
    let (signed, sent) = world.until_sealed(0, id);
    world.finish(&Plan { lost: vec![0], ..Plan::default() }, &signed, sent);
    assert!(matches!(world.state(1, theirs), State::Published { .. }));
    assert_eq!(world.state(0, id), State::Queued);
    world.pass(500);
    world.rounds(80);
    assert!(matches!(world.state(0, id), State::Published { .. }));
    assert_eq!(world.published(TEXT), 2);
}

#[test]
fn a_damaged_or_newer_record_is_refused() {
    use zipnetd::core::store::LoadError;
    let mut world = ready(5);
    world.accept(0, TEXT);
    let disk = world.clients[0].disk.clone();
    assert!(zipnetd::core::Loaded::from_pairs(disk.clone()).is_ok());
    let (key, value) = disk.last_key_value().map(|(k, v)| (k.clone(), v.clone())).unwrap();
    let load = |value: Vec<u8>| zipnetd::core::Loaded::from_pairs([(key.clone(), value)]).err();
    let mut newer = value.clone();
    newer[0] += 1;
    assert!(matches!(load(newer), Some(LoadError::Newer { version: 3, .. })));
    assert!(matches!(load(value[..20].to_vec()), Some(LoadError::Damaged { .. })));
    let mut tail = value.clone();
    tail.push(1);
    assert!(matches!(load(tail), Some(LoadError::Damaged { .. })));
    let mut other = value;
    other[2] ^= 1;
    assert!(matches!(load(other), Some(LoadError::Damaged { .. })));
}
