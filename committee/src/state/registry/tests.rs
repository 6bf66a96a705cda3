#![allow(clippy::unwrap_used)]

use zipnet_dcnet::ids::{Bundle, DeploymentId};

use super::*;

const SERVERS: u32 = 3;

fn server(n: u8) -> PeerId {
    PeerId([n; 32])
}

fn bundle(n: u32) -> Bundle {
    let mut peer = [0; 32];
    peer[..4].copy_from_slice(&n.to_le_bytes());
    Bundle { peer_id: PeerId(peer), identity_pk: [1; 32], link_pk: [0; 32] }
}

fn vouch(by: u8, client: u32) -> Vouch {
    let mut session = [7; 32];
    session[..4].copy_from_slice(&client.to_le_bytes());
    let (deployment, boot, digest) = (DeploymentId([0; 32]), [0; 32], [by; 32]);
    Vouch { deployment, server: server(by), boot, client: bundle(client), session, digest }
}

fn known(registry: &Registry, client: u32) -> bool {
    registry.clients.contains_key(&bundle(client).client_id())
}

/// What the lines say fits what the clients say.
fn check(registry: &Registry) {
    assert!(registry.is_sound(registry.servers));
}

#[test]
fn one_server_that_makes_clients_up_pushes_out_its_own_only() {
    let mut registry = Registry::new(SERVERS);
    let quota = quota(SERVERS) as u32;
    // Known to a majority, to the liar alone, and to an honest server alone.
    for by in [1, 2] {
        registry.vouch(&vouch(by, 1_000_000)).unwrap();
    }
    registry.vouch(&vouch(3, 1_000_000)).unwrap();
    registry.vouch(&vouch(3, 1_000_001)).unwrap();
    registry.vouch(&vouch(1, 1_000_002)).unwrap();
    for made_up in 0..quota - 1 {
        registry.vouch(&vouch(3, made_up)).unwrap();
    }
    assert!(known(&registry, 1_000_001), "the quota is not reached");
    registry.vouch(&vouch(3, quota)).unwrap();
    assert!(!known(&registry, 1_000_001), "the one that waited longest");
    for made_up in quota..2 * quota + 100 {
        registry.vouch(&vouch(3, made_up)).unwrap();
    }
    assert!(known(&registry, 1_000_000) && known(&registry, 1_000_002));
    let (client, session) = (bundle(1_000_000).client_id(), vouch(3, 1_000_000).session);
    assert!(registry.vouch_of(&client, &session, &server(3)).is_some(), "who is confirmed stays");
    assert_eq!(registry.len(), quota as usize + 2);
    assert!(registry.has_room(&bundle(2_000_000).client_id()));
    check(&registry);
    // Its next start forgets all of them.
    registry.lapse(&server(3));
    assert_eq!(registry.len(), 2);
    check(&registry);
}

#[test]
fn a_client_that_a_second_server_vouches_for_in_time_stays() {
    let mut registry = Registry::new(SERVERS);
    registry.vouch(&vouch(1, 0)).unwrap();
    registry.vouch(&vouch(3, 0)).unwrap();
    for made_up in 1..quota(SERVERS) as u32 + 50 {
        registry.vouch(&vouch(3, made_up)).unwrap();
    }
    assert!(known(&registry, 0));
    // It is confirmed for good: not even that all servers restart makes anybody register again under the quota.
    (1..=3).for_each(|n| registry.lapse(&server(n)));
    assert!(known(&registry, 0));
    assert_eq!(registry.len(), 1);
    registry.vouch(&vouch(1, 0)).unwrap();
    check(&registry);
}

