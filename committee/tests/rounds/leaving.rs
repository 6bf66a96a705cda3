//! Servers and aggregators that stop in good order (section 7).

use zipnet_committee::core::{AWAY_MS, MIN_AWAY_MS};
use zipnet_committee::entry::{Entry, Leave};
use zipnet_committee::state::{RETURN_ROUNDS, Refused, Stage};
use zipnet_dcnet::signed::Signed;

use crate::net::{Net, identity};

const STAGES: [Stage; 4] = [Stage::Signing, Stage::Folding, Stage::Committing, Stage::Revealing];

fn out(net: &Net, server: usize) -> bool {
    net.state().server(&net.id(server)).unwrap().out
}

#[test]
fn a_server_that_leaves_at_any_stage_loses_no_round_and_the_next_header_is_without_it() {
    for leaver in [0, 2] {
        for (i, stage) in STAGES.into_iter().enumerate() {
            let mut net = Net::started(40 + i as u64, 3, 6);
            net.rounds(2);
            net.until("the stage is reached", |n| n.stage() == Some(stage));
            let (round, from) = (net.state().opened(), net.now);
            net.stop(leaver);
            assert!(net.now - from < 4_000, "{stage:?}: {} ms", net.now - from);
            assert!(net.finals() >= round, "the round that named it ended");
            net.until("a later round is final", |n| n.finals() > round);
            assert!(!net.last().servers.contains(&net.id(leaver)), "{stage:?}");
            assert_eq!(net.abandoned(), Vec::<u64>::new(), "{stage:?}");
            net.restart(leaver);
            let back = net.state().opened();
            net.until("it is named again", |n| n.last().servers.len() == 3);
            assert!(net.finals() <= back + RETURN_ROUNDS, "{} after {back}", net.finals());
            net.until("all take part again", |n| n.last().count() == 6);
            assert_eq!(net.abandoned(), Vec::<u64>::new(), "{stage:?}");
            net.check_replay();
        }
    }
}

#[test]
fn restarting_one_server_after_the_other_costs_no_round_and_no_message() {
    for (seed, servers) in [(50, 3), (51, 5)] {
        let mut net = Net::started(seed, servers, 6);
        net.rounds(3);
        let sessions: Vec<_> = net.clients.iter().map(|c| c.session).collect();
        for server in 0..servers as usize {
            net.stop(server);
            net.run(2_000);
            net.restart(server);
            net.until("it is back", |n| n.last().servers.len() == servers as usize && !out(n, server));
        }
        let said = net.published;
        net.rounds(4);
        assert!(net.published > said);
        assert_eq!(net.abandoned(), Vec::<u64>::new(), "{servers} servers");
        assert_eq!(net.last().count(), 6);
        assert_eq!(sessions, net.clients.iter().map(|c| c.session).collect::<Vec<_>>(), "the same sessions");
        net.check_replay();
    }
}

#[test]
fn who_leaves_opens_registers_and_returns_no_more() {
    let mut net = Net::started(60, 3, 6);
    net.rounds(2);
    net.servers[0].core.leave();
    net.newcomer();
    let opened = net.state().opened();
    net.run(10_000);
    assert!(net.state().opened() <= opened + 1, "it leads and opens nothing");
    assert!(out(&net, 0), "it does not say that it is back");
    let newcomer = net.clients[6].id();
    let vouched = |n: &Net, i: usize| {
        let registry = n.state().registry();
        registry.vouch_of(&newcomer, &n.clients[6].session, &n.id(i)).is_some()
    };
    assert!(!vouched(&net, 0) && vouched(&net, 1), "it registers nobody");
    // Another server leads on without it.
    net.leader = Some(1);
    let last = net.finals();
    net.until("rounds go on", |n| n.finals() > last + 2);
    assert_eq!(net.last().servers, [net.id(1), net.id(2)]);
}

#[test]
fn a_server_that_nobody_knows_yet_just_goes() {
    let mut net = Net::new(61, 3, 6);
    net.servers[1].core.leave();
    assert!(net.servers[1].core.may_go(&net.servers[1].state));
    net.until("the others go on", |n| n.finals() >= 2);
    assert!(net.state().server(&net.id(1)).unwrap().boot.is_none(), "it never said that it is there");
}

