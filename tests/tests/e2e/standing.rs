//! `ZIPNET_MESSAGE`, and leaving: a daemon that is told to stop covers on for a while first.

use std::time::Duration;

use anyhow::ensure;
use zipnet_tests::{Daemon, Deployment, DeploymentConfig, until};

use crate::processes::PARAMS;

#[test]
fn the_standing_message_is_published_again_and_again_and_its_daemon_leaves_without_haste() {
    let params = [&PARAMS[..4], &["warm_up=2"]].concat();
    let config = DeploymentConfig { instance: "standing.test", servers: 3, params: &params };
    let deployment = Deployment::start(&config);
    let others: Vec<Daemon> = (0..4).map(|i| deployment.daemon(&format!("daemon-{i}"))).collect();
    let mut talker = deployment.daemon_of("talker", &deployment.pinned());
    talker.set("ZIPNET_MESSAGE", "still here");
    talker.start();
    until(Duration::from_mins(2), "the standing message to be there twice", || {
        let log = others[0].read()?;
        let times = log.iter().filter(|m| m.payload == "still here").count();
        ensure!(times >= 2, "it is there {times} times");
        Ok(())
    });
    // A message of the queue goes first, and the standing one after it.
    let id = talker.send("first me").unwrap();
    until(Duration::from_mins(1), "the queued message to be published", || {
        let state = talker.state(&id)?;
        ensure!(state == "published", "it is {state}");
        Ok(())
    });
    assert!(talker.process().stop().success());
    let log = talker.process().log();
    assert!(log.contains("covering on for some rounds"), "it left at once:\n{log}");
    let complaints = talker.process().complaints();
    assert!(complaints.is_empty(), "a clean stop complains: {complaints:#?}");
    assert!(!log.contains("still here") && !log.contains("first me"), "a message is in the log:\n{log}");
}
