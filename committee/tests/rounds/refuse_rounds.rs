//! Refused folds, commitments and partials (section 6, R6, R7, R9).

use zipnet_committee::entry::Entry;
use zipnet_committee::state::{Refused, Stage, State};
use zipnet_dcnet::absence::TooManyAbsent;
use zipnet_dcnet::aggregate::{Aggregate, Bitmap, Fold, FoldError};
use zipnet_dcnet::header::Header;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{DeploymentId, PeerId};
use zipnet_dcnet::partial::{Commitment, Partial, PartialError};
use zipnet_dcnet::signed::{Signed, encode};

use crate::net::{Net, aggregate};
use crate::refuse_headers::refused;

/// An open round of eight clients, and what its fold would be.
fn folding(seed: u64) -> (Net, Vec<Signed<Aggregate>>) {
    let mut net = Net::started(seed, 3, 8);
    net.rounds(2);
    net.freeze(Stage::Folding);
    let Some(Entry::Fold { parts, .. }) = net.held.first().cloned() else { panic!("no fold") };
    (net, parts)
}

/// Why a fold is refused. The round is doomed, and nothing else changed.
fn doomed(state: &State, parts: Vec<Signed<Aggregate>>) -> Refused {
    let round = state.round().unwrap().header.round;
    let mut after = state.clone();
    let error = after.apply(&Entry::Fold { round, parts }).unwrap_err();
    assert_eq!(after.round().unwrap().doomed, Some(error.to_string()));
    // A good one comes too late.
    let nothing = Entry::Fold { round, parts: Vec::new() };
    assert_eq!(refused(&after, &nothing), Refused::Stage(round));
    after.apply(&Entry::Abandon { round }).unwrap();
    let mut given_up = state.clone();
    given_up.apply(&Entry::Abandon { round }).unwrap();
    assert_eq!(encode(&after), encode(&given_up));
    error
}

/// The fold of those for whom `keep` holds, as this aggregator would sign it.
fn part(
    net: &Net,
    by: &Identity,
    keep: impl Fn(u32) -> bool,
    change: impl FnOnce(&mut Aggregate),
) -> Signed<Aggregate> {
    let round = net.state().round().unwrap();
    let mut fold = Fold::new(&net.descriptor.params, &round.header);
    (0..round.header.roster_len).filter(|i| keep(*i)).for_each(|i| fold.participants.set(i));
    let mut body = aggregate(&round.header, &fold, by.peer_id());
    change(&mut body);
    Signed::new(by, body)
}

fn changed(change: impl FnOnce(&mut Aggregate)) -> Refused {
    let (net, _) = folding(1);
    let part = part(&net, &net.aggregators[0], |_| true, change);
    doomed(net.state(), vec![part])
}

#[test]
fn a_fold_of_another_round_header_or_deployment() {
    let (net, parts) = folding(1);
    let round = net.state().opened();
    for other in [round - 1, round + 1] {
        let entry = Entry::Fold { round: other, parts: parts.clone() };
        assert_eq!(refused(net.state(), &entry), Refused::Stage(other), "the round itself is not harmed");
    }
    let of_round = |error| matches!(error, Refused::Fold(FoldError::Round { .. }));
    assert!(of_round(changed(|a| a.round += 1)));
    assert!(of_round(changed(|a| a.header_digest[0] ^= 1)));
    assert!(of_round(changed(|a| a.deployment = DeploymentId([1; 32]))));
}

#[test]
fn a_fold_of_another_length() {
    let full = crate::net::params(3).vector_bytes();
    let length = |given| Refused::Fold(FoldError::Length { given, expected: full });
    assert_eq!(changed(|a| a.vector.truncate(full - 1)), length(full - 1));
    assert_eq!(changed(|a| a.vector.push(0)), length(full + 1));
    assert_eq!(changed(|a| a.vector.clear()), length(0));
}

#[test]
fn a_bit_outside_the_roster() {
    let outside = |error| matches!(error, Refused::Fold(FoldError::OutsideRoster { len: 8, .. }));
    assert!(outside(changed(|a| a.participants = Bitmap::new(9))));
    assert!(outside(changed(|a| a.participants = Bitmap::new(7))));
    // Eight entries fill a byte: 8 bits and two bytes, as only borsh can say it.
    let long = borsh::from_slice::<Bitmap>(&[8, 0, 0, 0, 2, 0, 0, 0, 0xff, 1]).unwrap();
    assert!(outside(changed(|a| a.participants = long)));
}

