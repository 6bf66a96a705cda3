//! What a server says, altered.

use zipnet_dcnet::signed::encode;
use zipnet_dcnet::wire::{Ended, Event, RosterUpdate};
use zipnetd::core::Input;
use zipnetd::core::message::State;

use super::sim::{Plan, TEXT, ready};

/// `event` with one bit flipped, for each byte from the first to the last that is covered by signatures.
fn altered(event: &Event, end: usize) -> Vec<Event> {
    let bytes = encode(event);
    let flip = |place: usize| {
        let mut bytes = bytes.clone();
        bytes[place] ^= 1 << (place % 8);
        borsh::from_slice::<Event>(&bytes).ok()
    };
    // The first byte says which event it is.
    (1..bytes.len() - end).filter_map(flip).collect()
}

#[test]
fn a_flipped_bit_of_what_a_server_says_moves_no_client() {
    let mut world = ready(5);
    let id = world.accept(0, TEXT);
    let signed = world.open(&Plan::default());
    let round = signed.header.round;
    let from = world.server(0);
    let event = Event::Open { header: Box::new(signed.clone()), roster: RosterUpdate::Fetch };
    // The last byte says where the roster is.
    let lies = altered(&event, 1);
    assert!(lies.len() > 200, "{} altered headers decode", lies.len());
    for lie in lies {
        world.feed(0, Input::Event { from, event: lie });
    }
    world.pass(100);
    assert!(world.clients[0].outbox.is_empty() && !world.clients[0].left.contains(&round));
    assert_eq!(world.state(0, id), State::Queued);
    world.tell(&event);
    let sent = world.pass(500);
    assert_eq!(sent.len(), 5, "the honest one counts still");
    assert!(matches!(world.state(0, id), State::Sealed(at) if at.round == round));
    world.finish(&Plan { tell: false, ..Plan::default() }, &signed, sent);
    // The record as a server alters it: nothing is published, exposed or sent again by it.
    let record = Ended::Final(Box::new(world.signed(world.record(round), &[0, 1, 2])));
    let event = Event::Ended(record);
    let lies = altered(&event, 0);
    assert!(lies.len() > 300, "{} altered records decode", lies.len());
    for lie in lies {
        world.feed(0, Input::Event { from, event: lie });
        assert!(matches!(world.state(0, id), State::Sealed(_)), "an altered record settles it");
    }
    world.tell(&event);
    assert!(matches!(world.state(0, id), State::Published { round: at, .. } if at == round));
    world.rounds(2);
    assert_eq!(world.published(TEXT), 1);
}

#[test]
fn who_is_left_out_of_a_record_goes_to_another_aggregator() {
    let mut world = ready(5);
    let left_out = Plan { lost: vec![0], ..Plan::default() };
    let to = |world: &super::sim::World, client: usize, round: u64| {
        let sent = world.clients[client].seen.iter().find_map(|seen| {
            let mut words = seen.what.strip_prefix("envelope ")?.split(' ');
            let (aggregator, of) = (words.next()?, words.next()?);
            (of == round.to_string()).then(|| aggregator.to_owned())
        });
        sent.expect("it sealed")
    };
    for _ in 0..3 {
        world.round(&left_out);
        let round = world.opened;
        world.round(&Plan::default());
        assert_ne!(to(&world, 0, round), to(&world, 0, round + 1), "taken, and not folded");
        assert_eq!(to(&world, 1, round), to(&world, 1, round + 1), "nobody else moves");
    }
}