#[test]
fn a_minority_of_liars_together_leaves_room_for_the_others() {
    let mut registry = Registry::new(5);
    let quota = quota(5) as u32;
    for liar in [4, 5] {
        for made_up in 0..quota + 10 {
            registry.vouch(&vouch(liar, u32::from(liar) << 24 | made_up)).unwrap();
        }
    }
    check(&registry);
    assert_eq!(registry.len(), 2 * quota as usize);
    // An honest client whom server 4 knows, too, is not lost for its lies.
    for by in [4, 1, 2] {
        registry.vouch(&vouch(by, 9)).unwrap();
    }
    for made_up in 0..quota + 10 {
        registry.vouch(&vouch(4, 4 << 24 | 1 << 23 | made_up)).unwrap();
    }
    assert_eq!(registry.roster(&[server(1), server(2), server(4)]).entries().len(), 1);
    check(&registry);
}

#[test]
fn forgotten_and_evicted_clients_leave_their_lines() {
    let mut registry = Registry::new(SERVERS);
    registry.vouch(&vouch(1, 0)).unwrap();
    for _ in 0..FORGET {
        registry.settle(&Roster::default(), &BTreeSet::new(), 1);
    }
    assert_eq!(registry.len(), 0, "it was in no roster");
    check(&registry);
    for session in 0..3 {
        let mut third = vouch(1, 1);
        third.session = [session; 32];
        registry.vouch(&third).unwrap();
        check(&registry);
    }
    assert_eq!(registry.clients.values().next().unwrap().sessions.len(), MAX_SESSIONS);
}

#[test]
fn a_full_roster_fits_the_frame_that_carries_it() {
    assert_eq!(MAX_ROSTER_BYTES, zipnet_network::links::Kind::Roster.max_answer());
    assert_eq!(capacity(3), MAX_ROSTER);
    for servers in [1, 3, 5, 10, 32] {
        let entry = |_| roster::Entry {
            client: ClientId([0; 32]),
            session: [0; 32],
            vouches: vec![[0; 32]; servers as usize],
        };
        let one = zipnet_dcnet::signed::encode(&entry(0)).len();
        assert!(one * capacity(servers) + LENGTH_BYTES <= MAX_ROSTER_BYTES, "{servers}");
        assert!(
            capacity(servers) == MAX_ROSTER
                || one * (capacity(servers) + 1) + LENGTH_BYTES > MAX_ROSTER_BYTES
        );
        assert!(quota(servers) * servers as usize <= capacity(servers));
    }
}

#[test]
fn a_full_registry_takes_nobody_new_and_keeps_whom_it_has() {
    // 32 servers: the fewest clients.
    let mut registry = Registry::new(32);
    let full = capacity(32) as u32;
    for client in 0..full {
        for by in 1..=17 {
            registry.vouch(&vouch(by, client)).unwrap();
        }
    }
    assert!(matches!(registry.vouch(&vouch(1, full)), Err(Refused::Vouch(_))));
    registry.vouch(&vouch(18, 0)).unwrap();
    check(&registry);
}

#[test]
fn a_vouch_taken_back_leaves_no_trace_of_who_nobody_else_vouches_for() {
    let mut registry = Registry::new(SERVERS);
    let withdrawal = |by: u8, client: u32| {
        let Vouch { deployment, server, boot, client, session, digest } = vouch(by, client);
        Withdrawal { deployment, server, boot, client: client.client_id(), session, digest }
    };
    registry.vouch(&vouch(1, 1)).unwrap();
    for by in [1, 2] {
        registry.vouch(&vouch(by, 2)).unwrap();
    }
    for made_up in [withdrawal(2, 1), withdrawal(1, 3), Withdrawal { session: [9; 32], ..withdrawal(1, 1) }] {
        assert!(matches!(registry.withdraw(&made_up), Err(Refused::Vouch(_))));
    }
    registry.withdraw(&withdrawal(1, 1)).unwrap();
    assert!(!known(&registry, 1), "nobody vouches for it any more");
    registry.withdraw(&withdrawal(1, 2)).unwrap();
    assert!(known(&registry, 2), "who is confirmed stays");
    check(&registry);
    // And may be vouched for again.
    for client in [1, 2] {
        registry.vouch(&vouch(1, client)).unwrap();
        assert!(known(&registry, client));
    }
    check(&registry);
}
