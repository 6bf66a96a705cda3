//! How rounds end, and what then: R8, R10, R11.

use zipnet_dcnet::params::Params;
use zipnet_dcnet::wire::{Abandoned, Ended, Event};
use zipnetd::core::Answer;
use zipnetd::core::message::State;
use zipnetd::core::status::{Phase, Why};

use crate::client::Seen;
use crate::sim::{Plan, TEXT, UID, World, exposed, params, ready, unknown};

#[test]
fn an_abandoned_round_holds_its_message_until_enough_servers_disclose() {
    let mut world = ready(5);
    let id = world.accept(0, TEXT);
    world.round(&Plan { abandon: Some(vec![(0, false), (1, false)]), ..Plan::default() });
    let abandoned = world.opened;
    world.rounds(3);
    assert!(
        matches!(world.state(0, id), State::Sealed(at) if at.round == abandoned),
        "two of three are too few"
    );
    // What does not hold counts for nothing.
    let header_digest = world.headers[&abandoned].header.digest();
    let wrong = vec![
        world.disclose(2, abandoned + 1, header_digest, false),
        world.disclose(2, abandoned, [7; 32], false),
        world.disclose(0, abandoned, header_digest, false),
    ];
    let event = Ended::Abandoned(Abandoned { round: abandoned, header_digest, disclosures: wrong });
    world.tell(&Event::Ended(event));
    assert!(matches!(world.state(0, id), State::Sealed(_)));
    world.disclose_all(abandoned, &[(2, false)]);
    assert_eq!(world.state(0, id), State::Queued);
    world.rounds(2);
    assert!(matches!(world.state(0, id), State::Published { .. }));
    assert_eq!(world.published(TEXT), 1);
}

#[test]
fn disclosures_that_were_missed_are_asked_for() {
    let mut world = ready(5);
    let id = world.accept(0, TEXT);
    world.round(&Plan { abandon: Some(vec![(0, false)]), ..Plan::default() });
    let abandoned = world.opened;
    world.clients[0].online = false;
    world.disclose_all(abandoned, &[(0, false), (1, false), (2, false)]);
    world.clients[0].online = true;
    world.rounds(8);
    assert!(matches!(world.state(0, id), State::Published { .. }), "{:?}", world.state(0, id));
}

#[test]
fn what_nobody_discloses_ends_unknown_with_its_ttl() {
    let mut world = ready(5);
    let Ok(Answer::Accepted { id, .. }) = world.ask(0, UID, TEXT, None, Some(20_000)) else { panic!() };
    world.round(&Plan { abandon: Some(vec![]), ..Plan::default() });
    world.rounds(15);
    assert!(matches!(world.state(0, id), State::Sealed(_)));
    let view = world.clients[0].core.message(UID, &id).unwrap();
    assert!(view.next_step.starts_with("held") && view.next_at == Some(view.expires_at));
    world.rounds(6);
    assert_eq!(world.state(0, id), unknown());
    assert_eq!(world.published(TEXT), 0);
}

#[test]
fn one_revealed_partial_exposes() {
    let mut world = ready(5);
    let id = world.accept(0, TEXT);
    world.round(&Plan { abandon: Some(vec![(0, false), (1, true)]), ..Plan::default() });
    world.rounds(3);
    assert_eq!(world.state(0, id), exposed());
    world.rounds(20);
    assert_eq!(world.published(TEXT), 0, "never again by itself");
}

#[test]
fn a_garbled_slot_exposes() {
    let mut world = ready(5);
    let id = world.accept(0, TEXT);
    world.round(&Plan { garble: true, ..Plan::default() });
    assert_eq!(world.state(0, id), exposed());
    world.rounds(20);
    assert_eq!(world.published(TEXT), 0, "never again by itself");
}

