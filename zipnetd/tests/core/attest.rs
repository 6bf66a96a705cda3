//! Evidence with registrations, where servers admit by TDX quote: R2 and protocol.md section 19.

use zipnetd::core::message::State;
use zipnetd::core::{Input, Notice};

use crate::sim::{QUOTE_ROUNDS, STEP_MS, TEXT, UID, World};

/// Five clients that are in rounds.
fn admitted() -> World {
    let mut world = World::attested(5);
    // The first ones of a deployment wait a moment for a record.
    world.pass(3_000);
    world.rounds(3);
    world
}

fn failures(world: &World) -> Vec<u32> {
    let failures = |n: &Notice| if let Notice::NoQuote { failures, .. } = n { Some(*failures) } else { None };
    world.clients[0].notices.iter().filter_map(failures).collect()
}

fn registered(world: &World) -> usize {
    world.clients[0].core.status(UID).vouched_by.len()
}

#[test]
fn one_quote_registers_with_all_servers_and_names_the_deployment_while_there_is_no_record() {
    let mut world = World::attested(5);
    world.pass(1_000);
    assert!(world.quotes.is_empty(), "a record may come with the next server");
    world.pass(2_000);
    let first: Vec<_> = (0..5).map(|n| (n, world.deployment.0)).collect();
    let mut asked = world.quotes.clone();
    asked.sort_unstable();
    assert_eq!(asked, first);
    assert_eq!(registered(&world), 3);
    world.rounds(3);
    let id = world.accept(0, TEXT);
    world.rounds(2);
    assert!(matches!(world.state(0, id), State::Published { .. }));
    assert_eq!(world.quotes.len(), 5, "no more than one each");
}

#[test]
fn a_server_that_restarts_gets_the_same_quote_while_that_is_fresh_and_a_new_one_when_it_was_refused() {
    let mut world = admitted();
    world.restart_server(1, true);
    world.rounds(1);
    assert_eq!((world.quotes.len(), registered(&world)), (5, 3));
    // By now too old for the servers, though not in the client's eyes.
    world.rounds(QUOTE_ROUNDS + 1);
    let (_, tip) = world.last.clone().unwrap();
    world.restart_server(1, true);
    world.pass(1_000);
    let mut again = world.quotes[5..].to_vec();
    again.sort_unstable();
    assert_eq!(again, (0..5).map(|n| (n, tip)).collect::<Vec<_>>(), "over the last record");
    assert_eq!(registered(&world), 3);
}

#[test]
fn without_a_quote_nobody_is_asked_to_register_and_it_is_tried_ever_more_rarely() {
    let mut world = World::attested(1);
    world.helper = Err("no helper".to_owned());
    let begin = world.now;
    while world.now < begin + 300_000 {
        // Nothing is due every millisecond, which would be a hot loop.
        let wake = world.clients[0].core.next_wake();
        assert!(wake > world.now && wake <= world.now + 60_000, "{}", wake - world.now);
        world.now = wake;
        world.feed(0, Input::Tick);
    }
    assert_eq!(registered(&world), 0);
    assert!((8..=20).contains(&world.quotes.len()), "{} in five minutes", world.quotes.len());
    assert_eq!(failures(&world)[..4], [1, 2, 4, 8]);
    // The helper is there again: at most the longest pause later it is registered.
    world.helper = Ok(());
    world.pass(60_000 + STEP_MS);
    assert_eq!(registered(&world), 3);
}

#[test]
fn a_vouch_that_was_taken_back_is_asked_for_again_in_the_same_session() {
    let mut world = admitted();
    world.rounds(QUOTE_ROUNDS + 1);
    world.clients[0].notices.clear();
    world.withdraw(1, 0);
    // The next header does not list it: it asks that server, and shows a new quote.
    world.rounds(1);
    assert!(matches!(world.clients[0].notices[0], Notice::Unregistered { .. }));
    world.rounds(2);
    assert!(world.clients[0].notices.iter().any(|n| matches!(n, Notice::Registered { .. })));
    assert!(!world.clients[0].notices.iter().any(|n| matches!(n, Notice::SessionStarted { .. })));
    assert_eq!(world.quotes.iter().filter(|(n, _)| *n == 0).count(), 2);
    let id = world.accept(0, TEXT);
    world.rounds(2);
    assert!(matches!(world.state(0, id), State::Published { .. }));
}

#[test]
fn a_new_session_needs_a_quote_of_its_own_and_takes_none_of_the_old_one() {
    let mut world = admitted();
    world.evict(0);
    world.rounds(12);
    assert!(world.clients[0].core.status(UID).registered);
    assert_eq!(world.quotes.iter().filter(|(n, _)| *n == 0).count(), 2);
    // An answer for a session that is over changes nothing.
    let before = world.quotes.len();
    world.feed(0, Input::Attested { session: [0; 32], result: Err("late".to_owned()) });
    assert!(failures(&world).is_empty());
    assert_eq!(world.quotes.len(), before);
}
