//! Refused headers and header signatures: every field of R4.

use zipnet_committee::entry::{Entry, RoundSignature};
use zipnet_committee::state::{Refused, Stage, State};
use zipnet_dcnet::header::{Header, HeaderError, MAX_AGGREGATORS};
use zipnet_dcnet::ids::{DeploymentId, PeerId};
use zipnet_dcnet::partial::PartialError;
use zipnet_dcnet::signed::encode;

use crate::net::Net;

/// Why `entry` is refused; the state is as before.
pub(crate) fn refused(state: &State, entry: &Entry) -> Refused {
    let mut after = state.clone();
    let error = after.apply(entry).unwrap_err();
    assert!(!error.reason().is_empty());
    assert_eq!(encode(&after), encode(state), "{error}");
    error
}

/// Between two rounds, and the header that opens the next.
fn between(seed: u64) -> (Net, Header) {
    let mut net = Net::started(seed, 3, 6);
    net.rounds(2);
    net.run(100);
    assert!(net.state().round().is_none());
    let (header, _) = net.state().next_header(net.descriptor.servers.clone());
    net.state().clone().apply(&Entry::Open(header.clone())).unwrap();
    (net, header)
}

fn wrong(change: impl FnOnce(&mut Header)) -> Refused {
    let (net, mut header) = between(1);
    change(&mut header);
    refused(net.state(), &Entry::Open(header))
}

#[test]
fn of_another_deployment() {
    let other = DeploymentId([1; 32]);
    assert_eq!(wrong(|h| h.deployment = other), HeaderError::Deployment(other).into());
}

#[test]
fn of_another_round() {
    for change in [-1, 1, 7] {
        let error = wrong(|h| h.round = h.round.checked_add_signed(change).unwrap());
        assert!(matches!(error, Refused::Header(HeaderError::Round { .. })), "{error}");
    }
}

#[test]
fn on_another_record() {
    assert!(matches!(wrong(|h| h.prev[0] ^= 1), Refused::Header(HeaderError::Prev(_))));
    assert!(matches!(wrong(|h| h.prev = h.deployment.0), Refused::Header(HeaderError::Prev(_))));
}

#[test]
fn with_other_servers() {
    let servers = |error| matches!(error, Refused::Header(HeaderError::Servers(_)));
    assert!(servers(wrong(|h| h.servers.truncate(1))), "below a majority");
    assert!(servers(wrong(|h| h.servers.reverse())), "not ascending");
    assert!(servers(wrong(|h| h.servers[1] = h.servers[0])), "twice");
    assert!(servers(wrong(|h| h.servers.push(PeerId([0xff; 32])))), "not of the committee");
    assert!(servers(wrong(|h| h.servers.clear())), "none");
}

#[test]
fn with_other_aggregators() {
    let aggregators = |error| matches!(error, Refused::Header(HeaderError::Aggregators(_)));
    assert!(aggregators(wrong(|h| h.aggregators.clear())), "none");
    assert!(aggregators(wrong(|h| h.aggregators.push(PeerId([0xff; 32])))), "in no policy");
    assert!(aggregators(wrong(|h| h.aggregators.push(h.aggregators[0]))), "twice");
    let many =
        |h: &mut Header| h.aggregators = (0..=MAX_AGGREGATORS as u8).map(|i| PeerId([i; 32])).collect();
    assert!(aggregators(wrong(many)), "too many");
}

#[test]
fn with_another_roster() {
    assert!(matches!(wrong(|h| h.roster[0] ^= 1), Refused::Header(HeaderError::Roster(_))));
    assert!(matches!(wrong(|h| h.roster_len += 1), Refused::Header(HeaderError::Roster(_))));
    assert!(matches!(wrong(|h| h.roster_len = 2), Refused::Header(HeaderError::TooFew { len: 2, min: 3 })));
    assert!(matches!(wrong(|h| h.roster_len = u32::MAX), Refused::Header(HeaderError::TooMany(_))));
    // The roster of other servers than the ones named, and one without a client.
    let (net, header) = between(1);
    let (other, _) = net.state().next_header(net.descriptor.servers[..2].to_vec());
    let mixed = Header { roster: other.roster, ..header };
    assert!(matches!(refused(net.state(), &Entry::Open(mixed)), Refused::Header(HeaderError::Roster(_))));
}

