//! What leaves, and when: R5, R12, warm-up, cadence, ending.

use zipnet_dcnet::params::Params;
use zipnetd::core::message::{Setback, State};
use zipnetd::core::status::{Phase, Standing, Why};
use zipnetd::core::{Answer, Input, Notice, Refusal};

use crate::sim::{Plan, TEXT, UID, World, params, ready};

#[test]
fn a_message_goes_out_and_is_published_exactly_once() {
    let mut world = World::new(params(), 5);
    let id = world.accept(0, TEXT);
    assert_eq!(world.state(0, id), State::Queued);
    world.rounds(8);
    let State::Published { round, slot: Some(slot) } = world.state(0, id) else { panic!("not published") };
    assert!(round <= 3, "first round quiet, reserved in the second, sent in the third: {round}");
    assert_eq!(world.record(round).message(slot), Some(TEXT));
    assert_eq!(world.published(TEXT), 1);
    let status = world.clients[0].core.status(UID);
    assert_eq!((status.phase, status.why, status.registered), (Phase::Ready, None, true));
    assert_eq!((status.queue.published, status.participants), (1, Some(5)));
    assert_eq!(status.last_verified.unwrap().0, world.opened);
    assert_eq!(world.clients[0].left, (1..=8).collect::<Vec<_>>(), "an envelope in every round");
}

#[test]
fn a_message_leaves_in_the_very_next_round() {
    let mut world = ready(5);
    let id = world.accept(2, TEXT);
    world.round(&Plan::default());
    assert_eq!(
        world.state(2, id),
        State::Published {
            round: 4,
            slot: match world.state(2, id) {
                State::Published { slot, .. } => slot,
                _ => None,
            }
        }
    );
}

#[test]
fn everybody_talks_at_once_and_everything_arrives_in_order_of_age() {
    let mut world = ready(5);
    let texts: Vec<Vec<u8>> = (0..5u8).flat_map(|c| (0..4u8).map(move |i| vec![c, i])).collect();
    let ids: Vec<_> = texts.iter().map(|t| (usize::from(t[0]), world.accept(usize::from(t[0]), t))).collect();
    world.rounds(6);
    for (text, (client, id)) in texts.iter().zip(&ids) {
        assert!(matches!(world.state(*client, *id), State::Published { .. }), "{text:?}");
        assert_eq!(world.published(text), 1);
    }
    let rounds: Vec<u64> = ids[..4]
        .iter()
        .map(|(c, id)| match world.state(*c, *id) {
            State::Published { round, .. } => round,
            _ => 0,
        })
        .collect();
    assert!(rounds.windows(2).all(|w| w[0] < w[1]), "one slot per round, the oldest first: {rounds:?}");
}

/// The same world twice; in one of them client 0 has messages. What its core asks for is the same in kind, size and
/// time, whatever happens to the rounds.
#[test]
fn talk_looks_like_cover() {
    let run = |talks: bool| {
        let mut world = World::with(Params { warm_up: 2, ..params() }, 6, |_, _| {});
        let plans = [
            (9, Plan::default()),
            (1, Plan { lost: vec![0], ..Plan::default() }),
            (4, Plan::default()),
            (1, Plan { garble: true, ..Plan::default() }),
            (3, Plan::default()),
            (1, Plan { abandon: Some(vec![(0, false), (1, false)]), ..Plan::default() }),
            (3, Plan::default()),
            (1, Plan { abandon: Some(vec![(0, true)]), ..Plan::default() }),
            (3, Plan::default()),
            (1, Plan { sign: vec![0], ..Plan::default() }),
            (3, Plan { servers: vec![0, 1], sign: vec![0, 1], ..Plan::default() }),
            (12, Plan::default()),
        ];
        for (n, (times, plan)) in plans.iter().enumerate() {
            for i in 0..*times {
                if talks {
                    world.accept(0, format!("{n} {i}").as_bytes());
                }
                world.round(plan);
            }
        }
        world.feed(0, Input::Stop { linger: true });
        world.rounds(5);
        assert!(world.clients[0].stopped);
        let published = world.clients[0].core.status(UID).queue.published;
        (world.clients.remove(0).seen, published)
    };
    let ((talk, published), (cover, none)) = (run(true), run(false));
    assert!(published > 15 && none == 0, "it did talk: {published}");
    for (a, b) in talk.iter().zip(&cover) {
        assert_eq!(a, b);
    }
    assert_eq!(talk.len(), cover.len());
}

#[test]
fn a_lost_envelope_is_sent_again_after_a_rest_and_arrives_once() {
    let mut rests = vec![];
    for seed in 0..6 {
        let mut world = ready(6);
        let id = world.accept(seed, TEXT);
        world.round(&Plan { lost: vec![seed], ..Plan::default() });
        let view = world.clients[seed].core.message(UID, &id).unwrap();
        assert_eq!((view.state, view.attempts), (State::Queued, 1));
        assert_eq!(view.last_reason, Setback::Absent.as_str());
        let lost = world.opened;
        for _ in 0..600 {
            world.round(&Plan::default());
            if let State::Published { round, .. } = world.state(seed, id) {
                rests.push(round - lost);
                break;
            }
        }
        assert_eq!(world.published(TEXT), 1);
    }
    assert_eq!(rests.len(), 6);
    assert!(rests.iter().all(|r| *r >= 2), "at least one round of rest, and one to reserve: {rests:?}");
    assert!(rests.iter().any(|r| *r != rests[0]), "the rest is drawn: {rests:?}");
}

