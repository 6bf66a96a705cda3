//! `doctor`: with and without a daemon, and what it must not tell.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    time::{SystemTime, UNIX_EPOCH},
};

use tempfile::TempDir;
use zipnet_proto::v1::{QueueCounts, StatusResponse};

use crate::{
    fake::{Daemon, Running, Script},
    run::{Ran, ctl_at, run, snapshot, unprivileged},
};

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

fn well() -> StatusResponse {
    StatusResponse {
        instance: "acme.mainnet".into(),
        deployment: "d0".repeat(32),
        pinned: true,
        client_id: "c1".repeat(32),
        peer_id: "b2".repeat(32),
        registered: true,
        round: 1234,
        participants: 12,
        participants_low_1h: Some(9),
        servers: vec!["51".repeat(32), "52".repeat(32), "53".repeat(32)],
        servers_total: 3,
        min_servers: 3,
        min_anonymity: 8,
        state: "ready".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        queue: Some(QueueCounts { queued: 1, ..QueueCounts::default() }),
        oldest_age_ms: Some(10_000),
        now_ms: now_ms(),
        started_at_ms: now_ms() - 3_600_000,
        disk_free_bytes: Some(41_000_000_000),
        ..StatusResponse::default()
    }
}

fn doctor(daemon: &Daemon, args: &[&str]) -> Ran {
    let mut ran = run(ctl_at(daemon.socket(), &[&["doctor"], args].concat()), daemon.dir.path());
    // Who runs the tests has some group.
    let group = format!("group {};", nix::unistd::getegid());
    ran.stdout = ran.stdout.replace(&group, "group GID;");
    ran
}

fn of(status: StatusResponse) -> Ran {
    let daemon = Daemon::start(Script { status, ..Script::default() });
    fs::set_permissions(daemon.socket(), Permissions::from_mode(0o660)).unwrap();
    doctor(&daemon, &[])
}

#[test]
fn all_is_well() {
    snapshot("doctor_well", &of(well()));
    let none = StatusResponse { oldest_age_ms: None, queue: None, ..well() };
    assert_eq!(of(well()), of(none), "nobody learns from a pasted output whether there is a message");
}

#[test]
fn one_line_with_what_mends_it_for_everything_that_is_not() {
    let unwell = StatusResponse {
        pinned: false,
        registered: false,
        servers: vec!["51".repeat(32)],
        participants: 2,
        state: "holding".into(),
        why: "words of the daemon".into(),
        version: "9.8.7".into(),
        oldest_age_ms: Some(400_000),
        disk_free_bytes: Some(1_000_000),
        warnings: vec!["/home/alice is almost full".into()],
        now_ms: now_ms() - 3_600_500,
        started_at_ms: 1,
        paused: true,
        draining: true,
        ..well()
    };
    let ran = of(unwell);
    snapshot("doctor_unwell", &ran);
    for secret in ["c1c1c1c1c", "b2b2b2b2b", "515151515", "alice", "words of the daemon"] {
        assert!(!ran.stdout.contains(secret), "{secret}");
    }
}

#[test]
fn an_instance_that_is_not_found() {
    let unknown = || StatusResponse {
        instance: "acme.mainent".into(),
        state: "connect_timeout".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        now_ms: now_ms(),
        started_at_ms: now_ms() - 1_000,
        ..StatusResponse::default()
    };
    snapshot("doctor_no_instance", &of(unknown()));
    let starting = StatusResponse { state: "connecting".into(), ..unknown() };
    snapshot("doctor_starting", &of(starting));
}

#[test]
fn json_has_the_same() {
    let daemon = Daemon::start(Script { status: well(), not_serving: true, ..Script::default() });
    fs::set_permissions(daemon.socket(), Permissions::from_mode(0o666)).unwrap();
    let ran = doctor(&daemon, &["--json"]);
    assert_eq!((ran.code, ran.stderr.as_str(), ran.stdout.lines().count()), (0, "", 1));
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(shown["ok"], true);
    let open = &shown["checks"][1];
    assert_eq!((open["check"].as_str(), open["level"].as_str()), (Some("permissions"), Some("warning")));
    assert_eq!(open["mend"], "take the others' permissions from the socket (chmod o-rwx)");
    assert_eq!(shown["checks"][2]["level"], "warning");
}

#[test]
fn without_a_daemon() {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let at = |name: &str| run(ctl_at(&dir.path().join(name), &["doctor"]), dir.path());
    snapshot("doctor_no_daemon", &at("none"));
    drop(UnixListener::bind(dir.path().join("stale")).unwrap());
    snapshot("doctor_stale", &at("stale"));
    fs::write(dir.path().join("file"), "").unwrap();
    snapshot("doctor_no_socket", &at("file"));

    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    let _outer = Running::start(&dir.path().join("z.sock"), Script::default());
    let _inner = Running::start(&closed.join("z.sock"), Script::default());
    fs::set_permissions(dir.path().join("z.sock"), Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    let other =
        |name: &str| run(unprivileged(ctl_at(&dir.path().join(name), &["doctor"]), dir.path()), dir.path());
    snapshot("doctor_no_permission", &other("z.sock"));
    snapshot("doctor_closed_folder", &other("closed/z.sock"));
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();

    let daemon = Daemon::start(Script { dies_at: Some("Status"), ..Script::default() });
    fs::set_permissions(daemon.socket(), Permissions::from_mode(0o660)).unwrap();
    snapshot("doctor_dies", &doctor(&daemon, &[]));
}