#[test]
fn a_leave_counts_once_for_its_boot_and_only_from_its_server() {
    let mut net = Net::started(62, 3, 6);
    net.rounds(2);
    let (deployment, boot, round) = (net.descriptor.id(), net.servers[2].core.boot(), net.state().opened());
    let leave = |server: usize, boot, round| Leave { deployment, server: net.id(server), boot, round };
    let signed = |net: &Net, by: usize, said| Entry::Leave(Signed::new(&net.servers[by].identity, said));
    let (good, other) = (leave(2, boot, round), leave(2, [9; 32], round));
    let (early, elsewhere) =
        (leave(2, boot, 0), Leave { deployment: zipnet_dcnet::ids::DeploymentId([1; 32]), ..good.clone() });
    let mut state = net.state().clone();
    assert_eq!(state.apply(&signed(&net, 2, other)), Err(Refused::Boot(net.id(2))));
    assert_eq!(state.apply(&signed(&net, 2, elsewhere)), Err(Refused::Deployment));
    let mut bytes = zipnet_dcnet::signed::encode(&signed(&net, 2, good.clone()));
    *bytes.last_mut().unwrap() ^= 1;
    let forged = state.apply(&borsh::from_slice(&bytes).unwrap());
    assert!(matches!(forged, Err(Refused::Signature(_))), "{forged:?}");
    let good = signed(&net, 2, good);
    assert_eq!(state.apply(&good), Ok(()));
    assert_eq!(state.apply(&good), Err(Refused::Twice(net.id(2))));
    // After its restart, an old one says nothing.
    net.crash(2);
    net.restart(2);
    net.until("it is back", |n| n.last().servers.len() == 3);
    net.inject(good);
    net.inject(signed(&net, 2, early));
    net.run(100);
    assert!(!out(&net, 2));
}

#[test]
fn an_aggregator_that_leaves_is_in_no_header_until_it_is_back() {
    let mut net = Net::new(63, 3, 6);
    net.now = AWAY_MS;
    let another = identity(&mut net.rng);
    net.aggregators.push(another.into());
    let (first, second) = (net.aggregators[0].peer_id(), net.aggregators[1].peer_id());
    crate::headers::policies(&mut net, |_| vec![0, 1]);
    net.until("both are in", |n| n.finals() >= 2);
    net.until("a round is being folded", |n| n.stage() == Some(Stage::Folding));
    let round = net.state().opened();
    let now = net.now;
    // One server's word is enough.
    net.servers[1].core.aggregator_leaves(now, first);
    assert!(!net.servers[1].core.is_without(&net.servers[1].state, &first), "the round needs it");
    net.within(5_000, "nobody needs it", |n| n.servers[1].core.is_without(&n.servers[1].state, &first));
    assert!(net.finals() >= round, "the round that named it is final");
    net.rounds(2);
    let named = |n: &Net| n.state().round().map(|r| r.header.aggregators.clone());
    net.until("a round is under way", |n| n.state().round().is_some());
    assert_eq!(named(&net), Some(vec![second]));
    net.servers[1].core.aggregator_is_here(&first);
    net.until("it is named again", |n| named(n).is_some_and(|a| a.len() == 2));
    // One that goes and comes all the time is out for most of it, and moves the log twice at most in that time.
    let (before, from) = (net.log.len(), net.now);
    while net.now < from + MIN_AWAY_MS - 1_000 {
        let now = net.now;
        net.servers[1].core.aggregator_leaves(now, first);
        net.servers[1].core.aggregator_is_here(&first);
        net.tick();
    }
    let policies = net.log[before..].iter().filter(|(_, e)| matches!(e, Entry::Policy(_))).count();
    assert!((1..=4).contains(&policies), "{policies}: one, and what was repeated on its way");
    net.until("it is named again", |n| named(n).is_some_and(|a| a.len() == 2));
    assert_eq!(net.abandoned(), Vec::<u64>::new());
    // A stranger's word changes nothing, and one that says nothing more is back by itself.
    let now = net.now;
    let before = net.log.len();
    net.servers[1].core.aggregator_leaves(now, net.descriptor.servers[0]);
    net.run(300);
    assert!(!net.log[before..].iter().any(|(_, e)| matches!(e, Entry::Policy(_))));
    let now = net.now;
    net.servers[1].core.aggregator_leaves(now - AWAY_MS + 5_000, first);
    net.until("it is out", |n| named(n).is_some_and(|a| a.len() == 1));
    net.within(9_000, "it is in again", |n| named(n).is_some_and(|a| a.len() == 2));
}
