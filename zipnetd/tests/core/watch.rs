//! Lists, and what changed since.

use zipnetd::core::message::State;
use zipnetd::core::{Changes, Input, MessageId};

use crate::sim::{Plan, TEXT, UID, World, ready};

/// Everything that changed since, in pages of `limit`.
fn since(world: &World, uid: u32, mut number: u64, limit: usize) -> (Vec<(MessageId, State, bool)>, u64) {
    let mut all = vec![];
    loop {
        let Changes { messages, upto, more, last } =
            world.clients[0].core.changed_since(uid, None, number, limit);
        assert!(messages.len() <= limit && upto <= last);
        assert!(messages.iter().all(|(at, _)| *at > number && *at <= upto));
        all.extend(messages.into_iter().map(|(_, m)| (m.id, m.state, m.reserved)));
        assert!(!more || upto > number, "it gets on");
        number = upto;
        if !more {
            return (all, number);
        }
    }
}

#[test]
fn every_change_is_told_once_and_the_last_state_counts() {
    let mut world = World::new(crate::sim::params(), 5);
    assert_eq!(since(&world, UID, 0, 10), (vec![], 0));
    let id = world.accept(0, TEXT);
    let (first, at) = since(&world, UID, 0, 10);
    assert_eq!(first, [(id, State::Queued, false)]);
    assert_eq!(since(&world, UID, at, 10), (vec![], at), "nothing new");
    // A watcher who looks after every round sees it pass through all its states, being reserved among them.
    let (mut number, mut seen) = (at, vec![]);
    for _ in 0..6 {
        let signed = world.open(&Plan::default());
        let roster = zipnet_dcnet::wire::RosterUpdate::Fetch;
        world.tell(&zipnet_dcnet::wire::Event::Open { header: Box::new(signed.clone()), roster });
        let sent = world.pass(500);
        let (changed, upto) = since(&world, UID, number, 10);
        seen.extend(changed);
        world.finish(&Plan::default(), &signed, sent);
        world.pass(500);
        let (changed, upto) = since(&world, UID, upto, 10);
        seen.extend(changed);
        number = upto;
    }
    let words: Vec<&str> = seen
        .iter()
        .map(|(_, state, reserved)| match state {
            State::Queued if *reserved => "reserved",
            State::Queued => "queued",
            State::Sealed(_) => "sealed",
            State::Published { .. } => "published",
            _ => "other",
        })
        .collect();
    assert_eq!(words, ["reserved", "sealed", "published"]);
    // One who slept through it sees the end only.
    let (late, _) = since(&world, UID, at, 10);
    assert!(matches!(late[..], [(_, State::Published { .. }, false)]), "{late:?}");
}

#[test]
fn the_end_of_a_reservation_is_a_change() {
    let mut world = ready(5);
    let id = world.accept(0, TEXT);
    let (changed, at) = since(&world, UID, 0, 10);
    assert_eq!(changed, [(id, State::Queued, true)], "a token was out already");
    world.feed(0, Input::Stop { linger: true });
    assert_eq!(since(&world, UID, at, 10).0, [(id, State::Queued, false)]);
}

#[test]
fn callers_see_their_own_changes_and_pages_are_bounded() {
    let mut world = World::new(crate::sim::params(), 1);
    let mut own = vec![];
    for n in 0..50 {
        let uid = UID + n % 2;
        let zipnetd::core::Answer::Accepted { id, .. } = world.ask(0, uid, b"x", None, None).unwrap() else {
            panic!()
        };
        own.extend((uid == UID).then_some(id));
    }
    let ids = |all: Vec<(MessageId, State, bool)>| all.into_iter().map(|(id, ..)| id).collect::<Vec<_>>();
    assert_eq!(ids(since(&world, UID, 0, 7).0), own);
    assert_eq!(since(&world, 0, 0, 7).0.len(), 50);
    assert_eq!(since(&world, UID + 2, 0, 7).0, []);
    let core = &world.clients[0].core;
    let one = core.changed_since(UID, Some(&own[3]), 0, 1);
    assert_eq!(one.messages.iter().map(|(_, m)| m.id).collect::<Vec<_>>(), [own[3]]);
    assert!(!one.more && one.upto < one.last, "where the caller is does not move by what others do");
    let nobody = core.changed_since(UID + 2, None, 0, 1_000);
    assert_eq!((nobody.upto, nobody.more), (0, false));
    assert!(core.changed_since(UID, Some(&own[3]), one.upto, 1).messages.is_empty());
}

#[test]
fn what_is_not_durable_is_neither_listed_nor_told() {
    let mut world = ready(5);
    world.clients[0].store_hangs = true;
    world.command(
        0,
        zipnetd::core::input::Command::Accept {
            uid: UID,
            payload: TEXT.to_vec(),
            request_id: None,
            ttl_ms: None,
            receipt: false,
        },
    );
    let list = |world: &World| world.clients[0].core.list(UID, |_, _| true, MessageId::NONE, 10).0;
    assert!(list(&world).is_empty());
    let (changed, at) = since(&world, UID, 0, 10);
    assert!(changed.is_empty());
    let (ticket, _) = world.clients[0].hanging.remove(0);
    world.feed(0, Input::Stored { ticket, result: Ok(()) });
    assert_eq!(list(&world).len(), 1);
    assert_eq!(since(&world, UID, at, 10).0.len(), 1);
}

#[test]
fn lists_are_in_the_order_of_acceptance_page_by_page_and_by_state() {
    let mut world = World::new(crate::sim::params(), 1);
    let ids: Vec<MessageId> = (0..25).map(|_| world.accept(0, b"x")).collect();
    world.ask(0, UID + 1, b"theirs", None, None).unwrap();
    for id in ids.iter().step_by(5) {
        world.cancel(0, UID, *id).unwrap();
    }
    let core = &world.clients[0].core;
    let (mut all, mut after) = (vec![], Some(MessageId::NONE));
    while let Some(from) = after {
        let (page, next) = core.list(UID, |_, _| true, from, 10);
        all.extend(page.into_iter().map(|m| m.id));
        after = next;
    }
    assert_eq!(all, ids);
    let (page, next) = core.list(UID, |_, _| true, MessageId::NONE, 25);
    assert_eq!((page.len(), next), (25, None), "a page that is just full is the last one");
    assert_eq!(core.list(0, |_, _| true, MessageId::NONE, 1_000).0.len(), 26);
    let cancelled = |state: &State, _: bool| *state == State::Cancelled;
    let (page, next) = core.list(UID, cancelled, MessageId::NONE, 4);
    assert_eq!((page.len(), next), (4, Some(ids[15])));
    let (page, next) = core.list(UID, cancelled, ids[15], 4);
    assert_eq!((page.iter().map(|m| m.id).collect::<Vec<_>>(), next), (vec![ids[20]], None));
}

#[test]
fn a_page_has_a_thousand_at_most() {
    let mut world = World::new(crate::sim::params(), 1);
    for _ in 0..1_001 {
        world.accept(0, b"");
    }
    let core = &world.clients[0].core;
    let (page, next) = core.list(UID, |_, _| true, MessageId::NONE, usize::MAX);
    assert_eq!((page.len(), next.is_some()), (1_000, true));
    let changes = core.changed_since(UID, None, 0, usize::MAX);
    assert_eq!((changes.messages.len(), changes.upto, changes.more), (1_000, changes.messages[999].0, true));
}
