//! Rounds in which everybody covers (R8), and what R9 asks of the others.

use zipnet_committee::state::Stage;

use crate::net::Net;

#[test]
fn the_round_after_an_abandoned_one_is_quiet_and_its_tokens_are_dead() {
    let mut net = Net::started(1, 3, 6);
    net.rounds(3);
    assert!(!net.last().reservations.is_empty());
    let round = net.freeze(Stage::Folding);
    assert!(!net.state().round().unwrap().quiet);
    assert!(net.state().round().unwrap().owned > 0);
    net.until("it is abandoned", |n| n.abandoned() == [round]);
    net.held.clear();
    net.hold = None;
    net.until("the next is open", |n| n.state().opened() == round + 1);
    assert!(net.state().round().unwrap().quiet);
    assert_eq!(net.state().round().unwrap().owned, 0);
    net.until("it is final", |n| n.finals() == round + 1);
    assert!(net.last().messages.is_empty() && net.last().reservations.is_empty());
    net.until("the one after is open", |n| n.state().opened() == round + 2);
    assert!(!net.state().round().unwrap().quiet);
}

#[test]
fn a_change_of_servers_is_quiet_once() {
    let mut net = Net::started(2, 5, 6);
    net.rounds(3);
    net.servers[4].up = false;
    net.until("four servers", |n| n.last().servers.len() == 4);
    let four = net.finals();
    net.until("the next is open", |n| n.state().opened() > four && n.state().round().is_some());
    assert!(!net.state().round().unwrap().quiet);
    net.rounds(2);
    net.servers[4].up = true;
    net.until("five are named", |n| n.state().round().is_some_and(|r| r.header.servers.len() == 5));
    let round = net.state().round().unwrap();
    assert!(round.quiet, "the record just before is by four");
    assert_eq!(net.last().round + 1, round.header.round);
    net.rounds(1);
    assert!(net.last().messages.is_empty());
    net.until("the next is open", |n| n.state().round().is_some_and(|r| r.header.round > n.finals()));
    assert!(!net.state().round().unwrap().quiet);
}

#[test]
fn who_vanishes_beyond_the_slack_costs_one_round_and_then_it_is_the_rest() {
    let mut net = Net::started(3, 3, 10);
    net.rounds(3);
    for i in 0..3 {
        net.clients[i].up = false;
    }
    let last = net.finals();
    net.until("the seven go on", |n| n.finals() > last && n.last().count() == 7);
    assert_eq!(net.abandoned(), [last + 1], "R9 refuses the first aggregate without the three");
    assert_eq!(net.finals(), last + 2, "the quiet one needs min_participants only");
    net.rounds(2);
    assert_eq!(net.abandoned().len(), 1);
}

#[test]
fn fewer_than_min_participants_are_never_unblinded_quiet_or_not() {
    let mut net = Net::started(4, 3, 6);
    net.rounds(2);
    for i in 0..4 {
        net.clients[i].up = false;
    }
    let last = net.finals();
    net.run(20_000);
    assert_eq!(net.finals(), last, "two clients are below min_participants");
    assert!(net.abandoned().len() > 10, "each is given up at once");
    net.clients[0].up = true;
    net.until("three are enough", |n| n.finals() > last);
    assert_eq!(net.last().count(), 3);
}
