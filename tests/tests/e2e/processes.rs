//! Three servers, one aggregator and six daemons as separate processes.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use zipnet_tests::{Daemon, Deployment, DeploymentConfig, until};

/// Fast rounds, and sets as small as the test is.
pub(crate) const PARAMS: &[&str] = &[
    "round_period_ms=1000",
    "fold_deadline_ms=700",
    "round_deadline_ms=6000",
    "min_anonymity=3",
    "warm_up=0",
];

#[test]
fn a_hundred_messages_of_three_talkers_arrive_once_and_in_one_order_for_all_readers() {
    let config = DeploymentConfig { instance: "acme.test", servers: 3, params: PARAMS };
    let deployment = Deployment::start(&config);
    let mut daemons: Vec<Daemon> = (0..6).map(|i| deployment.daemon(&format!("daemon-{i}"))).collect();
    for daemon in &daemons {
        daemon.wait_registered(Duration::from_secs(90));
    }
    let texts: Vec<String> = (0..100).map(|i| format!("message {i}")).collect();
    for (i, text) in texts.iter().enumerate() {
        daemons[i % 3].send(text).unwrap();
    }
    let wanted: BTreeSet<&str> = texts.iter().map(String::as_str).collect();
    let readers = [&daemons[4], &daemons[5]];
    let logs = readers.map(|reader| {
        until(Duration::from_secs(200), "all messages to be published", || {
            let log = reader.read()?;
            let have = log.iter().filter(|m| wanted.contains(m.payload.as_str())).count();
            ensure!(have >= wanted.len(), "{have} of {} are there", wanted.len());
            Ok(log)
        })
    });
    let payloads: Vec<&str> = logs[0].iter().map(|m| m.payload.as_str()).collect();
    assert_eq!(payloads.len(), 100, "each exactly once, and nothing else");
    assert_eq!(payloads.iter().copied().collect::<BTreeSet<_>>(), wanted);
    assert_eq!(logs[0], logs[1], "one order for all");

    let status = daemons[0].status().unwrap();
    assert_eq!(status["pinned"], true);
    assert_eq!(status["servers"].as_array().map(Vec::len), Some(3));
    deployment.ends_without_complaints(&mut daemons);
}
