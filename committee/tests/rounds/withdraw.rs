//! Vouches that are taken back: of whose release was withdrawn, or whose quote is too old.

use zeroize::Zeroizing;
use zipnet_committee::core::{Open, RegisterRefused};
use zipnet_committee::entry::Entry;
use zipnet_committee::state::{Refused, Stage};
use zipnet_dcnet::register::Pending;
use zipnet_dcnet::signed::Signed;
use zipnet_dcnet::statement::Withdrawal;

use crate::client::{FIRST, Without};
use crate::net::Net;
use crate::refuse_headers::refused;

fn listed(net: &Net) -> bool {
    let (_, roster) = net.state().next_header(net.descriptor.servers.clone());
    roster.index(&net.clients[0].id()).is_some()
}

/// What server 1 vouches for the first client.
fn vouch(net: &Net) -> Option<[u8; 32]> {
    let client = &net.clients[0];
    net.state().registry().vouch_of(&client.id(), &client.session, &net.id(1))
}

#[test]
fn who_is_no_longer_admitted_is_out_until_it_registers_anew_in_the_same_session() {
    let mut net = Net::started(61, 3, 6);
    net.rounds(2);
    assert!(listed(&net));
    let (before, session) = (vouch(&net).unwrap(), net.clients[0].session);
    net.withdraw(1, FIRST);
    net.until("it is taken back", |n| vouch(n).is_none());
    assert!(!listed(&net));
    // Nobody else is out, and rounds go on.
    net.rounds(2);
    assert_eq!(net.last_roster(), 5);
    assert!(!net.state().registry().is_evicted(&session), "nothing was held against it");
    // Nothing more to say, however often it is asked.
    let (now, s) = (net.now + 60_000, &mut net.servers[1]);
    assert!(s.core.reconsider(now, &s.state, &Without(FIRST)).is_empty());

    // It asks, hears that its chain is void, and registers with that server only.
    for i in 0..3 {
        let s = &net.servers[i];
        let shares = s.core.shares(&s.state, &net.clients[0].id(), &session);
        assert_eq!(shares, i != 1, "server {i}");
        net.clients[0].ask(&s.core, &s.state);
    }
    net.until("it is in again", listed);
    assert_eq!(net.clients[0].session, session);
    assert_ne!(vouch(&net), Some(before), "under another key");
    net.rounds(3);
    assert_eq!(net.last_roster(), 6);
    assert_eq!(net.abandoned(), Vec::<u64>::new());
    net.check_replay();
}

#[test]
fn a_chain_that_the_round_under_way_needs_stays_until_it_is_over() {
    let mut net = Net::started(62, 3, 6);
    net.rounds(2);
    let round = net.freeze(Stage::Committing);
    net.withdraw(1, FIRST);
    net.until("it is taken back", |n| vouch(n).is_none());
    let (client, server) = (&net.clients[0], net.id(1));
    let (deployment, boot) = (net.descriptor.id(), net.servers[1].core.boot());
    let random = Zeroizing::new([1; 32]);
    let (_, request) =
        Pending::new(&client.identity, deployment, server, boot, client.session, Vec::new(), &random);
    let (now, s) = (net.now, &mut net.servers[1]);
    let again = s.core.register(now, &s.state, &Open, &request);
    assert_eq!(again.err(), Some(RegisterRefused::Withdrawn));
    net.release();
    net.until("the round is over", |n| n.finals() >= round);
    let record = net.last();
    assert!(record.servers.contains(&server), "that server unblinded it");
    assert_eq!(record.participants.count(), 6, "with the pad of that client");
    let (now, s) = (net.now, &mut net.servers[1]);
    s.core.register(now, &s.state, &Open, &request).unwrap();
}

#[test]
fn a_withdrawal_takes_back_the_vouch_that_it_names_and_no_other() {
    let mut net = Net::started(63, 3, 6);
    let by = |net: &Net, server: usize, digest| {
        let (client, s) = (&net.clients[0], &net.servers[server]);
        let body = Withdrawal {
            deployment: net.descriptor.id(),
            server: net.id(server),
            boot: s.core.boot(),
            client: client.id(),
            session: client.session,
            digest,
        };
        Entry::Withdrawal(Signed::new(&s.identity, body))
    };
    let digest = vouch(&net).unwrap();
    let none = |entry: &Entry, net: &Net| matches!(refused(net.state(), entry), Refused::Vouch(_));
    assert!(none(&by(&net, 1, [0; 32]), &net));
    assert!(none(&by(&net, 2, digest), &net), "another server's");
    let good = by(&net, 1, digest);
    net.state().clone().apply(&good).unwrap();
    // After the client registered anew, the old word means nothing.
    net.withdraw(1, FIRST);
    net.until("it is taken back", |n| vouch(n).is_none());
    assert!(none(&good, &net));
    net.rounds(1);
    let s = &net.servers[1];
    net.clients[0].ask(&s.core, &s.state);
    net.until("it is in again", listed);
    assert!(none(&good, &net));
}
