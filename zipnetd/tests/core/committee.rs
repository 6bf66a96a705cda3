//! Headers and registrations that are not as they should be: R2 to R4.

use zipnet_dcnet::wire::{Abandoned, Ended, Event, RecordsReply, RosterUpdate};
use zipnetd::core::message::State;
use zipnetd::core::status::{Skip, Why};
use zipnetd::core::{Input, Notice};

use crate::sim::{Plan, TEXT, UID, ready};

#[test]
fn a_restarted_server_is_registered_with_anew() {
    let mut world = ready(5);
    for heard in ["at once", "by its events", "by a new link"] {
        world.restart_server(1, heard == "at once");
        world.clients.iter_mut().for_each(|c| c.notices.clear());
        // Without it until all have registered; then it is named again.
        let without = Plan { servers: vec![0, 2], sign: vec![0, 2], ..Plan::default() };
        world.round(&without);
        match heard {
            // A client that follows its events hears the nonce first.
            "by its events" => world.tell_boot(1),
            // One that follows another server's has only the new link.
            "by a new link" => {
                let peer = world.server(1);
                for client in 0..world.clients.len() {
                    world.feed(client, Input::Link { peer, up: false });
                    world.feed(client, Input::Link { peer, up: true });
                }
            }
            _ => {}
        }
        world.rounds(3);
        let id = world.accept(0, TEXT);
        world.rounds(2);
        assert!(matches!(world.state(0, id), State::Published { .. }));
        assert!(!world.clients[0].notices.iter().any(|n| matches!(n, Notice::SessionStarted { .. })));
    }
}

#[test]
fn a_server_that_restarted_unheard_is_registered_with_anew() {
    let mut world = ready(5);
    let session = |world: &crate::sim::World| world.clients[0].core.status(UID).vouched_by.len();
    let without = Plan { servers: vec![0, 2], sign: vec![0, 2], ..Plan::default() };
    // Headers leave it out, and after a while everybody asks it why.
    world.restart_server(1, false);
    for _ in 0..4 {
        world.round(&without);
    }
    world.rounds(2);
    assert_eq!(world.record(world.opened).count(), 5);
    // Its link comes back.
    world.restart_server(1, false);
    let peer = world.server(1);
    for client in 0..5 {
        world.feed(client, Input::Link { peer, up: true });
    }
    world.round(&without);
    world.rounds(2);
    assert_eq!(world.record(world.opened).count(), 5);
    assert_eq!(session(&world), 3);
    assert!(
        world.clients.iter().all(|c| {
            c.notices.iter().filter(|n| matches!(n, Notice::SessionStarted { .. })).count() == 1
        })
    );
}

#[test]
fn an_evicted_session_is_replaced_by_a_new_one() {
    let mut world = ready(5);
    world.evict(0);
    world.rounds(2);
    assert!(!world.clients[0].core.status(UID).registered);
    let id = world.accept(0, TEXT);
    world.rounds(6);
    let started = |n: &&Notice| matches!(n, Notice::SessionStarted { .. });
    assert_eq!(world.clients[0].notices.iter().filter(started).count(), 2);
    assert!(matches!(world.state(0, id), State::Published { .. }));
    // A server that refuses the session says so at once.
    world.restart_server(1, false);
    world.evict(0);
    world.tell_boot(1);
    assert_eq!(world.clients[0].notices.iter().filter(started).count(), 3);
    world.rounds(3);
    assert!(world.clients[0].core.status(UID).registered);
}

/// One header that must not be sealed under; the world goes on well afterwards.
fn refuses(plan: Plan, why: Option<Why>) {
    let mut world = ready(5);
    let left = world.clients[0].left.clone();
    let signed = world.open(&plan);
    let event = Event::Open { header: Box::new(signed), roster: RosterUpdate::Fetch };
    world.tell(&event);
    world.pass(500);
    assert_eq!(world.clients[0].left, left);
    assert_eq!(world.clients[0].core.status(UID).why, why);
    world.pass(500);
}

