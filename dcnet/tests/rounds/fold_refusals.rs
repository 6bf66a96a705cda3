//! Section 6, R6 and R9: what is not folded, and what is not unblinded.

use std::collections::BTreeSet;

use zipnet_dcnet::absence::{self, TooManyAbsent};
use zipnet_dcnet::aggregate::{Aggregate, Fold, FoldError};
use zipnet_dcnet::header::Header;
use zipnet_dcnet::ids::ClientId;
use zipnet_dcnet::seal::{Content, Envelope};

use crate::common::{Dice, Network, bits, small, stranger};

fn network() -> (Network, Header, Vec<Envelope>) {
    let mut net = Network::new(small(2), 2, 6, 51);
    let (roster, members) = net.roster(0..6);
    let header = net.header(&roster);
    let envelopes = (0..6).map(|i| net.seal(&header, i as u32, members[i], &Content::default())).collect();
    (net, header, envelopes)
}

fn add_all<'a>(fold: &mut Fold, envelopes: impl IntoIterator<Item = &'a Envelope>) {
    envelopes.into_iter().for_each(|e| fold.add(e).unwrap());
}

#[test]
fn an_envelope_of_another_round_length_or_entry_or_a_second_one_is_refused() {
    let (net, header, envelopes) = network();
    let mut fold = Fold::new(net.params(), &header);
    fold.add(&envelopes[2]).unwrap();
    let before = fold.clone();
    let bytes = net.params().vector_bytes();
    let e = &envelopes[3];
    let cases = [
        (Envelope { round: 2, ..e.clone() }, FoldError::Round { given: 2, round: 1 }),
        (
            Envelope { vector: vec![0; bytes - 1], ..e.clone() },
            FoldError::Length { given: bytes - 1, expected: bytes },
        ),
        (Envelope { vector: vec![], ..e.clone() }, FoldError::Length { given: 0, expected: bytes }),
        (Envelope { index: 6, ..e.clone() }, FoldError::OutsideRoster { index: 6, len: 6 }),
        (Envelope { index: u32::MAX, ..e.clone() }, FoldError::OutsideRoster { index: u32::MAX, len: 6 }),
        (Envelope { index: 2, ..e.clone() }, FoldError::Twice(2)),
        (envelopes[2].clone(), FoldError::Twice(2)),
    ];
    for (envelope, error) in cases {
        assert_eq!(fold.add(&envelope), Err(error));
        assert_eq!(fold, before, "a refused envelope changes nothing");
    }
    fold.add(e).unwrap();
}

#[test]
fn an_aggregate_of_another_round_header_length_roster_or_aggregator_or_an_overlap_is_refused() {
    let (net, header, envelopes) = network();
    let mut part = Fold::new(net.params(), &header);
    add_all(&mut part, &envelopes[..3]);
    let honest = net.aggregate(&header, &net.aggregators[0], &part).verify().unwrap().clone();
    let mut fold = Fold::new(net.params(), &header);
    let before = fold.clone();
    let bytes = net.params().vector_bytes();
    let with = |change: &dyn Fn(&mut Aggregate)| {
        let mut other = honest.clone();
        change(&mut other);
        other
    };
    let cases = [
        (with(&|a| a.round = 9), FoldError::Round { given: 9, round: 1 }),
        (with(&|a| a.header_digest[0] ^= 1), FoldError::Round { given: 1, round: 1 }),
        (with(&|a| a.deployment.0[0] ^= 1), FoldError::Round { given: 1, round: 1 }),
        (with(&|a| a.aggregator = stranger()), FoldError::NotAggregator(stranger())),
        (with(&|a| a.vector.push(0)), FoldError::Length { given: bytes + 1, expected: bytes }),
        (with(&|a| a.participants = bits(7, 0..3)), FoldError::OutsideRoster { index: 7, len: 6 }),
        (with(&|a| a.participants = bits(5, 0..3)), FoldError::OutsideRoster { index: 5, len: 6 }),
        // A bit beyond the roster, in the spare bits of the last byte.
        (
            with(&|a| a.participants = borsh::from_slice(&[6, 0, 0, 0, 1, 0, 0, 0, 0x47]).unwrap()),
            FoldError::OutsideRoster { index: 6, len: 6 },
        ),
        (
            with(&|a| a.participants = borsh::from_slice(&[6, 0, 0, 0, 0, 0, 0, 0]).unwrap()),
            FoldError::OutsideRoster { index: 6, len: 6 },
        ),
    ];
    for (aggregate, error) in cases {
        assert_eq!(fold.merge(&header, &aggregate), Err(error));
        assert_eq!(fold, before, "a refused aggregate changes nothing");
    }
    fold.merge(&header, &honest).unwrap();

    let other = net.aggregators[1].peer_id();
    let overlapping = with(&|a| {
        a.aggregator = other;
        a.participants = bits(6, 2..6);
    });
    let before = fold.clone();
    assert_eq!(fold.merge(&header, &overlapping), Err(FoldError::Overlap(other)));
    assert_eq!(fold, before);
}

#[test]
fn the_order_and_grouping_of_a_fold_do_not_matter() {
    let (net, header, envelopes) = network();
    let mut one = Fold::new(net.params(), &header);
    add_all(&mut one, &envelopes);
    let mut turned = Fold::new(net.params(), &header);
    add_all(&mut turned, envelopes.iter().rev());
    let grouped = net.fold(&header, &envelopes);
    assert_eq!(one, turned);
    assert_eq!(one.digest(), grouped.digest());
    let mut fewer = Fold::new(net.params(), &header);
    add_all(&mut fewer, &envelopes[1..]);
    assert_ne!(one.digest(), fewer.digest());
    let mut other_bits = one.clone();
    other_bits.participants = bits(6, 0..5);
    assert_ne!(one.digest(), other_bits.digest());
}

#[test]
fn fewer_than_min_participants_are_not_unblinded() {
    let (net, header, envelopes) = network();
    let mut fold = Fold::new(net.params(), &header);
    assert_eq!(fold.check_count(net.params()), Err(FoldError::TooFew { count: 0, min: 2 }));
    add_all(&mut fold, &envelopes[4..5]);
    assert_eq!(fold.check_count(net.params()), Err(FoldError::TooFew { count: 1, min: 2 }));
    add_all(&mut fold, &envelopes[..1]);
    fold.check_count(net.params()).unwrap();
}

/// R9 at its edge for every size: ⌈n / 16⌉ may lack, whoever joins instead.
#[test]
fn r9_more_than_the_slack_may_not_lack_whoever_joins_instead() {
    let mut dice = Dice::new(6);
    let all: Vec<ClientId> = (0..400).map(|_| ClientId(dice.bytes())).collect();
    let newcomers: BTreeSet<ClientId> = all[200..].iter().copied().collect();
    for n in 1..=200_usize {
        let before: BTreeSet<ClientId> = all[..n].iter().copied().collect();
        let slack = n.div_ceil(16);
        assert_eq!(absence::slack(n as u32), slack as u32);
        let without = |missing: usize| -> BTreeSet<ClientId> {
            all[missing..n].iter().chain(&newcomers).copied().collect()
        };
        absence::check(&before, &without(slack)).unwrap();
        let error = TooManyAbsent { missing: slack as u32 + 1, before: n as u32, slack: slack as u32 };
        if slack < n {
            assert_eq!(absence::check(&before, &without(slack + 1)), Err(error));
        }
    }
}
