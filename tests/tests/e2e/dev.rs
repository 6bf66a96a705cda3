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

/// `servers`, `descriptor fetch` and `log verify`, of each server.
fn an_operator_looks(daemon: &Daemon) {
    let fetched = daemon.json(&["descriptor", "fetch"]).unwrap().remove(0);
    let status = daemon.status().unwrap();
    assert_eq!(fetched["id"], status["deployment"]);
    assert!(status["round_at_ms"].as_u64() <= status["now_ms"].as_u64(), "{status}");

    let shown = daemon.json(&["servers"]).unwrap().remove(0);
    let servers = shown["servers"].as_array().unwrap();
    assert_eq!(servers.len(), fetched["descriptor"]["servers"].as_array().unwrap().len());
    assert!(servers.iter().all(|s| s["named"] == true && s["reachable"] == true), "{shown}");
    assert!(shown["aggregators"].as_array().is_some_and(|a| a.len() == 1), "{shown}");

    for server in servers {
        let id = server["peer_id"].as_str().unwrap();
        let walked = daemon.json(&["log", "verify", "--server", id]).unwrap();
        let end = walked.last().unwrap();
        assert_eq!((&end["server"], &end["problems"]), (&server["peer_id"], &0.into()), "{end}");
        let last = end["next_round"].as_u64().unwrap();
        assert!(end["first_round"] == 1 && last > end["latest_round"].as_u64().unwrap(), "{end}");
        assert!(end["signatures"].as_u64() > end["records"].as_u64(), "{end}");
    }
    let stranger = daemon.ctl(&["log", "verify", "--server", &"00".repeat(32)]);
    assert_eq!(stranger.status.code(), Some(1), "no server of this deployment");
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

    an_operator_looks(&daemon);

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
