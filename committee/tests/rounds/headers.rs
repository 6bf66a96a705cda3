//! What the next header names (R1, R4).

use zipnet_committee::core::{Core, Marks};
use zipnet_dcnet::ids::PeerId;

use crate::net::{Net, identity};

/// Starts the servers anew with the aggregators of these numbers, before anything happened.
pub(crate) fn policies(net: &mut Net, of: impl Fn(usize) -> Vec<usize>) {
    for i in 0..net.servers.len() {
        let mut policy: Vec<PeerId> = of(i).into_iter().map(|a| net.aggregators[a].peer_id()).collect();
        policy.sort();
        let s = &mut net.servers[i];
        s.aggregators.clone_from(&policy);
        let seed = zeroize::Zeroizing::new([i as u8 + 1; 32]);
        s.core = Core::new(s.identity.clone(), policy, Marks::default(), &seed);
    }
}

#[test]
fn a_header_names_the_aggregators_in_the_policy_of_every_server() {
    let mut net = Net::new(1, 3, 5);
    for _ in 0..3 {
        let another = identity(&mut net.rng);
        net.aggregators.push(another.into());
    }
    policies(&mut net, |i| [vec![0, 1, 2], vec![1, 2, 3], vec![2, 1]][i].clone());
    net.until("round 3 is final", |n| n.finals() >= 3);
    let mut both = vec![net.aggregators[1].peer_id(), net.aggregators[2].peer_id()];
    both.sort();
    let (header, _) = net.state().next_header(net.descriptor.servers.clone());
    assert_eq!(header.aggregators, both);
    // Without the last server, which refuses none of what the first two share.
    let (header, _) = net.state().next_header(net.descriptor.servers[..2].to_vec());
    assert_eq!(header.aggregators, both);
    let (header, _) = net.state().next_header(vec![net.id(0), net.id(2)]);
    assert_eq!(header.aggregators, both);
    let (header, _) = net.state().next_header(vec![net.id(1)]);
    assert_eq!(header.aggregators.len(), 3);
}

#[test]
fn a_server_changes_its_policy_by_a_restart() {
    let mut net = Net::new(2, 3, 5);
    let another = identity(&mut net.rng);
    net.aggregators.push(another.into());
    policies(&mut net, |_| vec![0, 1]);
    net.until("round 2 is final", |n| n.finals() >= 2);
    assert_eq!(net.state().server(&net.id(0)).unwrap().aggregators.len(), 2);
    net.crash(1);
    net.servers[1].aggregators = vec![net.aggregators[1].peer_id()];
    net.restart(1);
    let only = net.servers[1].aggregators.clone();
    net.until("the header names the one that is left", |n| {
        n.state().round().is_some_and(|r| r.header.aggregators == only && r.header.servers.len() == 3)
    });
    net.rounds(3);
}

#[test]
fn the_roster_lists_who_all_named_servers_vouch_for() {
    let mut net = Net::new(3, 3, 6);
    let last = net.id(2);
    net.clients[5].cut_off.push(last);
    net.until("round 2 is final", |n| n.finals() >= 2);
    assert_eq!(net.last().participants.len(), 5);
    let all = net.state().next_header(net.descriptor.servers.clone()).1;
    let two = net.state().next_header(net.descriptor.servers[..2].to_vec()).1;
    assert_eq!(all.index(&net.clients[5].id()), None);
    assert!(two.index(&net.clients[5].id()).is_some());
    assert_eq!((all.entries().len(), two.entries().len()), (5, 6));
    assert_eq!(all.entries()[0].vouches.len(), 3);
    net.clients[5].cut_off.clear();
    net.until("it takes part", |n| n.last().count() == 6);
}
