//! Three servers of which two are enough, two aggregators and eight clients, fault after fault.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::ensure;
use zipnet_tests::hosts::{Host, Path};
use zipnet_tests::{FleetConfig, until};

use crate::scene::{PARAMS, Scene, Setting, WITHIN};

/// A session that is silent for so many rounds is evicted.
const ABSENCE: u64 = 12;

#[test]
#[ignore = "needs root: makes network namespaces"]
fn rounds_resume_after_every_fault_of_three_servers() {
    let params = [PARAMS, &["min_servers=2", "absence_limit=12"]].concat();
    let config = FleetConfig {
        instance: "three.faults",
        servers: 3,
        aggregators: 2,
        clients: 8,
        params: &params,
        small_disk: None,
    };
    let mut scene = Scene::start(&config, Setting { period: 1, deadline: 6 });
    for role in ["a follower", "the leader"] {
        let leader = scene.fleet.leader();
        let which = if role == "the leader" { leader } else { (leader + 1) % 3 };
        scene.killed(&[which], role);
    }
    an_aggregator_dies(&mut scene);
    the_relay_dies(&mut scene);
    a_client_vanishes_another_joins_and_the_first_comes_back(&mut scene);
    one_server_is_cut_off(&mut scene);
    one_way_only(&mut scene);
    one_after_the_other(&mut scene);
    everything_at_once(&mut scene);
    scene.end();
}

fn an_aggregator_dies(scene: &mut Scene) {
    let since = Instant::now();
    scene.fleet.aggregators[0].kill();
    scene.heals(since, "kill -9 of an aggregator", "");
    let since = Instant::now();
    scene.fleet.aggregators[0].start();
    scene.heals(since, "… and it is back", "");
}

fn the_relay_dies(scene: &mut Scene) {
    let since = Instant::now();
    scene.fleet.relay.kill();
    scene.heals(since, "kill -9 of the relay", "");
    scene.fleet.relay.start();
}

/// The last client covers only.
fn a_client_vanishes_another_joins_and_the_first_comes_back(scene: &mut Scene) {
    let since = Instant::now();
    let round = scene.round();
    let last = scene.fleet.clients.len() - 1;
    scene.fleet.clients[last].daemon.process().kill();
    scene.heals(since, "kill -9 of a client", "");
    let since = Instant::now();
    let mut joins = scene.fleet.client("joins");
    joins.start();
    joins.daemon.wait_status(WITHIN, "ready", |s| s["state"] == "ready");
    scene.heals(since, "a client joins", "");
    scene.fleet.clients.push(joins);
    until(WITHIN, "the client that vanished to be evicted", || {
        let now = scene.round();
        ensure!(now > round + ABSENCE + 3, "it is round {now}, it vanished in {round}");
        anyhow::Ok(())
    });
    let since = Instant::now();
    scene.fleet.clients[last].start();
    let client = &scene.fleet.clients[last];
    client.daemon.wait_status(WITHIN, "ready again", |s| s["state"] == "ready");
    let back = since.elapsed().as_secs();
    scene.heals(since, "a client is back after its eviction", &format!("ready after {back} s"));
}

/// The hosts of all but one server.
fn others(scene: &Scene, server: usize) -> Vec<Host> {
    let fleet = &scene.fleet;
    let servers = fleet.servers.iter().enumerate().filter(|(i, _)| *i != server).map(|(_, node)| node);
    let nodes = servers.chain(&fleet.aggregators).chain([&fleet.relay]).map(|node| node.host().clone());
    nodes.chain(fleet.clients.iter().map(|client| client.host.clone())).collect()
}

fn one_server_is_cut_off(scene: &mut Scene) {
    for role in ["leader", "follower"] {
        let leader = scene.fleet.leader();
        let which = if role == "leader" { leader } else { (leader + 1) % 3 };
        let others = others(scene, which);
        let alone = scene.fleet.servers[which].host().clone();
        let since = Instant::now();
        scene.fleet.hosts.part(&[&alone], &others.iter().collect::<Vec<_>>());
        let out = scene.named(since, &[which], false);
        scene.heals(
            since,
            &format!("the {role} is cut off"),
            &format!("out after {:.1} s", out.as_secs_f64()),
        );
        scene.soon_out(out, 3);
        let (since, before) = (Instant::now(), scene.round());
        scene.fleet.hosts.heal();
        scene.named(since, &[which], true);
        let rounds = scene.round() - before;
        Scene::soon_in(rounds);
        scene.heals(since, "… and it is healed", &format!("in again after {rounds} rounds"));
    }
}

/// The leader hears the others, and they do not hear it.
fn one_way_only(scene: &mut Scene) {
    let leader = scene.fleet.leader();
    let deaf: Vec<usize> = (0..3).filter(|i| *i != leader).collect();
    let since = Instant::now();
    for i in &deaf {
        let servers = &scene.fleet.servers;
        scene.fleet.hosts.set_one_way(servers[leader].host(), servers[*i].host(), Path::CUT);
    }
    scene.heals(since, "nothing gets from the leader to the other servers", "");
    let (since, before) = (Instant::now(), scene.round());
    scene.fleet.hosts.heal();
    scene.named(since, &[0, 1, 2], true);
    let rounds = scene.round() - before;
    Scene::soon_in(rounds);
    scene.heals(since, "… and it is healed", &format!("in again after {rounds} rounds"));
}

fn one_after_the_other(scene: &mut Scene) {
    let since = Instant::now();
    for which in 0..3 {
        let ups = scene.ups(which);
        scene.fleet.servers[which].stop();
        scene.fleet.servers[which].start();
        scene.up(which, ups + 1);
        scene.back(which);
    }
    for aggregator in &mut scene.fleet.aggregators {
        aggregator.stop();
        aggregator.start();
    }
    scene.heals(since, "restart of one after the other", "");
}

/// A power cut: nobody could prepare for it.
fn everything_at_once(scene: &mut Scene) {
    let since = Instant::now();
    let fleet = &mut scene.fleet;
    fleet.servers.iter_mut().chain(&mut fleet.aggregators).for_each(zipnet_tests::Node::kill);
    fleet.clients.iter_mut().for_each(|client| client.daemon.process().kill());
    fleet.servers.iter_mut().chain(&mut fleet.aggregators).for_each(zipnet_tests::Node::start);
    fleet.clients.iter_mut().for_each(zipnet_tests::Client::start);
    scene.heals(since, "kill -9 of everything at once, and restart", "");
    scene.fleet.wait_all();
    let all: BTreeSet<usize> = (0..3).collect();
    scene.named(since, &all.into_iter().collect::<Vec<_>>(), true);
    scene.heals(since + Duration::from_secs(1), "… until all are in", "");
}