#[test]
fn too_few_and_none() {
    let (net, _) = folding(2);
    let some = |n: u32| vec![part(&net, &net.aggregators[0], |i| i < n, |_| {})];
    assert_eq!(doomed(net.state(), some(2)), FoldError::TooFew { count: 2, min: 3 }.into());
    assert_eq!(doomed(net.state(), Vec::new()), FoldError::TooFew { count: 0, min: 3 }.into());
}

#[test]
fn without_more_than_slack_of_the_last_participants() {
    let (net, _) = folding(3);
    assert_eq!(net.last().count(), 8);
    let lacking = |n: u32| vec![part(&net, &net.aggregators[0], |i| i >= n, |_| {})];
    let error = TooManyAbsent { missing: 2, before: 8, slack: 1 };
    assert_eq!(doomed(net.state(), lacking(2)), error.into());
    let round = net.state().opened();
    net.state().clone().apply(&Entry::Fold { round, parts: lacking(1) }).unwrap();
}

#[test]
fn evicted_and_suspended_clients_count_as_lacking() {
    // Two clients leave the roster for good between two rounds that are not quiet: the next fold lacks them.
    let mut net = Net::started(4, 3, 8);
    net.rounds(2);
    net.freeze(Stage::Folding);
    net.until("all eight are in", |n| {
        let Some(Entry::Fold { parts, .. }) = n.held.last() else { return false };
        parts[0].trusted().participants.count() == 8
    });
    for i in 0..2 {
        let deployment = net.descriptor.id();
        for n in 0..3_u8 {
            for s in &net.servers {
                // By all servers, so that they replace the session that takes part.
                let vouch = zipnet_dcnet::statement::Vouch {
                    deployment,
                    server: s.identity.peer_id(),
                    boot: s.core.boot(),
                    client: net.clients[i].identity.client_bundle(),
                    session: [n + 1; 32],
                    digest: [n; 32],
                };
                let entry = Entry::Vouch(Box::new(Signed::new(&s.identity, vouch)));
                net.log.push((net.now, entry));
            }
        }
        net.clients[i].up = false;
    }
    let last = net.state().opened();
    net.release();
    net.until("the next round is over", |n| n.state().recent().contains_key(&(last + 1)));
    assert_eq!(net.abandoned(), [last + 1]);
    assert_eq!(net.finals(), last);
}

#[test]
fn not_by_an_aggregator_of_the_header() {
    let (net, _) = folding(5);
    let by_server = part(&net, &net.servers[0].identity, |_| true, |_| {});
    let id = net.id(0);
    assert_eq!(doomed(net.state(), vec![by_server]), FoldError::NotAggregator(id).into());
}

#[test]
fn overlapping_or_the_same_twice() {
    let (net, parts) = folding(6);
    let aggregator = net.aggregators[0].peer_id();
    assert_eq!(doomed(net.state(), vec![parts[0].clone(); 2]), FoldError::Overlap(aggregator).into());
    let low = part(&net, &net.aggregators[0], |i| i <= 4, |_| {});
    let high = part(&net, &net.aggregators[0], |i| i >= 4, |_| {});
    assert_eq!(doomed(net.state(), vec![low, high]), FoldError::Overlap(aggregator).into());
}

#[test]
fn with_a_signature_that_does_not_hold() {
    let (net, parts) = folding(7);
    let mut bytes = encode(&parts[0]);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let forged: Signed<Aggregate> = borsh::from_slice(&bytes).unwrap();
    assert!(matches!(doomed(net.state(), vec![forged]), Refused::Signature(_)));
}

#[test]
fn a_second_fold() {
    let (mut net, parts) = folding(8);
    let round = net.state().opened();
    net.inject(Entry::Fold { round, parts: parts.clone() });
    net.hold = Some(Box::new(|_| true));
    net.tick();
    assert_eq!(net.stage(), Some(Stage::Committing));
    assert_eq!(refused(net.state(), &Entry::Fold { round, parts }), Refused::Stage(round));
}

