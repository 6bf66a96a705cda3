//! Malformed input never panics and never loops: every type that comes from others, decoded from arbitrary and from damaged
//! bytes and then put through everything that is done with it.

use proptest::prelude::*;
use zipnet_dcnet::aggregate::Fold;
use zipnet_dcnet::chain::MAX_STEPS;
use zipnet_dcnet::header::Header;
use zipnet_dcnet::record::{Record, finalize, owned_slots};
use zipnet_dcnet::signed::encode;

use crate::common::{Dice, Network, register, small};
use crate::world::world;

/// A way to damage bytes.
#[derive(Clone, Debug)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Extend(Vec<u8>),
    Length(prop::sample::Index, u32),
    Remove(prop::sample::Index),
    Max(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), 1..=255_u8).prop_map(|(i, b)| Damage::Flip(i, b)),
        at().prop_map(Damage::Cut),
        proptest::collection::vec(any::<u8>(), 1..9).prop_map(Damage::Extend),
        (at(), prop_oneof![any::<u32>(), Just(u32::MAX), 0..9_u32]).prop_map(|(i, n)| Damage::Length(i, n)),
        at().prop_map(Damage::Remove),
        at().prop_map(Damage::Max),
    ]
}

impl Damage {
    fn apply(self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        // Three of four go where the lengths, rounds and indexes are: at the start.
        let near = |i: prop::sample::Index| i.index(len.min(400));
        match self {
            Self::Flip(i, b) => bytes[near(i)] ^= b,
            Self::Cut(i) => bytes.truncate(i.index(len)),
            Self::Extend(more) => bytes.extend(more),
            Self::Length(i, n) => {
                let at = near(i);
                let end = (at + 4).min(len);
                bytes[at..end].copy_from_slice(&n.to_le_bytes()[..end - at]);
            }
            Self::Remove(i) => drop(bytes.remove(i.index(len))),
            Self::Max(i) => {
                let at = near(i);
                let end = (at + 8).min(len);
                bytes[at..end].fill(0xff);
            }
        }
    }
}

#[test]
fn honest_values_pass_their_own_checks() {
    let world = world();
    let samples = world.samples();
    for sample in &samples {
        world.take_all(sample);
        for at in [0, sample.len() / 2, sample.len() - 1] {
            world.take_all(&sample[..at]);
        }
    }
    let receipt = world.receipt(0);
    receipt.verify().unwrap();
    world.take_receipt(&encode(&receipt));
    world.net.sign_header(&world.header).verify(&world.net.descriptor, &world.net.id).unwrap();
    assert!(world.record.verify(&world.net.descriptor, &world.net.id).unwrap().1);
    assert_eq!(world.record.record.messages.len(), 4);
}

#[test]
fn the_last_round_there_is_does_not_overflow() {
    let world = world();
    let last = Record { round: u64::MAX, ..world.record.record.clone() };
    let digest = last.digest();
    let header = Header { round: 0, prev: digest, ..world.header.clone() };
    assert_eq!(owned_slots(world.net.params(), &header, Some((&last, &digest))), 0);
    assert!(header.is_quiet(Some(&last)));
}

#[test]
fn a_server_that_starts_a_chain_anywhere_costs_a_bounded_time() {
    let mut dice = Dice::new(4);
    let world = world();
    let (c, s) = (&world.net.clients[0].identity, &world.net.servers[0].identity);
    for start in [0, 1, u64::MAX - MAX_STEPS, u64::MAX] {
        let (mut chain, ..) = register(c, s, world.net.id, [8; 32], start, &mut dice);
        for round in [0, 5, 1 << 40, u64::MAX] {
            let _ = chain.advance(round);
            let _ = chain.take(round, &[0; 32]);
        }
    }
}

#[test]
fn arbitrary_and_damaged_bytes_never_panic() {
    let world = world();
    let samples = world.samples();
    let config = ProptestConfig { cases: 6_000, failure_persistence: None, ..ProptestConfig::default() };
    let damaged = (any::<prop::sample::Index>(), proptest::collection::vec(damage(), 1..4));
    let mut runner = proptest::test_runner::TestRunner::new(config.clone());
    let result = runner.run(&damaged, |(which, damages)| {
        let mut bytes = which.get(&samples).clone();
        for damage in damages {
            damage.apply(&mut bytes);
        }
        world.take_all(&bytes);
        Ok(())
    });
    result.unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let result = runner.run(&proptest::collection::vec(any::<u8>(), 0..600), |bytes| {
        world.take_all(&bytes);
        Ok(())
    });
    result.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever hostile clients put into the vector, the record that comes out is a well-formed one.
    #[test]
    fn any_vector_gives_a_record_that_passes_its_checks(
        seed: u64, owned in 0..=8_u32, zeros in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let net = Network::new(small(1), 1, 3, 1);
        let (roster, _) = net.roster(0..3);
        let header = net.header(&roster);
        let params = net.params();
        let mut fold = Fold::new(params, &header);
        fold.participants = crate::common::bits(3, 0..3);
        fold.vector = Dice::new(seed).vec(params.vector_bytes());
        for slot in zeros {
            let slot = slot.index(params.slots as usize) as u32;
            fold.vector[zipnet_dcnet::slot::range(params, slot)].fill(0);
        }
        let record = finalize(params, &header, owned, &fold, &[]);
        record.check(&net.descriptor, &net.id).unwrap();
        prop_assert!(record.messages.is_empty(), "random bytes carry no tag");
        prop_assert!(record.garbled.len() <= owned as usize);
    }
}