#[test]
fn a_record_with_too_few_signatures_holds_and_the_rest_of_them_settle() {
    let mut world = ready(5);
    let id = world.accept(0, TEXT);
    world.round(&Plan { sign: vec![0, 1], ..Plan::default() });
    let round = world.opened;
    assert!(matches!(world.state(0, id), State::Sealed(_)), "the third one has not signed");
    // A header of two servers makes the record count, but two are fewer than m.
    world.round(&Plan { servers: vec![0, 1], sign: vec![0, 1], ..Plan::default() });
    assert!(matches!(world.state(0, id), State::Sealed(_)));
    let late = world.signed(world.record(round), &[2]);
    world.tell(&Event::Ended(Ended::Final(Box::new(late))));
    assert!(matches!(world.state(0, id), State::Published { .. }));
}

#[test]
fn a_header_of_all_servers_counts_as_their_signatures_on_the_record_below() {
    let mut world = ready(5);
    let id = world.accept(0, TEXT);
    world.round(&Plan { sign: vec![0], ..Plan::default() });
    assert!(matches!(world.state(0, id), State::Sealed(_)));
    world.round(&Plan::default());
    assert!(matches!(world.state(0, id), State::Published { .. }));
}

#[test]
fn quiet_rounds_carry_neither_token_nor_message() {
    let mut world = ready(5);
    let id = world.accept(0, TEXT);
    world.round(&Plan { abandon: Some(vec![(0, false), (1, false), (2, false)]), ..Plan::default() });
    world.round(&Plan::default());
    let quiet = world.record(world.opened);
    assert_eq!((quiet.reservations.len(), quiet.messages.len(), quiet.count()), (0, 0, 5));
    assert_eq!(world.state(0, id), State::Queued);
    // The servers change: quiet once for everybody, and below m for as long as it lasts.
    for _ in 0..3 {
        world.round(&Plan { servers: vec![0, 2], sign: vec![0, 2], ..Plan::default() });
        let quiet = world.record(world.opened);
        assert_eq!((quiet.reservations.len(), quiet.messages.len()), (0, 0));
    }
    let status = world.clients[0].core.status(UID);
    assert_eq!((status.phase, status.why), (Phase::Holding, Some(Why::FewServers { named: 2, needed: 3 })));
    world.rounds(4);
    assert_eq!(world.published(TEXT), 1);
}

#[test]
fn below_min_anonymity_messages_stay() {
    // 3 participants less a slack of one.
    let mut world = World::new(params(), 3);
    let id = world.accept(0, TEXT);
    world.rounds(6);
    assert_eq!(world.state(0, id), State::Queued);
    let status = world.clients[0].core.status(UID);
    assert_eq!(status.why, Some(Why::FewParticipants { certain: 2, needed: 3 }));
    assert!((1..=6).all(|r| world.record(r).reservations.is_empty()));
}

#[test]
fn a_pinned_server_that_is_missing_makes_a_round_quiet() {
    let mut world = World::with(Params { min_servers: 2, ..params() }, 5, |n, cfg| {
        if n == 0 {
            cfg.pinned_servers = vec![cfg.descriptor.servers[2]];
        }
    });
    world.rounds(3);
    let id = world.accept(0, TEXT);
    let other = world.accept(1, b"other");
    let plan = Plan { servers: vec![0, 1], sign: vec![0, 1], ..Plan::default() };
    (0..4).for_each(|_| world.round(&plan));
    assert_eq!(world.state(0, id), State::Queued);
    assert_eq!(world.published(b"other"), 1);
    assert!(matches!(world.state(1, other), State::Published { .. }));
    let pin = world.server(2);
    assert_eq!(world.clients[0].core.status(UID).why, Some(Why::PinnedServerMissing(pin)));
    world.rounds(3);
    assert_eq!(world.published(TEXT), 1);
}

#[test]
fn a_record_that_was_missed_is_fetched_before_sealing() {
    let mut world = ready(5);
    world.round(&Plan { tell: false, ..Plan::default() });
    world.rounds(1);
    assert_eq!(world.clients[0].left, [1, 2, 3, 4, 5]);
    let fetched = |s: &&Seen| s.what.starts_with("records");
    assert_eq!(world.clients[0].seen.iter().filter(fetched).count(), 1);
    // After an absence of many rounds too.
    let id = world.accept(0, TEXT);
    world.clients[0].online = false;
    world.rounds(5);
    world.clients[0].online = true;
    world.rounds(3);
    assert!(matches!(world.state(0, id), State::Published { .. }));
}
