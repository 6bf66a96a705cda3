//! `status`, `health`, `version`.

use zipnet_proto::v1::{QueueCounts, StatusResponse};

use crate::{
    fake::{Daemon, Script},
    run::{ctl, ctl_at, expect, run, snapshot},
};

fn ready() -> StatusResponse {
    StatusResponse {
        instance: "acme.mainnet".into(),
        deployment: "d0".repeat(32),
        pinned: false,
        client_id: "c1".repeat(32),
        peer_id: "b2".repeat(32),
        registered: true,
        round: 1234,
        participants: 12,
        servers: vec!["51".repeat(32), "52".repeat(32)],
        servers_total: 3,
        min_servers: 3,
        min_anonymity: 8,
        state: "holding".into(),
        why: "messages are held: the last header names 2 servers, 3 are needed".into(),
        queue: Some(QueueCounts { queued: 2, sealed: 1, published: 10, failed: 1, ..QueueCounts::default() }),
        oldest_age_ms: Some(72_500),
        version: "0.1.0".into(),
        universe: "mosaik.universe".into(),
        connected_since_ms: Some(1_770_000_000_000),
        slots: 64,
        slot_bytes: 256,
        max_payload: 240,
        participants_low_1h: Some(9),
        gossip: "all".into(),
        warnings: vec!["the deployment is not pinned\u{1b}[0m".into()],
        paused: true,
        draining: true,
        round_at_ms: Some(1_770_000_099_000),
        identity: "sealed, key broker, generation 3".into(),
        cadence: 4,
        now_ms: 1_770_000_100_000,
        started_at_ms: 1_769_999_900_000,
        store_bytes: Some(3 * 1024 * 1024 + 300_000),
        disk_free_bytes: Some(41_000_000_000),
    }
}

#[test]
fn one_screen() {
    let daemon = Daemon::start(Script { status: ready(), ..Script::default() });
    snapshot("status", &run(ctl_at(daemon.socket(), &["status"]), daemon.dir.path()));
}

#[test]
fn before_anything_is_known() {
    let status = StatusResponse {
        instance: "acme.mainent".into(),
        peer_id: "b2".repeat(32),
        state: "connect_timeout".into(),
        why: "nobody serves acme.mainent; is the name right?".into(),
        version: "0.1.0".into(),
        universe: "mosaik.universe".into(),
        identity: "fresh".into(),
        ..StatusResponse::default()
    };
    let daemon = Daemon::start(Script { status, ..Script::default() });
    snapshot("status_unknown", &run(ctl_at(daemon.socket(), &["status"]), daemon.dir.path()));
}

#[test]
fn json() {
    let daemon = Daemon::start(Script { status: ready(), ..Script::default() });
    let ran = run(ctl_at(daemon.socket(), &["status", "--json"]), daemon.dir.path());
    assert_eq!((ran.code, ran.stderr.as_str(), ran.stdout.lines().count()), (0, "", 1));
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let expected = serde_json::json!({
        "instance": "acme.mainnet", "deployment": "d0".repeat(32), "pinned": false,
        "universe": "mosaik.universe", "gossip": "all",
        "client_id": "c1".repeat(32), "peer_id": "b2".repeat(32),
        "state": "holding", "why": "messages are held: the last header names 2 servers, 3 are needed",
        "identity": "sealed, key broker, generation 3",
        "registered": true, "connected_since_ms": 1_770_000_000_000_u64,
        "round": 1234, "round_at_ms": 1_770_000_099_000_u64, "participants": 12, "participants_low_1h": 9, "min_anonymity": 8,
        "servers": ["51".repeat(32), "52".repeat(32)], "servers_total": 3, "min_servers": 3,
        "slots": 64, "slot_bytes": 256, "max_payload": 240,
        "queue": {
            "queued": 2, "reserved": 0, "sealed": 1, "published": 10, "cancelled": 0, "expired": 0, "failed": 1
        },
        "oldest_age_ms": 72_500, "warnings": ["the deployment is not pinned\u{1b}[0m"], "version": "0.1.0",
        "paused": true, "draining": true, "cadence": 4, "now_ms": 1_770_000_100_000_u64,
        "started_at_ms": 1_769_999_900_000_u64, "store_bytes": 3_445_728, "disk_free_bytes": 41_000_000_000_u64,
    });
    assert_eq!(shown, expected);
}

#[test]
fn health() {
    let daemon = Daemon::start(Script::default());
    expect(&run(ctl_at(daemon.socket(), &["health"]), daemon.dir.path()), 0, "serving\n", "");
    expect(
        &run(ctl_at(daemon.socket(), &["health", "--json"]), daemon.dir.path()),
        0,
        "{\"health\":\"serving\"}\n",
        "",
    );
    let daemon = Daemon::start(Script { not_serving: true, ..Script::default() });
    expect(
        &run(ctl_at(daemon.socket(), &["health"]), daemon.dir.path()),
        1,
        "not_serving\n",
        "error: the daemon runs, but takes no messages\nhint: `zipnetctl status` shows what it is doing\n",
    );
}

#[test]
fn version_of_both_sides() {
    let ours = env!("CARGO_PKG_VERSION");
    let status = StatusResponse { version: "9.8.7".into(), ..StatusResponse::default() };
    let daemon = Daemon::start(Script { status, ..Script::default() });
    let dir = daemon.dir.path();
    expect(
        &run(ctl_at(daemon.socket(), &["version"]), dir),
        0,
        &format!("zipnetctl  {ours}\nzipnetd    9.8.7 at [DIR]/z.sock\n"),
        "",
    );
    expect(
        &run(ctl_at(daemon.socket(), &["version", "--json"]), dir),
        0,
        &format!("{{\"zipnetctl\":\"{ours}\",\"zipnetd\":\"9.8.7\"}}\n"),
        "",
    );
    expect(
        &run(ctl_at(&dir.join("none"), &["version"]), dir),
        0,
        &format!("zipnetctl  {ours}\nzipnetd    no daemon: there is no socket at [DIR]/none\n"),
        "",
    );
    expect(
        &run(ctl_at(&dir.join("none"), &["version", "--json"]), dir),
        0,
        &format!("{{\"zipnetctl\":\"{ours}\",\"zipnetd\":null}}\n"),
        "",
    );
    expect(&run(ctl(&["--version"]), dir), 0, &format!("zipnetctl {ours}\n"), "");
}
