//! What comes out is what was said: 1 to 8 servers, every number of participants from 1 to 200, any mix of talk and cover.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::reservation::owners;
use zipnet_dcnet::seal::Content;

use crate::common::{Network, choose, small};

/// How two rounds with one set of participants went.
#[derive(Default)]
struct Tally {
    reserved: usize,
    peeled: usize,
}

/// One round of reserving, one of talking: `participants` of a roster with some more clients who are away.
fn two_rounds(net: &mut Network, participants: usize, talkers: usize, signed: bool, tally: &mut Tally) {
    let all = net.clients.len();
    let away = net.dice.below(4).min(all - participants);
    let (roster, members) = {
        let chosen = choose(&mut net.dice, participants + away, all);
        net.roster(chosen.into_iter())
    };
    let absent = choose(&mut net.dice, away, members.len());
    let present: Vec<usize> = (0..members.len()).filter(|i| !absent.contains(i)).collect();
    assert_eq!(present.len(), participants);
    let talking: BTreeSet<usize> =
        choose(&mut net.dice, talkers, participants).into_iter().map(|i| present[i]).collect();
    let tokens: BTreeMap<u32, usize> = talking.iter().map(|i| (net.dice.token().get(), *i)).collect();
    let token_of: BTreeMap<usize, u32> = tokens.iter().map(|(t, i)| (*i, *t)).collect();

    let content = |i: usize| {
        let token = token_of.get(&i).and_then(|t| (*t).try_into().ok());
        (!absent.contains(&i)).then_some(Content { token, message: None })
    };
    let contents: Vec<_> = (0..members.len()).map(content).collect();
    let record = net.play(&roster, &members, &contents, signed);
    let ones: Vec<usize> = record.participants.ones().map(|i| i as usize).collect();
    assert_eq!(ones, present);
    assert!(record.messages.is_empty() && record.garbled.is_empty());
    assert!(record.reservations.iter().all(|t| tokens.contains_key(t)), "a token nobody wrote");
    tally.reserved += tokens.len();
    tally.peeled += record.reservations.len();

    // Every fifth owner has nothing to say after all and leaves its slot empty.
    let (slots, max) = (net.params().slots, net.params().max_payload());
    let order = owners(&record.digest(), &record.reservations, slots);
    let mut said: BTreeMap<usize, (u32, Vec<u8>)> = BTreeMap::new();
    for (slot, token) in order.iter().enumerate() {
        if net.dice.below(5) > 0 {
            let len = net.dice.below(max + 1);
            let payload = net.dice.vec(len);
            said.insert(tokens[token], (slot as u32, payload));
        }
    }
    let content = |i: usize| {
        let message = said.get(&i).map(|(slot, payload)| (*slot, &payload[..]));
        (!absent.contains(&i)).then_some(Content { token: None, message })
    };
    let contents: Vec<_> = (0..members.len()).map(content).collect();
    let record = net.play(&roster, &members, &contents, signed);
    let mut expected: Vec<(u32, Vec<u8>)> = said.into_values().collect();
    expected.sort();
    assert_eq!(record.messages, expected);
    assert!(record.garbled.is_empty() && record.reservations.is_empty());
}

fn every_count(servers: usize) {
    let mut net = Network::new(small(servers as u32), servers, 203, servers as u64);
    let mut tally = Tally::default();
    for participants in 1..=200 {
        // In turn: nobody, somebody, everybody talks; at most as many as the slots, so that nobody has to lose.
        let talkers = match participants % 4 {
            0 => 0,
            1 => participants,
            _ => net.dice.below(participants + 1),
        };
        // Signed now and then: signatures cost more than everything else together.
        let signed = participants % 23 == 2;
        two_rounds(&mut net, participants, talkers.min(64), signed, &mut tally);
    }
    let lost = tally.reserved - tally.peeled;
    assert!(lost * 1_000 <= tally.reserved, "{lost} of {} reservations lost", tally.reserved);
}

macro_rules! servers {
    ($($name:ident = $n:literal),*) => { $( #[test] fn $name() { every_count($n); } )* };
}
servers!(
    one_server = 1,
    two_servers = 2,
    three_servers = 3,
    four_servers = 4,
    five_servers = 5,
    six_servers = 6,
    seven_servers = 7,
    eight_servers = 8
);

/// More contenders than slots or cells: whoever gets a slot is heard, the others only lose it.
#[test]
fn too_many_contenders_lose_slots_and_nothing_else() {
    let mut net = Network::new(small(2), 2, 200, 77);
    for talkers in [65, 130, 180, 200] {
        two_rounds(&mut net, 200, talkers, false, &mut Tally::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any shape of round: any parameters, servers, participants and talkers.
    #[test]
    fn any_shape(
        slots in 1..40_u32, slot_bytes in 17..300_u32, cells in 3..200_u32,
        servers in 1..9_usize, participants in 1..12_usize, part in 0..13_usize, seed: u64,
    ) {
        let params = Params { slots, slot_bytes, cells, ..small(servers as u32) };
        let mut net = Network::new(params, servers, participants + 2, seed);
        let talkers = part.min(participants);
        two_rounds(&mut net, participants, talkers, participants > 1 && seed % 4 == 0, &mut Tally::default());
    }
}
