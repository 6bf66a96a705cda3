//! `zipnetd --dev`: a message goes out on one laptop.

use std::time::{Duration, Instant};

use zipnet_tests::Daemon;

/// From the start of the process; issue and README promise it.
const REGISTERED: Duration = Duration::from_secs(20);
/// Rounds of one second.
const ROUNDS: u64 = 4;

fn dev(dir: &std::path::Path) -> Daemon {
    let mut daemon = Daemon::new(dir, "dev");
    daemon.arg("--dev");
    daemon.start();
    daemon
}

#[test]
fn a_message_goes_out_within_four_rounds_and_is_read_once_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = dev(dir.path());
    let start = Instant::now();
    daemon.wait_registered(Duration::from_mins(1));
    let registered = start.elapsed();
    assert!(registered < REGISTERED, "registered after {registered:?}");

    let before = daemon.status().unwrap()["round"].as_u64().unwrap();
    let sent = daemon.ctl(&["send", "--wait", "hello"]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let id = String::from_utf8(sent.stdout).unwrap().trim().to_owned();
    let shown = daemon.json(&["show", &id]).unwrap().remove(0);
    let rounds = shown["round"].as_u64().unwrap() - before;
    assert!(rounds <= ROUNDS, "published {rounds} rounds later");

    let read: Vec<_> = daemon.read().unwrap();
    assert_eq!(read.iter().filter(|m| m.payload == "hello").count(), 1);

    let complaints = daemon.process().complaints();
    assert!(complaints.is_empty(), "a healthy run complains: {complaints:#?}");
    assert!(daemon.process().stop().success());
    let complaints = daemon.process().complaints();
    assert!(complaints.is_empty(), "a clean stop complains: {complaints:#?}");

    // With a state folder everything is there again: the log, the servers' keys, the deployment.
    daemon.start();
    daemon.wait_registered(Duration::from_mins(1));
    let again = daemon.read().unwrap();
    assert_eq!(again.iter().filter(|m| m.payload == "hello").count(), 1);
    assert_eq!(daemon.state(&id).unwrap(), "published");
}
