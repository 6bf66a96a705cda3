//! R2, R3: a pad is never used twice. The chain lives in memory only, so a rolled-back disk has none to give back; what a
//! restarted node can do is register again, and that gives another chain.

use std::collections::BTreeSet;

use zeroize::Zeroizing;
use zipnet_dcnet::chain::{Chain, ChainError};
use zipnet_dcnet::header::Header;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{DeploymentId, PeerId};
use zipnet_dcnet::register::{Pending, RegisterError, answer};

use crate::common::{Dice, Network, register, small};

const D: DeploymentId = DeploymentId([3; 32]);

/// The pad keys of some rounds under one header digest.
fn keys(chain: &mut Chain, digest: &[u8; 32]) -> Vec<[u8; 32]> {
    (chain.at()..chain.at() + 8).map(|round| *chain.take(round, digest).unwrap().expose()).collect()
}

#[test]
fn no_pad_twice_after_a_replayed_header() {
    let mut dice = Dice::new(1);
    let (c, s) = (Identity::from_seed(dice.secret()), Identity::from_seed(dice.secret()));
    let (mut ours, mut theirs, _) = register(&c, &s, D, [1; 32], 5, &mut dice);
    let (header, other) = ([1; 32], [2; 32]);
    let _ = ours.take(9, &header).unwrap();
    for (round, digest) in [(9, &header), (9, &other), (8, &header), (5, &header), (0, &header)] {
        let behind = ours.take(round, digest).err();
        assert_eq!(behind, Some(ChainError::Behind { round, at: 10 }));
        assert_eq!(ours.advance(round), Err(ChainError::Behind { round, at: 10 }));
    }
    // What was refused has not moved the chain: both sides still agree on the next round.
    assert_eq!(ours.take(10, &header).unwrap().expose(), theirs.take(10, &header).unwrap().expose());
    // Passed unused is passed as well.
    ours.advance(20).unwrap();
    assert_eq!(ours.take(19, &header).err(), Some(ChainError::Behind { round: 19, at: 20 }));
}

#[test]
fn no_pad_twice_beyond_what_a_chain_can_count() {
    let mut dice = Dice::new(2);
    let (c, s) = (Identity::from_seed(dice.secret()), Identity::from_seed(dice.secret()));
    let at = u64::MAX - 1;
    let (mut chain, ..) = register(&c, &s, D, [1; 32], at, &mut dice);
    let last = ChainError::TooFar { round: u64::MAX, at };
    assert_eq!(chain.take(u64::MAX, &[0; 32]).err(), Some(last));
    let _ = chain.take(at, &[0; 32]).unwrap();
    assert_eq!(chain.at(), u64::MAX);
    let last = ChainError::TooFar { round: u64::MAX, at: u64::MAX };
    assert_eq!(chain.take(u64::MAX, &[0; 32]).err(), Some(last));
}

/// A client that crashed starts a new session; a server that crashed has a new boot nonce and new ephemeral keys.
/// Even when everything else is the same, down to the other side's random bytes, no pad key comes back.
#[test]
fn no_pad_twice_after_a_crash_or_a_rolled_back_disk() {
    let identity = |n: u8| Identity::from_seed(Zeroizing::new([n; 32]));
    let (c, s) = (identity(1), identity(2));
    let mut seen = BTreeSet::new();
    // (session, client's random bytes, server's random bytes, start): each differs from the first in one thing.
    let runs = [(1, 1, 1, 1), (2, 1, 1, 1), (1, 2, 1, 1), (1, 1, 2, 1), (1, 1, 1, 2)];
    for (session, client_random, server_random, start) in runs {
        let random = Zeroizing::new([client_random; 32]);
        let (pending, request) =
            Pending::new(&c, D, s.peer_id(), [7; 32], [session; 32], Vec::new(), &random);
        let random = Zeroizing::new([server_random; 32]);
        let (mut theirs, reply) = answer(&s, D, [7; 32], start, &request, &random).unwrap();
        let (mut ours, _) = pending.finish(&c, &reply).unwrap();
        let keys = keys(&mut ours, &[9; 32]);
        assert_eq!(keys.len(), 8);
        assert!(keys.iter().all(|key| seen.insert(*key)), "a pad key came back");
        theirs.advance(ours.at()).unwrap();
        // A request of the boot before is refused after a restart, so its chain cannot be made again.
        let replayed = answer(&s, D, [8; 32], start, &request, &random);
        assert_eq!(replayed.err(), Some(RegisterError::Mismatch("boot")));
    }
    assert_eq!(seen.len(), runs.len() * 8);
}

/// Everybody's pads differ: between clients, servers, rounds and headers.
#[test]
fn no_pad_twice_in_a_network() {
    let mut net = Network::new(small(3), 3, 20, 8);
    let mut seen = BTreeSet::new();
    for round in 1..=5 {
        for client in &mut net.clients {
            for chain in &mut client.chains {
                assert!(seen.insert(*chain.take(round, &[1; 32]).unwrap().expose()));
            }
        }
    }
    // The servers' copies of the same chains, under another header.
    for round in 1..=5 {
        for server in &mut net.servers {
            for chain in &mut server.chains {
                assert!(seen.insert(*chain.take(round, &[2; 32]).unwrap().expose()));
            }
        }
    }
    assert_eq!(seen.len(), 2 * 5 * 3 * 20);
}

/// Whatever differs between two openings of one round, their pads differ: a header signed twice for one round, by
/// colluding servers, gives them two unrelated vectors at most, and an honest client only one.
#[test]
fn no_pad_twice_under_two_headers_of_one_round() {
    let net = Network::new(small(3), 3, 4, 9);
    let (roster, _) = net.roster(0..4);
    let header = net.header(&roster);
    let mut digests = BTreeSet::from([header.digest()]);
    for other in every_other_header(&header) {
        assert!(digests.insert(other.digest()), "{other:?} has the digest of another header");
    }
    assert_eq!(digests.len(), 10);
}

/// The header with each of its fields changed, one at a time.
pub(crate) fn every_other_header(header: &Header) -> Vec<Header> {
    let changes: [fn(&mut Header); 9] = [
        |h| h.deployment.0[0] ^= 1,
        |h| h.round += 1,
        |h| h.prev[31] ^= 1,
        |h| {
            h.servers.pop();
        },
        |h| h.servers[0] = PeerId([0; 32]),
        |h| {
            h.aggregators.pop();
        },
        |h| {
            // One list longer and the next shorter: the lengths are in the digest.
            let moved = h.aggregators.remove(0);
            h.servers.push(moved);
        },
        |h| h.roster[7] ^= 0x80,
        |h| h.roster_len += 1,
    ];
    changes
        .iter()
        .map(|change| {
            let mut other = header.clone();
            change(&mut other);
            other
        })
        .collect()
}
