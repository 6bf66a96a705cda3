//! Refused statements of servers: of another deployment, boot or signer; signatures on records; disclosures.

use zipnet_committee::entry::{Alive, Entry, RoundSignature};
use zipnet_committee::state::{Refused, Stage};
use zipnet_dcnet::header::MAX_AGGREGATORS;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{DeploymentId, PeerId};
use zipnet_dcnet::partial::PartialError;
use zipnet_dcnet::record::Record;
use zipnet_dcnet::signed::{Signed, encode};
use zipnet_dcnet::statement::{Disclosure, Lapse, Policy, Vouch};
use zipnet_dcnet::wire::Ended;

use crate::net::Net;
use crate::refuse_headers::refused;

const ELSEWHERE: DeploymentId = DeploymentId([1; 32]);

fn started(seed: u64) -> Net {
    let mut net = Net::started(seed, 3, 6);
    net.rounds(2);
    net.run(500);
    net
}

/// What server `i` says, with `client`'s name under it: nobody of the committee.
fn entries(net: &Net, by: &Identity, deployment: DeploymentId, boot: [u8; 32]) -> Vec<Entry> {
    let server = by.peer_id();
    let client = net.clients[0].identity.client_bundle();
    let vouch = Vouch { deployment, server, boot, client, session: [7; 32], digest: [8; 32] };
    let round = net.finals();
    // Another start with the same state folder.
    let mut again = boot;
    again[0] ^= 1;
    vec![
        Entry::Vouch(Box::new(Signed::new(by, vouch))),
        Entry::Alive(Signed::new(by, Alive { deployment, server, boot, round })),
        Entry::Lapse(Box::new(Signed::new(
            by,
            Lapse { deployment, server, boot: again, after: boot, bundle: by.server_bundle() },
        ))),
        Entry::Policy(Signed::new(by, Policy { deployment, server, aggregators: Vec::new() })),
    ]
}

#[test]
fn statements_of_another_deployment() {
    let net = started(1);
    let s = &net.servers[1];
    for entry in entries(&net, &s.identity, ELSEWHERE, s.core.boot()) {
        assert_eq!(refused(net.state(), &entry), Refused::Deployment, "{entry:?}");
    }
    for entry in entries(&net, &s.identity, net.descriptor.id(), s.core.boot()) {
        net.state().clone().apply(&entry).unwrap();
    }
}

#[test]
fn statements_by_a_node_that_is_no_server() {
    let net = started(2);
    let outsider = net.clients[1].identity.clone();
    for entry in entries(&net, &outsider, net.descriptor.id(), net.servers[1].core.boot()) {
        assert_eq!(refused(net.state(), &entry), Refused::NotServer(outsider.peer_id()), "{entry:?}");
    }
}

#[test]
fn statements_under_a_signature_that_is_not_the_servers() {
    let net = started(3);
    let s = &net.servers[1];
    for entry in entries(&net, &s.identity, net.descriptor.id(), s.core.boot()) {
        let mut bytes = encode(&entry);
        let last = bytes.len() - 1;
        bytes[last - 40] ^= 1;
        let forged: Entry = borsh::from_slice(&bytes).unwrap();
        assert!(matches!(refused(net.state(), &forged), Refused::Signature(_)), "{entry:?}");
    }
    // Server 2's name in what server 1 signed.
    let (one, two) = (net.id(1), net.id(2));
    for entry in entries(&net, &s.identity, net.descriptor.id(), s.core.boot()) {
        let mut bytes = encode(&entry);
        let at = bytes.windows(32).position(|w| w == one.0).unwrap();
        bytes[at..at + 32].copy_from_slice(&two.0);
        let borrowed: Entry = borsh::from_slice(&bytes).unwrap();
        assert!(matches!(refused(net.state(), &borrowed), Refused::Signature(_)), "{entry:?}");
    }
}

#[test]
fn statements_of_another_boot() {
    let mut net = started(4);
    let one = net.id(1);
    let old = net.servers[1].core.boot();
    let before = entries(&net, &net.servers[1].identity, net.descriptor.id(), old);
    net.crash(1);
    net.restart(1);
    net.run(2_000);
    for entry in before.iter().filter(|e| matches!(e, Entry::Vouch(_) | Entry::Alive(_))) {
        assert_eq!(refused(net.state(), entry), Refused::Boot(one));
    }
}