/// A round whose fold is committed, what the cores would commit to, and then what they would reveal.
fn unblinding(seed: u64) -> (Net, Vec<Commitment>) {
    let mut net = Net::started(seed, 3, 6);
    net.rounds(2);
    net.freeze(Stage::Committing);
    net.run(200);
    let mut out: Vec<Commitment> = Vec::new();
    for entry in &net.held {
        if let Entry::Commitment(c) = entry
            && out.iter().all(|o| o.server != c.trusted().server)
        {
            out.push(c.verify().unwrap().clone());
        }
    }
    out.sort_by_key(|c| c.server);
    assert_eq!(out.len(), 3);
    (net, out)
}

#[test]
fn commitments() {
    let (net, good) = unblinding(10);
    let state = net.state().clone();
    let one = net.servers[1].identity.clone();
    let round = good[1].round;
    let say = |change: &dyn Fn(&mut Commitment)| {
        let mut body = good[1].clone();
        change(&mut body);
        refused(&state, &Entry::Commitment(Signed::new(&one, body)))
    };
    assert_eq!(say(&|c| c.deployment = DeploymentId([1; 32])), Refused::Deployment);
    assert_eq!(say(&|c| c.round -= 1), Refused::Stage(round - 1));
    assert_eq!(say(&|c| c.round += 1), Refused::Stage(round + 1));
    assert_eq!(say(&|c| c.header_digest[0] ^= 1), PartialError::Round(round).into());
    assert_eq!(say(&|c| c.aggregate_digest[0] ^= 1), PartialError::Round(round).into());
    // Another's name under one's own signature.
    let mut bytes = encode(&Signed::new(&one, good[1].clone()));
    bytes[40..72].copy_from_slice(&net.id(2).0);
    let borrowed = borsh::from_slice(&bytes).unwrap();
    assert!(matches!(refused(&state, &Entry::Commitment(borrowed)), Refused::Signature(_)));
    let outsider = net.clients[0].identity.clone();
    let body = Commitment { server: outsider.peer_id(), ..good[1].clone() };
    let by_outsider = Entry::Commitment(Signed::new(&outsider, body));
    assert_eq!(refused(&state, &by_outsider), Refused::NotServer(outsider.peer_id()));
    let mut committed = state.clone();
    let entry = Entry::Commitment(Signed::new(&one, good[1].clone()));
    committed.apply(&entry).unwrap();
    assert_eq!(refused(&committed, &entry), PartialError::Twice(one.peer_id()).into());
    let second = Commitment { commitment: [9; 32], ..good[1].clone() };
    let second = Entry::Commitment(Signed::new(&one, second));
    assert_eq!(refused(&committed, &second), PartialError::Twice(one.peer_id()).into());
}

#[test]
fn a_server_of_the_committee_that_is_not_in_the_header() {
    let mut net = Net::started(11, 3, 6);
    net.servers[2].up = false;
    net.until("two servers", |n| n.last().servers.len() == 2);
    net.freeze(Stage::Committing);
    let Entry::Commitment(c) = net.held[0].clone() else { panic!() };
    let two = net.servers[2].identity.clone();
    let body = Commitment { server: two.peer_id(), ..c.trusted().clone() };
    let entry = Entry::Commitment(Signed::new(&two, body));
    assert_eq!(refused(net.state(), &entry), PartialError::NotInHeader(two.peer_id()).into());
    net.held.clear();
    net.hold = Some(Box::new(|e| matches!(e, Entry::Partial(_))));
    net.until("a partial", |n| n.held.iter().any(|e| matches!(e, Entry::Partial(_))));
    let Some(Entry::Partial(p)) = net.held.first() else { panic!() };
    let body = Partial { server: two.peer_id(), ..p.trusted().clone() };
    let entry = Entry::Partial(Box::new(Signed::new(&two, body)));
    assert_eq!(refused(net.state(), &entry), PartialError::NotInHeader(two.peer_id()).into());
}