#[test]
fn a_header_with_a_wrong_vouch_roster_or_prev_is_not_sealed_under() {
    let skipped = |skip| Some(Why::NotSealed(skip));
    let wrong = Plan { roster: |e| e.iter_mut().for_each(|e| e.vouches[1] = [1; 32]), ..Plan::default() };
    refuses(wrong, Some(Why::NotRegistered));
    let session = Plan { roster: |e| e.iter_mut().for_each(|e| e.session = [1; 32]), ..Plan::default() };
    refuses(session, Some(Why::NotRegistered));
    let len = Plan { header: |h| h.roster_len += 1, ..Plan::default() };
    refuses(len, Some(Why::NotRegistered));
    let roster = Plan { header: |h| h.roster = [1; 32], ..Plan::default() };
    refuses(roster, skipped(Skip::NoRoster));
    let prev = Plan { header: |h| h.prev = [1; 32], ..Plan::default() };
    refuses(prev, skipped(Skip::NoRecord));
    let first = Plan { header: |h| h.prev = h.deployment.0, ..Plan::default() };
    refuses(first, skipped(Skip::NoRecord));
    // Not open at all: nothing changes, and nothing is skipped.
    refuses(Plan { header: |h| h.deployment.0[0] ^= 1, ..Plan::default() }, None);
    refuses(Plan { header: |h| h.round = 3, ..Plan::default() }, None);
    refuses(Plan { servers: vec![1], ..Plan::default() }, None);
}

#[test]
fn a_forged_signature_or_a_replayed_round_is_not_sealed_under() {
    let mut world = ready(5);
    let mut signed = world.open(&Plan::default());
    let good = signed.clone();
    signed.signatures.swap(0, 1);
    world.tell(&Event::Open { header: Box::new(signed), roster: RosterUpdate::Fetch });
    world.pass(200);
    assert_eq!(world.clients[0].left, [1, 2, 3]);
    assert!(world.clients[0].notices.iter().any(|n| matches!(n, Notice::Refused { .. })));
    let event = Event::Open { header: Box::new(good.clone()), roster: RosterUpdate::Fetch };
    world.tell(&event);
    let sent = world.pass(300);
    assert_eq!(world.clients[0].left, [1, 2, 3, 4]);
    // The same header again, and another one of the same round.
    world.tell(&event);
    let mut other = good.clone();
    other.header.aggregators.pop();
    other.signatures = (0..3).map(|n| other.header.sign(world.server_identity(n))).collect();
    world.tell(&Event::Open { header: Box::new(other), roster: RosterUpdate::Fetch });
    world.pass(500);
    assert_eq!(world.clients[0].left, [1, 2, 3, 4], "one envelope per round");
    world.finish(&Plan::default(), &good, sent);
    world.rounds(2);
    assert_eq!(world.clients[0].left, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_server_that_says_nonsense_does_not_fill_the_log() {
    let mut world = ready(5);
    let mut signed = world.open(&Plan::default());
    signed.signatures.swap(0, 1);
    let from = world.server(0);
    for _ in 0..100 {
        let event = Event::Open { header: Box::new(signed.clone()), roster: RosterUpdate::Fetch };
        world.feed(0, Input::Event { from, event });
    }
    let told = world.clients[0].notices.iter().filter_map(|n| match n {
        Notice::Refused { times, .. } => Some(*times),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 64]);
}

#[test]
fn hostile_answers_are_dropped_and_the_honest_ones_count() {
    let mut world = ready(5);
    world.round(&Plan { tell: false, ..Plan::default() });
    let signed = world.open(&Plan::default());
    let event = Event::Open { header: Box::new(signed.clone()), roster: RosterUpdate::Fetch };
    let from = world.server(0);
    // Numbers at the end of their range, gaps, records that nobody signed, nothing.
    let abandoned =
        |round| Ended::Abandoned(Abandoned { round, header_digest: [0; 32], disclosures: vec![] });
    let unsigned = Ended::Final(Box::new(world.signed(world.record(3), &[])));
    let hostile =
        [vec![abandoned(u64::MAX), abandoned(0)], vec![abandoned(3), abandoned(5)], vec![unsigned], vec![]];
    for (n, items) in hostile.into_iter().enumerate() {
        let reply = RecordsReply { earliest: u64::MAX, latest: 0, items };
        world.hostile.insert(n as u64, reply);
    }
    world.tell(&event);
    let sent = world.pass(500);
    assert!(world.hostile.is_empty(), "all of them were asked for");
    world.finish(&Plan::default(), &signed, sent);
    world.pass(500);
    world.feed(0, Input::Event { from, event: Event::Ended(abandoned(u64::MAX)) });
    world.rounds(2);
    assert!(world.clients.iter().all(|c| c.left.ends_with(&[6, 7])));
}
