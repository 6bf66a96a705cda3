//! What callers are promised: kept, bounded, told.

use zipnet_dcnet::params::Params;
use zipnetd::core::config::{MAX_QUEUE_BYTES, MAX_TTL_MS, MIN_TTL_MS};
use zipnetd::core::input::{Command, StoreFailure};
use zipnetd::core::message::State;
use zipnetd::core::status::{Skip, Why};
use zipnetd::core::{Answer, Input, Notice, Refusal};

use crate::sim::{Plan, STEP_MS, TEXT, UID, World, params, ready};

#[test]
fn ttl_ends_a_message_that_never_left() {
    let mut world = World::new(params(), 5);
    world.clients[0].online = false;
    let Ok(Answer::Accepted { id, .. }) = world.ask(0, UID, TEXT, None, Some(2_000)) else { panic!() };
    world.pass(1_950);
    assert_eq!(world.state(0, id), State::Queued);
    world.pass(STEP_MS);
    assert_eq!(world.state(0, id), State::Expired);
    world.restart(0);
    assert_eq!(world.state(0, id), State::Expired);
    let Ok(Answer::Accepted { id, .. }) = world.ask(0, UID, TEXT, None, Some(2_000)) else { panic!() };
    world.pass(3_000);
    world.restart(0);
    assert_eq!(world.state(0, id), State::Expired, "its time ran out while it was down");
    world.clients[0].online = true;
    world.rounds(5);
    assert_eq!(world.published(TEXT), 0);
}

#[test]
fn limits_at_their_edges() {
    let mut world = World::new(params(), 1);
    assert!(world.ask(0, UID, &[1; 32], None, None).is_ok());
    assert_eq!(world.ask(0, UID, &[1; 33], None, None), Err(Refusal::MessageTooLong { len: 33, max: 32 }));
    for (ttl, fits) in
        [(MIN_TTL_MS - 1, false), (MIN_TTL_MS, true), (MAX_TTL_MS, true), (MAX_TTL_MS + 1, false)]
    {
        assert_eq!(world.ask(0, UID, b"", None, Some(ttl)).is_ok(), fits, "{ttl}");
    }
    let long = "x".repeat(65);
    for (id, fits) in [("", false), ("a b", false), (&long[..64], true), (&long, false)] {
        assert_eq!(world.ask(0, UID, b"", Some(id), None).is_ok(), fits, "{id}");
    }
    let queued = world.clients[0].core.status(UID).queue.queued as usize;
    for _ in queued..10_000 {
        world.ask(0, UID, b"", None, None).unwrap();
    }
    assert!(matches!(world.ask(0, UID, b"", None, None), Err(Refusal::QueueFull { messages: 10_000, .. })));
    assert_eq!(world.clients[0].core.stuck(), None);
}

#[test]
fn the_queue_takes_so_many_bytes_and_no_more() {
    let params = Params { slot_bytes: 60_016, slots: 1, ..params() };
    let mut world = World::new(params, 1);
    for _ in 0..MAX_QUEUE_BYTES / 60_000 {
        world.ask(0, UID, &[1; 60_000], None, None).unwrap();
    }
    let left = MAX_QUEUE_BYTES % 60_000;
    let full = world.ask(0, UID, &vec![1; left + 1], None, None);
    assert!(matches!(full, Err(Refusal::QueueFull { .. })), "{full:?}");
    world.ask(0, UID, &vec![1; left], None, None).unwrap();
    assert_eq!(
        world.ask(0, UID, b"x", None, None),
        Err(Refusal::QueueFull { messages: 70, bytes: MAX_QUEUE_BYTES })
    );
}

#[test]
fn a_clock_that_ran_ahead_makes_no_message_wait_for_ever() {
    let mut world = World::new(params(), 1);
    world.clients[0].online = false;
    let now = world.now;
    world.now += 100 * MAX_TTL_MS;
    let id = world.accept(0, TEXT);
    world.now = now;
    world.restart(0);
    let view = world.clients[0].core.message(UID, &id).unwrap();
    assert!(view.expires_at <= now + MAX_TTL_MS, "{}", view.expires_at - now);
}