#[test]
fn while_another_round_is_under_way() {
    let mut net = Net::started(2, 3, 6);
    let round = net.freeze(Stage::Folding);
    let (header, _) = net.state().next_header(net.descriptor.servers.clone());
    assert_eq!(refused(net.state(), &Entry::Open(header)), Refused::Busy(round));
}

#[test]
fn with_a_server_that_is_down_or_does_not_know_the_roster_yet() {
    let mut net = Net::started(3, 3, 8);
    net.rounds(2);
    let two = net.id(2);
    for client in &mut net.clients[3..] {
        client.cut_off.push(two);
    }
    net.crash(2);
    net.restart(2);
    net.until("a round without it", |n| n.last().servers.len() == 2);
    net.until("between rounds", |n| n.state().round().is_none());
    // Enough clients for a round, and just the ones that a leader would like to be alone with.
    let (header, roster) = net.state().next_header(net.descriptor.servers.clone());
    assert_eq!(roster.entries().len(), 3);
    assert_eq!(refused(net.state(), &Entry::Open(header)), Refused::NotEligible(two));
    net.servers[2].up = false;
    let (header, _) = net.state().next_header(net.descriptor.servers[..2].to_vec());
    net.state().clone().apply(&Entry::Open(header)).unwrap();

    let mut net = Net::started(4, 3, 6);
    net.servers[2].up = false;
    net.until("it is out", |n| n.state().server(&n.id(2)).unwrap().out);
    net.until("between rounds", |n| n.state().round().is_none());
    let (header, _) = net.state().next_header(net.descriptor.servers.clone());
    let two = net.id(2);
    assert_eq!(refused(net.state(), &Entry::Open(header)), Refused::NotEligible(two));
}

#[test]
fn header_signatures() {
    let mut net = Net::started(5, 3, 6);
    net.rounds(2);
    let round = net.freeze(Stage::Signing);
    let state = net.state().clone();
    let header = state.round().unwrap().header.clone();
    let (one, two) = (&net.servers[1].identity, &net.servers[2].identity);
    let entry =
        |round, server, signature| Entry::HeaderSignature(RoundSignature { round, server, signature });
    let good = header.sign(one);
    // Not the server's, another header's, another domain's.
    let bad = [
        header.sign(two),
        Header { round: round + 1, ..header.clone() }.sign(one),
        one.sign("record", &header.digest()),
    ];
    for signature in bad {
        assert!(matches!(refused(&state, &entry(round, one.peer_id(), signature)), Refused::Signature(_)));
    }
    assert_eq!(refused(&state, &entry(round + 1, one.peer_id(), good)), Refused::Stage(round + 1));
    assert_eq!(refused(&state, &entry(round - 1, one.peer_id(), good)), Refused::Stage(round - 1));
    let outsider = net.clients[0].identity.clone();
    let by_outsider = entry(round, outsider.peer_id(), header.sign(&outsider));
    assert_eq!(refused(&state, &by_outsider), PartialError::NotInHeader(outsider.peer_id()).into());
    let mut signed = state.clone();
    signed.apply(&entry(round, one.peer_id(), good)).unwrap();
    assert_eq!(refused(&signed, &entry(round, one.peer_id(), good)), Refused::Twice(one.peer_id()));
    // Open: nobody signs any more.
    net.release();
    net.until("it is open", |n| n.stage() == Some(Stage::Folding));
    let late = entry(round, net.id(1), good);
    assert_eq!(refused(net.state(), &late), Refused::Stage(round));
}
