//! Five servers of which three are enough: a minority of two, a clock that is off; and slow and lossy links.

use std::path::Path as File;
use std::time::{Duration, Instant};

use zipnet_tests::FleetConfig;
use zipnet_tests::hosts::{Host, Path};

use crate::scene::{Scene, Setting};

/// Where Debian puts libfaketime, as its own wrapper names it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// Five servers and all the rest on one machine.
const PARAMS: &[&str] = &[
    "round_period_ms=2000",
    "fold_deadline_ms=1500",
    "round_deadline_ms=12000",
    "min_anonymity=3",
    "warm_up=0",
    "min_servers=3",
];

#[test]
#[ignore = "needs root: makes network namespaces"]
fn rounds_resume_after_every_fault_of_five_servers() {
    let config = FleetConfig {
        instance: "five.faults",
        servers: 5,
        aggregators: 2,
        clients: 8,
        params: PARAMS,
        small_disk: None,
    };
    let mut scene = Scene::start(&config, Setting { period: 2, deadline: 12 });
    let leader = scene.fleet.leader();
    scene.killed(&[leader, (leader + 1) % 5], "two of five, the leader among them");
    split(&mut scene);
    a_clock_is_off(&mut scene);
    scene.end();
}

/// Two servers and two clients on one side, the others on the other.
fn split(scene: &mut Scene) {
    for side in ["minority", "majority"] {
        let leader = scene.fleet.leader();
        let first = if side == "minority" { leader } else { leader + 1 };
        let minority = [first % 5, (first + 1) % 5];
        let fleet = &scene.fleet;
        let hosts = |few: bool| -> Vec<Host> {
            let servers = fleet.servers.iter().enumerate().filter(|(i, _)| minority.contains(i) == few);
            let clients = fleet.clients.iter().enumerate().filter(|(i, _)| (*i >= 6) == few);
            let rest = fleet.aggregators.iter().chain([&fleet.relay]).filter(|_| !few);
            let servers = servers.map(|(_, node)| node.host().clone());
            let rest = rest.map(|node| node.host().clone());
            servers.chain(clients.map(|(_, client)| client.host.clone())).chain(rest).collect()
        };
        let (few, many) = (hosts(true), hosts(false));
        let since = Instant::now();
        fleet.hosts.part(&few.iter().collect::<Vec<_>>(), &many.iter().collect::<Vec<_>>());
        let out = scene.named(since, &minority, false);
        scene.heals(
            since,
            &format!("split 2 from 3, the leader in the {side}"),
            &format!("out after {:.1} s", out.as_secs_f64()),
        );
        scene.soon_out(out, 3);
        let (since, before) = (Instant::now(), scene.round());
        scene.fleet.hosts.heal();
        scene.named(since, &[0, 1, 2, 3, 4], true);
        let rounds = scene.round() - before;
        Scene::soon_in(rounds);
        scene.heals(since, "… and healed", &format!("in again after {rounds} rounds"));
    }
}

/// A round of three servers takes nine trips, one in ten calls waits for a lost packet, and every second envelope: the period
/// and both deadlines are longer than on good links, or too many clients are late for the fold (R9).
const SLOW: &[&str] = &[
    "round_period_ms=8000",
    "fold_deadline_ms=6000",
    "round_deadline_ms=30000",
    "min_anonymity=3",
    "warm_up=0",
    "min_servers=2",
];

#[test]
#[ignore = "needs root: makes network namespaces"]
fn rounds_go_on_over_slow_and_lossy_links() {
    let config = FleetConfig {
        instance: "slow.faults",
        servers: 3,
        aggregators: 1,
        clients: 6,
        params: SLOW,
        small_disk: None,
    };
    let mut scene = Scene::start(&config, Setting { period: 8, deadline: 30 });
    slow_and_lossy(&mut scene);
    scene.end();
}

fn slow_and_lossy(scene: &mut Scene) {
    let bad = Path { loss: 50, delay: Duration::from_millis(300), jitter: Duration::from_millis(30) };
    let since = Instant::now();
    scene.fleet.hosts.set_all(bad);
    scene.heals(since, "300 ms and 5 % loss on every link", "");
    let since = Instant::now();
    scene.fleet.hosts.heal();
    scene.heals(since, "… and healed", "");
}

/// A server whose clock is 30 s ahead, and a client whose is 30 s behind.
fn a_clock_is_off(scene: &mut Scene) {
    assert!(File::new(FAKETIME).exists(), "{FAKETIME} is missing: apt install libfaketime");
    let since = Instant::now();
    let ups = scene.ups(0);
    let server = &mut scene.fleet.servers[0];
    server.stop();
    for (name, value) in faketime("+30s") {
        server.set(name, value);
    }
    server.start();
    let client = &mut scene.fleet.clients[5];
    client.daemon.process().kill();
    for (name, value) in faketime("-30s") {
        client.daemon.set(name, value);
    }
    client.start();
    scene.up(0, ups + 1);
    let rounds = scene.back(0);
    let since_up = Instant::now();
    scene.heals(
        since,
        "a server's clock 30 s ahead, a client's 30 s behind",
        &format!("in again after {rounds} rounds"),
    );
    scene.fleet.wait_all();
    scene.flows(since_up);
}

fn faketime(offset: &'static str) -> [(&'static str, &'static str); 3] {
    [("LD_PRELOAD", FAKETIME), ("FAKETIME", offset), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]
}