#[test]
fn a_request_id_names_one_message_per_uid() {
    let mut world = ready(5);
    let Ok(Answer::Accepted { id, duplicate: false }) = world.ask(0, UID, TEXT, Some("r"), None) else {
        panic!()
    };
    let again = Ok(Answer::Accepted { id, duplicate: true });
    assert_eq!(world.ask(0, UID, TEXT, Some("r"), None), again);
    assert_eq!(world.ask(0, UID, b"other", Some("r"), None), Err(Refusal::RequestIdReused("r".into())));
    assert!(matches!(
        world.ask(0, UID + 1, b"other", Some("r"), None),
        Ok(Answer::Accepted { duplicate: false, .. })
    ));
    world.rounds(3);
    assert_eq!(world.ask(0, UID, TEXT, Some("r"), None), again, "terminal by now");
    assert_eq!(world.ask(0, UID, b"other", Some("r"), None), Err(Refusal::RequestIdReused("r".into())));
    world.restart(0);
    assert_eq!(world.ask(0, UID, TEXT, Some("r"), None), again, "after a restart too");
    world.rounds(3);
    assert_eq!(world.published(TEXT), 1);
}

#[test]
fn callers_see_their_own_messages_root_and_the_daemon_see_all() {
    let mut world = ready(5);
    let id = world.accept(0, TEXT);
    let core = &world.clients[0].core;
    assert_eq!(core.message(UID + 1, &id).unwrap_err(), Refusal::NotYours(id));
    assert!(core.message(0, &id).is_ok() && core.message(77, &id).is_ok());
    assert_eq!(core.status(UID + 1).queue.reserved, 0);
    assert_eq!(core.status(UID).queue.reserved, 1, "a token was out already");
    assert_eq!(core.status(0).queue.reserved, 1);
    let none = zipnetd::core::MessageId([9; 16]);
    assert_eq!(core.message(0, &none).unwrap_err(), Refusal::NotFound(none));
}

#[test]
fn a_cancelled_message_frees_its_slot_and_a_sealed_one_stays() {
    let mut world = ready(5);
    let first = world.accept(0, b"first");
    let second = world.accept(0, b"second");
    assert_eq!(world.cancel(0, UID + 1, first), Err(Refusal::NotYours(first)));
    let Ok(Answer::Cancelled { cancelled: true, message }) = world.cancel(0, UID, first) else { panic!() };
    assert_eq!((message.id, message.state, message.next_at), (first, State::Cancelled, None));
    let Ok(Answer::Cancelled { cancelled: false, message }) = world.cancel(0, UID, first) else { panic!() };
    assert_eq!(message.state, State::Cancelled, "it is terminal already");
    let (signed, sent) = world.until_sealed(0, second);
    assert_eq!(signed.header.round, 4, "the reservation under way carries the next one");
    let Ok(Answer::Cancelled { cancelled: false, message }) = world.cancel(0, UID, second) else { panic!() };
    assert!(matches!(message.state, State::Sealed(_)), "too late");
    world.finish(&Plan::default(), &signed, sent);
    assert_eq!((world.published(b"first"), world.published(b"second")), (0, 1));
}

#[test]
fn accepted_means_durable() {
    let mut world = ready(5);
    world.clients[0].store_hangs = true;
    let accept = |request: &str| Command::Accept {
        uid: UID,
        payload: TEXT.to_vec(),
        request_id: Some(request.to_owned()),
        ttl_ms: None,
        receipt: false,
    };
    let first = world.command(0, accept("a"));
    let twin = world.command(0, accept("a"));
    let other = world.command(0, accept("b"));
    assert!(world.clients[0].answers.is_empty(), "nothing is durable yet");
    let hanging = std::mem::take(&mut world.clients[0].hanging);
    assert_eq!(hanging.len(), 2, "one write for both callers");
    world.feed(0, Input::Stored { ticket: hanging[0].0, result: Ok(()) });
    world.feed(0, Input::Stored { ticket: hanging[1].0, result: Err(StoreFailure::Full) });
    let answers = &world.clients[0].answers;
    let Ok(Answer::Accepted { id, duplicate: false }) = answers[&first] else { panic!() };
    assert_eq!(answers[&twin], Ok(Answer::Accepted { id, duplicate: true }));
    assert_eq!(answers[&other], Err(Refusal::Store(StoreFailure::Full)));
    assert_eq!(world.clients[0].core.status(UID).queue.reserved, 1, "the other one is gone");
}

