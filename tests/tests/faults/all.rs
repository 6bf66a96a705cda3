//! Three servers, all of which are needed to talk: one that is away, one whose disk is full, and one that is replaced.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::ensure;
use zipnet_tests::{FleetConfig, until};

use crate::scene::{PARAMS, Scene, Setting, WITHIN};

/// The server with the small disk.
const SMALL: usize = 1;
/// Of it, in MiB: more than the store's reserve.
const MIB: u32 = 40;

#[test]
#[ignore = "needs root: makes network namespaces"]
fn messages_are_held_until_all_servers_are_back() {
    let config = FleetConfig {
        instance: "all.faults",
        servers: 3,
        aggregators: 2,
        clients: 6,
        params: PARAMS,
        small_disk: Some((SMALL, MIB)),
    };
    let mut scene = Scene::start(&config, Setting { period: 1, deadline: 6 });
    one_is_away(&mut scene);
    its_disk_is_full(&mut scene);
    its_disk_is_read_only(&mut scene);
    one_is_replaced(scene);
}

/// Clients cover and hold, say so, and send when it is back.
fn holds(scene: &Scene) {
    let daemon = &scene.fleet.clients[1].daemon;
    daemon.wait_status(WITHIN, "holding for want of a server", |s| {
        s["state"] == "holding" && s["why"] == "the round has 2 servers, at least 3 are needed"
    });
    // Rounds go on with the two, and publish nothing.
    let before = (scene.round(), scene.pulse.round());
    until(WITHIN, "rounds of cover", || {
        let now = scene.round();
        ensure!(now > before.0 + 5, "it is round {now}");
        anyhow::Ok(())
    });
    let status = scene.status();
    assert!(status["participants"].as_u64().is_some_and(|n| n >= 3), "cover goes on: {status}");
    assert!(scene.pulse.round() <= before.1.max(before.0), "something was published: {status}");
}

fn one_is_away(scene: &mut Scene) {
    let ups = scene.ups(0);
    scene.fleet.servers[0].kill();
    holds(scene);
    let since = Instant::now();
    scene.fleet.servers[0].start();
    scene.up(0, ups + 1);
    let rounds = scene.back(0);
    scene.flows(since);
    scene.note(&format!("all of three needed: one is back | | in again after {rounds} rounds"));
}

/// Ends with a reason when its disk is full, and comes back when there is room.
fn its_disk_is_full(scene: &mut Scene) {
    let filler = scene.fleet.servers[SMALL].state_dir().join("filler");
    let since = Instant::now();
    let mut file = fs::File::create(&filler).unwrap();
    // As much as there is room for: what does not fit is tried in halves.
    let mut chunk = vec![1; (MIB as usize) << 20];
    while chunk.len() > 1_024 {
        if file.write_all(&chunk).is_err() {
            chunk.truncate(chunk.len() / 2);
        }
    }
    ends(scene, "a server's disk is full", since, "is full");
    // Open, it would keep its room.
    drop(file);
    fs::remove_file(&filler).unwrap();
    comes_back(scene);
}

fn its_disk_is_read_only(scene: &mut Scene) {
    let dir = scene.fleet.servers[SMALL].state_dir();
    let ups = scene.ups(SMALL);
    // A file system is not remounted while files on it are open for writing.
    scene.fleet.servers[SMALL].kill();
    remount(&dir, "ro");
    let since = Instant::now();
    scene.fleet.servers[SMALL].start();
    ends(scene, "a server's disk is read-only", since, "Read-only");
    assert_eq!(scene.ups(SMALL), ups, "it must not start");
    remount(&dir, "rw");
    comes_back(scene);
}

fn remount(dir: &Path, how: &str) {
    let status = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(dir).status();
    assert!(status.is_ok_and(|status| status.success()), "the disk cannot be remounted {how}");
}

fn ends(scene: &mut Scene, what: &str, since: Instant, why: &str) {
    let node = &mut scene.fleet.servers[SMALL];
    until(WITHIN, &format!("the server to end: {what}"), || node.process().unwrap().ended().ok_or("it runs"));
    let took = since.elapsed().as_secs_f64();
    let log = node.process().unwrap().log();
    let last = log.lines().rfind(|line| line.starts_with("zipnet-server: ")).unwrap_or("none").to_owned();
    assert!(last.contains(why), "it ends, but not for want of a disk: {last}\n{log}");
    scene.note(&format!("{what} | | ends after {took:.1} s"));
    holds(scene);
}

fn comes_back(scene: &mut Scene) {
    let ups = scene.ups(SMALL);
    let since = Instant::now();
    scene.fleet.servers[SMALL].start();
    scene.up(SMALL, ups + 1);
    let rounds = scene.back(SMALL);
    scene.flows(since);
    scene.note(&format!("… and there is room again | | in again after {rounds} rounds"));
}

/// A new deployment that names the old one, by the procedure of docs/operators/upgrades.md.
fn one_is_replaced(mut scene: Scene) {
    let outcome = scene.fleet.audit(&scene.load);
    scene.fleet.readers_agree();
    scene.note(&format!("{} messages: {outcome:?}, 0 lost, 0 twice, 0 forks", outcome.total()));
    let old = scene.fleet.id().to_owned();
    let old_pin = scene.fleet.pinned();
    // The servers end, one for good. Its successor makes a key.
    scene.fleet.servers.iter_mut().chain(&mut scene.fleet.aggregators).for_each(zipnet_tests::Node::stop);
    let fresh = scene.fleet.node("zipnet-server", "server-3");
    drop(scene.fleet.servers.remove(SMALL));
    scene.fleet.servers.push(fresh);
    let new = scene.fleet.describe("successor", PARAMS, Some(&old));
    assert_ne!(new, old);
    scene.fleet.configure();
    for server in &mut scene.fleet.servers {
        // The log is the old deployment's: a new one begins, and the old one is kept beside it.
        let dir = server.state_dir();
        if dir.join("log").exists() {
            fs::rename(dir.join("log"), dir.join(format!("log-{old}"))).unwrap();
        }
    }
    scene.fleet.servers.iter_mut().chain(&mut scene.fleet.aggregators).for_each(zipnet_tests::Node::start);
    // Nobody follows by itself.
    let daemon = &scene.fleet.clients[1].daemon;
    daemon.wait_status(WITHIN, "aware of the other deployment", |s| s["warnings"].to_string().contains(&new));
    assert_eq!(scene.fleet.clients[1].daemon.status().unwrap()["deployment"], old.as_str());
    // Each client's owner moves the pin, to a new state folder.
    let pin = scene.fleet.pinned();
    assert_ne!(pin, old_pin);
    for client in &mut scene.fleet.clients {
        client.daemon.process().stop();
        let state = client.daemon.socket().with_file_name("state-2").display().to_string();
        client.daemon.set("ZIPNET_INSTANCE", &pin);
        client.daemon.set("ZIPNET_STATE_DIR", &state);
        client.start();
    }
    scene.fleet.wait_all();
    let scene = scene.begin_again();
    scene.flows(Instant::now());
    scene.end();
}