#[test]
fn a_lapse_said_twice_voids_nothing_the_second_time() {
    let net = started(5);
    let (s, one) = (&net.servers[1], net.id(1));
    let bundle = s.identity.server_bundle();
    let after = s.core.boot();
    let lapse = Lapse { deployment: net.descriptor.id(), server: one, boot: after, after, bundle };
    let again = Entry::Lapse(Box::new(Signed::new(&s.identity, lapse.clone())));
    assert_eq!(refused(net.state(), &again), Refused::Twice(one));
    // With the bundle of another node.
    let bundle = net.servers[2].identity.server_bundle();
    let mixed =
        Entry::Lapse(Box::new(Signed::new(&s.identity, Lapse { boot: [3; 32], bundle, ..lapse.clone() })));
    assert_eq!(refused(net.state(), &mixed), Refused::NotServer(net.id(2)));
    // With another state folder than it had.
    let mut boot = s.core.boot();
    boot[16] ^= 1;
    let other = Entry::Lapse(Box::new(Signed::new(&s.identity, Lapse { boot, ..lapse })));
    assert_eq!(refused(net.state(), &other), Refused::Life(one));
}

/// Whoever has the log has every lapse there was, and may propose it again: after a restart the one from before it is old.
#[test]
fn a_lapse_of_an_earlier_restart_voids_nothing_later() {
    let net = started(5);
    let mut state = net.state().clone();
    let (s, one) = (&net.servers[1], net.id(1));
    let bundle = s.identity.server_bundle();
    let lapse = |boot: [u8; 32], after: [u8; 32]| {
        let lapse = Lapse { deployment: net.descriptor.id(), server: one, boot, after, bundle };
        Entry::Lapse(Box::new(Signed::new(&s.identity, lapse)))
    };
    let first = s.core.boot();
    let boots = [1, 2].map(|n| {
        let mut boot = first;
        boot[0] ^= n;
        boot
    });
    let (second, third) = (lapse(boots[0], first), lapse(boots[1], boots[0]));
    // Out of their order they are refused, in it each counts once.
    assert_eq!(state.apply(&third), Err(Refused::Boot(one)));
    state.apply(&second).unwrap();
    state.apply(&third).unwrap();
    for old in [lapse(first, [0; 32]), second] {
        assert_eq!(state.apply(&old), Err(Refused::Boot(one)));
    }
    assert_eq!(state.server(&one).unwrap().boot.unwrap().0, boots[1]);
}

#[test]
fn policies_with_too_many_or_unsorted_aggregators() {
    let net = started(6);
    let one = net.id(1);
    let policy = |aggregators: Vec<PeerId>| {
        let body = Policy { deployment: net.descriptor.id(), server: one, aggregators };
        Entry::Policy(Signed::new(&net.servers[1].identity, body))
    };
    let many = (0..=MAX_AGGREGATORS as u8).map(|i| PeerId([i; 32])).collect();
    for list in [many, vec![PeerId([2; 32]), PeerId([1; 32])], vec![PeerId([2; 32]); 2]] {
        assert_eq!(refused(net.state(), &policy(list)), Refused::Policy(one));
    }
}

#[test]
fn vouches_for_who_is_no_client_or_was_evicted() {
    let mut net = started(7);
    let one = net.id(1);
    let vouch = |net: &Net, client, session| {
        let (deployment, boot) = (net.descriptor.id(), net.servers[1].core.boot());
        let body = Vouch { deployment, server: one, boot, client, session, digest: [8; 32] };
        Entry::Vouch(Box::new(Signed::new(&net.servers[1].identity, body)))
    };
    let server = net.servers[2].identity.server_bundle();
    assert!(matches!(refused(net.state(), &vouch(&net, server, [5; 32])), Refused::Vouch(_)));
    let (client, old) = (net.clients[0].identity.client_bundle(), net.clients[0].session);
    net.new_session(0);
    net.until("it took over", |n| n.state().registry().is_evicted(&old));
    assert!(matches!(refused(net.state(), &vouch(&net, client, old)), Refused::Vouch(_)));
}

#[test]
fn an_old_word_that_a_server_is_back_does_not_bring_it_back() {
    let mut net = started(8);
    let two = net.id(2);
    let (deployment, boot, round) = (net.descriptor.id(), net.servers[2].core.boot(), net.finals());
    let old = Alive { deployment, server: two, boot, round };
    let old = Entry::Alive(Signed::new(&net.servers[2].identity, old));
    net.servers[2].up = false;
    net.until("it is out", |n| n.state().server(&two).unwrap().out);
    assert_eq!(refused(net.state(), &old), Refused::Stage(round));
    let round = net.state().opened();
    let fresh =
        Entry::Alive(Signed::new(&net.servers[2].identity, Alive { deployment, server: two, boot, round }));
    let mut state = net.state().clone();
    state.apply(&fresh).unwrap();
    assert!(!state.server(&two).unwrap().out);
}