#[test]
fn nothing_leaves_before_its_write_is_durable() {
    let mut world = ready(5);
    let id = world.accept(0, TEXT);
    world.clients[0].store_hangs = true;
    world.round(&Plan::default());
    assert_eq!(world.clients[0].left, [1, 2, 3], "no envelope without its write");
    world.round(&Plan::default());
    assert_eq!(world.clients[0].core.status(UID).why, Some(Why::NotSealed(Skip::StoreBusy)));
    world.clients[0].store_hangs = false;
    let hanging = std::mem::take(&mut world.clients[0].hanging);
    for (ticket, _) in hanging {
        world.feed(0, Input::Stored { ticket, result: Err(StoreFailure::Failed) });
    }
    world.rounds(60);
    assert!(matches!(world.state(0, id), State::Published { .. }));
    assert_eq!(world.published(TEXT), 1);
}

#[test]
fn every_open_message_says_what_comes_next() {
    let mut world = World::new(params(), 5);
    let id = world.accept(0, TEXT);
    for plan in [Plan::default(), Plan { abandon: Some(vec![]), ..Plan::default() }, Plan::default()] {
        for _ in 0..40 {
            let view = world.clients[0].core.message(UID, &id).unwrap();
            if view.state.is_terminal() {
                assert!(view.next_step.is_empty() && view.next_at.is_none() && view.length.is_none());
                continue;
            }
            assert!(!view.next_step.is_empty());
            assert!(view.next_at.unwrap() >= world.now, "{}", view.next_step);
            world.pass(STEP_MS);
        }
        world.round(&plan);
        assert!(world.clients[0].core.next_wake() > world.now);
    }
}

#[test]
fn nobody_is_told_cancelled_before_it_is_durable() {
    let mut world = ready(5);
    world.clients[0].online = false;
    let id = world.accept(0, TEXT);
    world.clients[0].store = Err(StoreFailure::Full);
    let cancel = |world: &mut World| {
        let reply = world.command(0, Command::Cancel { uid: UID, id });
        world.clients[0].answers.remove(&reply).unwrap()
    };
    assert_eq!(cancel(&mut world), Err(Refusal::Store(StoreFailure::Full)));
    assert_eq!(cancel(&mut world), Err(Refusal::Store(StoreFailure::Full)), "asked again");
    assert!(matches!(world.ask(0, UID, b"more", None, None), Err(Refusal::Store(StoreFailure::Full))));
    let told = world.clients[0].notices.iter().any(|n| matches!(n, Notice::StoreFailed { .. }));
    assert!(!told, "the log would tell when somebody sends");
    world.clients[0].store = Ok(());
    assert!(matches!(cancel(&mut world), Ok(Answer::Cancelled { cancelled: true, .. })));
    assert!(matches!(cancel(&mut world), Ok(Answer::Cancelled { cancelled: false, .. })), "it was before");
    world.restart(0);
    world.clients[0].online = true;
    world.rounds(6);
    assert_eq!(world.state(0, id), State::Cancelled);
    assert_eq!(world.published(TEXT), 0);
}

#[test]
fn a_failing_disk_is_told_by_rounds_at_every_doubling_and_when_it_works_again() {
    let mut world = ready(5);
    world.clients[0].store = Err(StoreFailure::Full);
    world.rounds(6);
    world.clients[0].store = Ok(());
    world.rounds(2);
    let told: Vec<u32> = world.clients[0]
        .notices
        .iter()
        .filter_map(|n| match n {
            Notice::StoreFailed { failures, .. } | Notice::StoreWorks { failures } => Some(*failures),
            _ => None,
        })
        .collect();
    let (works, failed) = told.split_last().unwrap();
    assert!(failed.len() > 2 && failed.iter().all(|n| n.is_power_of_two()), "{told:?}");
    assert!(works >= failed.last().unwrap(), "{told:?}");
}

#[test]
fn what_was_settled_while_the_disk_was_full_is_written_before_a_restart_may_skip_it() {
    let mut world = ready(5);
    let id = world.accept(0, TEXT);
    let (signed, sent) = world.until_sealed(0, id);
    world.clients[0].store = Err(StoreFailure::Full);
    world.finish(&Plan::default(), &signed, sent);
    assert!(matches!(world.state(0, id), State::Published { .. }));
    world.pass(500);
    world.clients[0].store = Ok(());
    // Other writes get through; then the power fails.
    world.rounds(1);
    world.restart(0);
    world.rounds(6);
    assert!(matches!(world.state(0, id), State::Published { .. }), "{:?}", world.state(0, id));
    assert_eq!(world.published(TEXT), 1);
}
