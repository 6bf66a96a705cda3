//! Every byte of every vector is covered by the pads of every server.

use zipnet_dcnet::pad::xor;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::reservation::owners;
use zipnet_dcnet::seal::Content;
use zipnet_dcnet::slot;

use crate::common::{Network, small};

/// Whether every byte position takes more than one value in `vectors`. By chance one stays constant over n vectors with
/// probability 256^(1−n).
fn all_positions_vary(vectors: &[Vec<u8>]) -> bool {
    (0..vectors[0].len()).all(|i| vectors.iter().any(|v| v[i] != vectors[0][i]))
}

#[test]
fn no_byte_of_a_cover_envelope_is_in_clear() {
    for servers in [1, 3] {
        let mut net = Network::new(Params::standard(servers), servers as usize, 32, 5);
        let (roster, members) = net.roster(0..32);
        let header = net.header(&roster);
        let vectors: Vec<_> =
            (0..32).map(|i| net.seal(&header, i as u32, members[i], &Content::default()).vector).collect();
        assert_eq!(vectors[0].len(), 18_432);
        assert!(all_positions_vary(&vectors));
    }
}

/// With all servers' partials but one, nothing of the round can be read: each server's pads cover all of it.
#[test]
fn without_any_one_server_no_byte_comes_out() {
    let mut net = Network::new(small(4), 4, 5, 6);
    let (roster, members) = net.roster(0..5);
    let mut left: Vec<Vec<Vec<u8>>> = vec![Vec::new(); 4];
    for _ in 0..24 {
        let header = net.header(&roster);
        let envelopes: Vec<_> =
            (0..5).map(|i| net.seal(&header, i as u32, members[i], &Content::default())).collect();
        let fold = net.fold(&header, &envelopes);
        let partials: Vec<_> = (0..4).map(|s| net.partial(&header, &members, &fold, s)).collect();
        for (missing, left) in left.iter_mut().enumerate() {
            let mut plain = fold.vector.clone();
            for (_, partial) in partials.iter().enumerate().filter(|(s, _)| *s != missing) {
                xor(&mut plain, &partial.vector);
            }
            left.push(plain);
        }
        net.round += 1;
    }
    assert!(left.iter().all(|vectors| all_positions_vary(vectors)));
}

/// A flipped byte anywhere in any server's partial breaks its commitment, and garbles the slot that it is in.
#[test]
fn a_flipped_byte_of_a_partial_never_passes() {
    let mut net = Network::new(Params { slots: 4, ..small(3) }, 3, 8, 7);
    let (roster, members) = net.roster(0..8);
    let tokens: Vec<_> = (0..4).map(|_| net.dice.token()).collect();
    let reserve = |i: usize| Some(Content { token: tokens.get(i).copied(), message: None });
    let record = net.play(&roster, &members, &(0..8).map(reserve).collect::<Vec<_>>(), true);
    assert_eq!(owners(&record.digest(), &record.reservations, 4).len(), 4);

    let header = net.header(&roster);
    let said: [&[u8]; 3] = [b"one", b"", &[9; 48]];
    let envelopes: Vec<_> = (0..8)
        .map(|i| {
            let message = said.get(i).map(|payload| (i as u32, *payload));
            net.seal(&header, i as u32, members[i], &Content { token: None, message })
        })
        .collect();
    let fold = net.fold(&header, &envelopes);
    let partials: Vec<_> = (0..3).map(|s| net.partial(&header, &members, &fold, s)).collect();
    let honest = net.finalize(&header, &fold, &partials);
    assert_eq!(honest.messages.len(), 3, "the fourth owner leaves its slot empty");
    assert!(honest.garbled.is_empty());
    let first_slot = net.params().cell_bytes();
    for at in 0..net.params().vector_bytes() {
        let mut changed = partials.clone();
        changed[at % 3].vector[at] ^= 1 << (at % 8);
        assert_ne!(changed[at % 3].commitment(), partials[at % 3].commitment());
        if at >= first_slot {
            let number = (at - first_slot) as u32 / net.params().slot_bytes;
            assert!(slot::range(net.params(), number).contains(&at));
            let record = net.finalize(&header, &fold, &changed);
            assert_eq!(record.garbled, [number]);
            assert_eq!(record.message(number), None);
        }
    }
}