#[test]
fn partials() {
    let mut net = Net::started(12, 3, 6);
    net.rounds(2);
    let round = net.freeze(Stage::Revealing);
    net.until("all reveal", |n| n.held.len() >= 3);
    let state = net.state().clone();
    let one = net.servers[1].identity.clone();
    let of_one = net.held.iter().find_map(|e| match e {
        Entry::Partial(p) if p.trusted().server == one.peer_id() => Some(p.trusted().clone()),
        _ => None,
    });
    let good = of_one.unwrap();
    let sign = |body: Partial| Entry::Partial(Box::new(Signed::new(&one, body)));
    let say = |change: &dyn Fn(&mut Partial)| {
        let mut body = good.clone();
        change(&mut body);
        refused(&state, &sign(body))
    };
    let expected = net.descriptor.params.vector_bytes();
    let length = |given| Refused::Partial(PartialError::Length { given, expected });
    assert_eq!(say(&|p| p.deployment = DeploymentId([1; 32])), Refused::Deployment);
    assert_eq!(say(&|p| p.round -= 1), Refused::Stage(round - 1));
    assert_eq!(say(&|p| p.round += 1), Refused::Stage(round + 1));
    assert_eq!(say(&|p| p.header_digest[0] ^= 1), PartialError::Round(round).into());
    assert_eq!(say(&|p| p.aggregate_digest[0] ^= 1), PartialError::Round(round).into());
    assert_eq!(say(&|p| p.vector.push(0)), length(expected + 1));
    assert_eq!(say(&|p| p.vector.clear()), length(0));
    let mismatch = PartialError::Mismatch(one.peer_id());
    assert_eq!(say(&|p| p.vector[7] ^= 1), mismatch.clone().into());
    assert_eq!(say(&|p| p.nonce[7] ^= 1), mismatch.into());
    let mut bytes = encode(&Signed::new(&one, good.clone()));
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let forged = borsh::from_slice::<Signed<Partial>>(&bytes).unwrap();
    assert!(matches!(refused(&state, &Entry::Partial(Box::new(forged))), Refused::Signature(_)));
    let outsider = net.clients[0].identity.clone();
    let body = Partial { server: outsider.peer_id(), ..good.clone() };
    let by_outsider = Entry::Partial(Box::new(Signed::new(&outsider, body)));
    assert_eq!(refused(&state, &by_outsider), Refused::NotServer(outsider.peer_id()));
    let mut revealed = state.clone();
    revealed.apply(&sign(good.clone())).unwrap();
    assert_eq!(refused(&revealed, &sign(good.clone())), PartialError::Twice(one.peer_id()).into());
    net.release();
    net.until("it is final", |n| n.finals() == round);
    assert_eq!(refused(net.state(), &sign(good)), Refused::Stage(round));
}

#[test]
fn a_partial_before_all_committed() {
    let (net, good) = unblinding(13);
    let mut state = net.state().clone();
    let one = net.servers[1].identity.clone();
    let (header_digest, aggregate_digest) = (good[1].header_digest, good[1].aggregate_digest);
    let body = Partial {
        deployment: good[1].deployment,
        round: good[1].round,
        server: one.peer_id(),
        header_digest,
        aggregate_digest,
        nonce: [0; 32],
        vector: vec![0; net.descriptor.params.vector_bytes()],
    };
    let entry = Entry::Partial(Box::new(Signed::new(&one, body)));
    for (i, c) in good.into_iter().enumerate() {
        assert_eq!(refused(&state, &entry), PartialError::TooEarly.into(), "{i} committed");
        state.apply(&Entry::Commitment(Signed::new(&net.servers[i].identity, c))).unwrap();
    }
    assert_eq!(refused(&state, &entry), PartialError::Mismatch(one.peer_id()).into());
}

#[test]
fn a_header_that_was_not_opened_gets_no_signature_no_fold_and_no_pads() {
    // R4: nothing of a round happens before all signatures of its header are in the log.
    let mut net = Net::started(14, 3, 6);
    net.rounds(2);
    let round = net.freeze(Stage::Signing);
    let fold = Entry::Fold { round, parts: Vec::new() };
    assert_eq!(refused(net.state(), &fold), Refused::Stage(round));
    let header: Header = net.state().round().unwrap().header.clone();
    assert_eq!(
        net.aggregates(&header, &header.digest())[0].trusted().participants.count(),
        0,
        "nobody sealed"
    );
    let _: Vec<PeerId> = header.servers;
}
