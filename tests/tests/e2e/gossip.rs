//! A deployment whose clients leave the universe once they know their servers (`gossip = servers`).

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use zipnet_tests::{Daemon, Deployment, DeploymentConfig, until};

use crate::processes::PARAMS;

#[test]
fn clients_that_left_the_universe_talk_and_read_over_their_links_alone() {
    let params = [PARAMS, &["gossip=servers"]].concat();
    let config = DeploymentConfig { instance: "gossip.test", servers: 3, params: &params };
    let deployment = Deployment::start(&config);
    let mut daemons: Vec<Daemon> = (0..4).map(|i| deployment.daemon(&format!("daemon-{i}"))).collect();
    for daemon in &daemons {
        daemon.wait_registered(Duration::from_secs(90));
        assert_eq!(daemon.status().unwrap()["gossip"], "servers");
    }
    let texts: Vec<String> = (0..8).map(|i| format!("message {i}")).collect();
    for (i, text) in texts.iter().enumerate() {
        daemons[i % 2].send(text).unwrap();
    }
    let log = until(Duration::from_secs(90), "all messages to be published", || {
        let log = daemons[3].read()?;
        ensure!(log.len() >= texts.len(), "{} of {} are there", log.len(), texts.len());
        Ok(log)
    });
    let payloads: BTreeSet<&str> = log.iter().map(|m| m.payload.as_str()).collect();
    assert_eq!(payloads, texts.iter().map(String::as_str).collect());
    assert_eq!(log.len(), texts.len(), "each exactly once");
    deployment.ends_without_complaints(&mut daemons);
}
