//! A server that hangs: not dead, so that nobody's connection breaks, but silent.

use std::time::Duration;

use anyhow::ensure;
use nix::sys::signal::Signal;
use zipnet_tests::{Daemon, Deployment, DeploymentConfig, until};

use crate::processes::PARAMS;

const WITHIN: Duration = Duration::from_mins(2);

#[test]
fn the_clients_of_a_server_that_hangs_go_to_another_and_it_is_back_when_it_wakes() {
    let params = [PARAMS, &["min_servers=2"]].concat();
    let config = DeploymentConfig { instance: "stall.test", servers: 3, params: &params };
    let mut deployment = Deployment::start(&config);
    let daemons: Vec<Daemon> = (0..5).map(|i| deployment.daemon(&format!("daemon-{i}"))).collect();
    for daemon in &daemons {
        daemon.wait_status(WITHIN, "in a round of three", |s| {
            s["registered"] == true && s["servers"].as_array().is_some_and(|servers| servers.len() == 3)
        });
    }
    deployment.servers()[1].signal(Signal::SIGSTOP);
    // Whoever listened to it has to notice by its silence; whoever leads or follows it has to do without.
    for daemon in &daemons {
        daemon.wait_status(WITHIN, "ready with the two that are left", |s| {
            s["state"] == "ready" && s["servers"].as_array().is_some_and(|servers| servers.len() == 2)
        });
    }
    let id = daemons[0].send("without the third").unwrap();
    until(WITHIN, "the message to be published", || {
        let state = daemons[0].state(&id)?;
        ensure!(state == "published", "it is {state}");
        Ok(())
    });
    deployment.servers()[1].signal(Signal::SIGCONT);
    for daemon in &daemons {
        daemon.wait_status(WITHIN, "ready with all three again", |s| {
            s["state"] == "ready" && s["servers"].as_array().is_some_and(|servers| servers.len() == 3)
        });
    }
    for daemon in &daemons {
        let log = daemon.read().unwrap();
        assert_eq!(log.iter().filter(|m| m.payload == "without the third").count(), 1);
    }
}