#[test]
fn warm_up_is_cover_for_w_to_2w_records() {
    let mut world = World::new(Params { warm_up: 3, ..params() }, 5);
    let id = world.accept(0, TEXT);
    world.rounds(4);
    // Three records list it before the header of the fourth round; it reserves there at the earliest.
    assert_eq!(world.state(0, id), State::Queued);
    assert!((1..=3).all(|r| world.record(r).reservations.is_empty()));
    world.rounds(5);
    assert!(matches!(world.state(0, id), State::Published { .. }));
    let warm = world.clients[0].notices.iter().filter(|n| **n == Notice::WarmedUp).count();
    assert_eq!(warm, 1);
}

#[test]
fn cadence_spaces_reservations_of_talk_and_cover() {
    let mut world = World::with(params(), 5, |_, cfg| cfg.cadence = 3);
    world.accept(0, b"a");
    world.accept(0, b"b");
    world.rounds(10);
    let tokens: Vec<usize> = (2..=10).map(|r| world.record(r).reservations.len()).collect();
    assert_eq!(tokens, [5, 0, 0, 5, 0, 0, 5, 0, 0]);
    assert_eq!((world.published(b"a"), world.published(b"b")), (1, 1));
}

#[test]
fn paused_is_cover() {
    let mut world = ready(5);
    let Ok(Answer::Accepted { id, .. }) = world.ask(0, UID, TEXT, Some("r"), None) else { panic!() };
    world.feed(0, Input::SetPaused(true));
    assert!(world.clients[0].core.status(UID).paused);
    assert_eq!(world.clients[0].core.status(UID).why, Some(Why::Paused), "before the next round says so");
    assert_eq!(world.ask(0, UID, b"other", None, None), Err(Refusal::Paused));
    let again = world.ask(0, UID, TEXT, Some("r"), None);
    assert_eq!(again, Ok(Answer::Accepted { id, duplicate: true }), "what is kept is told");
    world.rounds(3);
    assert_eq!(world.state(0, id), State::Queued);
    assert_eq!(world.clients[0].core.status(UID).why, Some(Why::Paused));
    assert!(world.clients[0].left.ends_with(&[4, 5, 6]), "cover leaves");
    world.feed(0, Input::SetPaused(false));
    assert_eq!(world.clients[0].core.status(UID).why, None);
    world.rounds(2);
    assert_eq!(world.published(TEXT), 1);
    world.feed(0, Input::SetPaused(true));
    world.restart(0);
    assert!(!world.clients[0].core.status(UID).paused, "a restart forgets it");
}

#[test]
fn the_standing_message_fills_an_empty_queue_and_stops_when_exposed() {
    let mut world = World::with(params(), 5, |n, cfg| {
        if n == 0 {
            cfg.standing = Some(b"beacon".to_vec());
        }
    });
    world.rounds(6);
    assert_eq!(world.published(b"beacon"), 4, "every talking round from the third on");
    world.accept(0, TEXT);
    world.rounds(2);
    assert_eq!((world.published(TEXT), world.published(b"beacon")), (1, 5));
    assert_eq!(world.clients[0].core.status(0).queue.queued, 0, "it is no message of the queue");
    world.round(&Plan { garble: true, ..Plan::default() });
    world.rounds(5);
    assert_eq!(world.published(b"beacon"), 5);
    assert_eq!(world.clients[0].core.status(0).standing, Standing::Stopped);
    world.restart(0);
    world.rounds(5);
    assert_eq!(world.published(b"beacon"), 5, "a restart is nobody's decision");
}

#[test]
fn an_aggregator_that_refuses_is_left_for_the_next_round_only() {
    let mut world = ready(5);
    let to = |world: &World| {
        let sent = world.clients[0].seen.iter().rev().find(|s| s.what.starts_with("envelope")).unwrap();
        sent.what.split(' ').nth(1).unwrap().to_owned()
    };
    let before = to(&world);
    let round = world.opened;
    world.feed(0, Input::Envelope { round, taken: false });
    assert_eq!(world.clients[0].left.len(), 3, "never a second one in the same round");
    world.rounds(1);
    let after = to(&world);
    assert_ne!(before, after);
    world.rounds(3);
    assert_eq!(to(&world), after, "and kept while it works");
}

#[test]
fn stopping_lingers_or_not() {
    let mut world = World::new(Params { warm_up: 2, ..params() }, 5);
    world.rounds(8);
    let id = world.accept(0, TEXT);
    world.feed(0, Input::Stop { linger: true });
    assert_eq!(world.ask(0, UID, TEXT, None, None), Err(Refusal::Draining));
    world.rounds(1);
    assert!(!world.clients[0].stopped);
    world.rounds(4);
    assert!(world.clients[0].stopped, "at most 2 w records");
    assert_eq!(world.state(0, id), State::Queued, "it stays for the next start");
    assert_eq!(world.published(TEXT), 0);
    world.restart(0);
    world.feed(0, Input::Stop { linger: true });
    world.feed(0, Input::Stop { linger: false });
    assert!(world.clients[0].stopped, "a second one ends now");
    world.restart(0);
    world.clients[0].online = false;
    world.feed(0, Input::Stop { linger: true });
    world.pass(4 * 5_000);
    assert!(world.clients[0].stopped, "without a network it ends as well");
}