#[test]
fn record_signatures() {
    let mut net = started(9);
    net.hold = Some(Box::new(|e| matches!(e, Entry::RecordSignature(_))));
    net.rounds(1);
    let state = net.state().clone();
    let record: Record = net.last().clone();
    let round = record.round;
    let (one, two) = (net.servers[1].identity.clone(), net.servers[2].identity.clone());
    let entry =
        |round, server, signature| Entry::RecordSignature(RoundSignature { round, server, signature });
    let good = record.sign(&one);
    let Ended::Final(signed) = &state.recent()[&round] else { panic!() };
    assert_eq!(signed.signatures, [], "missing until they come");
    // Borrowed: another server's, another record's, a header's.
    let Ended::Final(before) = &state.recent()[&(round - 1)] else { panic!() };
    for wrong in [record.sign(&two), before.record.sign(&one), one.sign("header", &record.digest())] {
        assert!(matches!(refused(&state, &entry(round, one.peer_id(), wrong)), Refused::Signature(_)));
    }
    assert_eq!(refused(&state, &entry(round + 1, one.peer_id(), good)), Refused::Stage(round + 1));
    assert_eq!(refused(&state, &entry(0, one.peer_id(), good)), Refused::Stage(0));
    let outsider = net.clients[0].identity.clone();
    let theirs = entry(round, outsider.peer_id(), record.sign(&outsider));
    assert_eq!(refused(&state, &theirs), PartialError::NotInHeader(outsider.peer_id()).into());
    let mut signed = state.clone();
    signed.apply(&entry(round, one.peer_id(), good)).unwrap();
    assert_eq!(refused(&signed, &entry(round, one.peer_id(), good)), Refused::Twice(one.peer_id()));
    signed.apply(&entry(round, net.id(0), record.sign(&net.servers[0].identity))).unwrap();
    let Ended::Final(signed) = &signed.recent()[&round] else { panic!() };
    signed.verify(&net.descriptor, &net.descriptor.id()).unwrap();
}

#[test]
fn disclosures() {
    let mut net = started(10);
    let round = net.freeze(Stage::Committing);
    net.hold = Some(Box::new(|e| !matches!(e, Entry::Abandon { .. })));
    net.until("it is abandoned", |n| n.abandoned() == [round]);
    let state = net.state().clone();
    let Ended::Abandoned(abandoned) = &state.recent()[&round] else { panic!() };
    let one = net.servers[1].identity.clone();
    let good = Disclosure {
        deployment: net.descriptor.id(),
        server: one.peer_id(),
        round,
        header_digest: abandoned.header_digest,
        revealed: false,
    };
    let say = |body: Disclosure| Entry::Disclosure(Signed::new(&one, body));
    assert_eq!(
        refused(&state, &say(Disclosure { deployment: ELSEWHERE, ..good.clone() })),
        Refused::Deployment
    );
    let of_final = Disclosure { round: round - 1, ..good.clone() };
    assert_eq!(refused(&state, &say(of_final)), Refused::Stage(round - 1));
    let of_future = Disclosure { round: round + 1, ..good.clone() };
    assert_eq!(refused(&state, &say(of_future)), Refused::Stage(round + 1));
    let other = Disclosure { header_digest: [1; 32], ..good.clone() };
    assert_eq!(refused(&state, &say(other)), PartialError::Round(round).into());
    let mut told = state.clone();
    told.apply(&say(good.clone())).unwrap();
    // No second one, and none that says something else.
    assert_eq!(refused(&told, &say(good.clone())), Refused::Twice(one.peer_id()));
    assert_eq!(refused(&told, &say(Disclosure { revealed: true, ..good })), Refused::Twice(one.peer_id()));
    assert_eq!(refused(&told, &Entry::Abandon { round }), Refused::Stage(round));
}

#[test]
fn giving_up_a_round_that_is_not_under_way() {
    let mut net = started(11);
    let round = net.freeze(Stage::Folding);
    for other in [round - 1, round + 1, 0] {
        assert_eq!(refused(net.state(), &Entry::Abandon { round: other }), Refused::Stage(other));
    }
    net.release();
    net.until("it is final", |n| n.finals() == round);
    assert_eq!(refused(net.state(), &Entry::Abandon { round }), Refused::Stage(round));
}

#[test]
fn an_entry_that_does_not_decode_or_has_more_bytes_is_no_entry() {
    let net = started(12);
    for (_, entry) in &net.log {
        let mut bytes = encode(entry);
        assert_eq!(&borsh::from_slice::<Entry>(&bytes).unwrap(), entry);
        bytes.push(0);
        assert!(borsh::from_slice::<Entry>(&bytes).is_err());
        bytes.truncate(bytes.len() - 2);
        assert!(borsh::from_slice::<Entry>(&bytes).is_err());
    }
}
