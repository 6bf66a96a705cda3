//! A server that was away for longer than the committee's log reaches back: it gets the state as a snapshot, and the broadcast log from
//! the other servers, checked.

use std::time::Duration;

use anyhow::ensure;
use zipnet_tests::{Daemon, Deployment, DeploymentConfig, until};

/// Far more than it takes; the machine may be busy.
const LONG: Duration = Duration::from_mins(4);
/// Two servers say some ten things in a round; a snapshot comes after 500, and 64 stay behind it.
const AWAY: u64 = 150;

const PARAMS: &[&str] = &[
    "round_period_ms=200",
    "fold_deadline_ms=150",
    "round_deadline_ms=4000",
    "min_servers=2",
    "min_anonymity=3",
    "warm_up=0",
];

#[test]
fn a_server_that_was_away_for_long_fills_its_log_from_the_others() {
    let config = DeploymentConfig { instance: "filling.test", servers: 3, params: PARAMS };
    let mut deployment = Deployment::start(&config);
    let daemons: Vec<Daemon> = (0..5).map(|i| deployment.daemon(&format!("daemon-{i}"))).collect();
    for daemon in &daemons {
        daemon.wait_registered(LONG);
    }
    let round = || -> anyhow::Result<u64> { Ok(daemons[0].status()?["round"].as_u64().unwrap_or(0)) };
    daemons[1].send("before it went").unwrap();
    let left = until(LONG, "the first round", round);
    deployment.servers()[2].kill();
    until(LONG, "rounds without it", || {
        let now = round()?;
        ensure!(now >= left + AWAY, "{now} of {}", left + AWAY);
        Ok(())
    });
    daemons[1].send("while it was away").unwrap();

    deployment.start_again(2);
    until(LONG, "its log to have no gap", || {
        let log = deployment.servers()[2].log();
        ensure!(
            log.contains("the archive has no gap any more"),
            "{}",
            log.lines().last().unwrap_or_default()
        );
        Ok(())
    });
    // As a client sees it: from the first round on, every link and signature.
    let server = deployment.peer_id(2);
    let walked =
        until(LONG, "its log to be walked", || daemons[2].json(&["log", "verify", "--server", &server]));
    let end = walked.last().unwrap();
    assert!(end["earliest_round"].as_u64() <= Some(1), "{end}");
    assert_eq!(end["problems"], 0, "{end}");
    assert!(end["latest_round"].as_u64() >= Some(left + AWAY), "{end}");
}
