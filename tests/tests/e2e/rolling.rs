//! A rolling restart of a whole committee and its aggregator, as processes.

use std::time::Duration;

use anyhow::ensure;
use zipnet_tests::{Daemon, Deployment, DeploymentConfig, until};

use crate::processes::PARAMS;

/// Far more than it takes; the machine may be busy.
const LONG: Duration = Duration::from_mins(2);

/// Waits until all servers are in a round some rounds from now.
fn all_in(daemon: &Daemon, what: &str) {
    let round = |status: &serde_json::Value| status["round"].as_u64().unwrap_or(0);
    let from = round(&daemon.status().unwrap());
    until(LONG, what, || {
        let status = daemon.status()?;
        let servers = status["servers"].as_array().map_or(0, Vec::len);
        ensure!(servers == 3 && round(&status) > from + 2, "round {}, {servers} servers", round(&status));
        Ok(())
    });
}

#[test]
fn restarting_servers_and_aggregator_one_after_the_other_loses_no_round_and_no_message() {
    let config = DeploymentConfig { instance: "rolling.test", servers: 3, params: PARAMS };
    let mut deployment = Deployment::start(&config);
    let daemons: Vec<Daemon> = (0..5).map(|i| deployment.daemon(&format!("daemon-{i}"))).collect();
    for daemon in &daemons {
        daemon.wait_registered(LONG);
    }
    all_in(&daemons[0], "rounds of all three");
    // The rounds before everybody had registered are not meant.
    let seen: Vec<usize> = deployment.processes().map(|p| p.log().len()).collect();
    for server in 0..3 {
        daemons[1].send(&format!("while {server} is away")).unwrap();
        deployment.restart_server(server);
        all_in(&daemons[0], &format!("server {server} is back"));
    }
    daemons[1].send("while the aggregator is away").unwrap();
    deployment.restart_aggregator();
    all_in(&daemons[0], "the aggregator is back");
    let published = until(LONG, "all messages to be published", || {
        let log = daemons[2].read()?;
        ensure!(log.len() >= 4, "{} of 4 are there", log.len());
        Ok(log)
    });
    assert_eq!(published.len(), 4, "each once");
    for (process, seen) in deployment.processes().zip(seen) {
        let log = process.log();
        let bad = |l: &&str| {
            l.contains("round abandoned") || l.contains("leaving although") || l.contains("leaving without")
        };
        let lines: Vec<_> = log[seen..].lines().filter(bad).collect();
        assert!(lines.is_empty(), "{}: {lines:#?}", process.name());
    }
}
