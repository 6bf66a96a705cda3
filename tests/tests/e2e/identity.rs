//! A sealed identity in a real deployment: known again after a stop and after a crash, each time under a session of its own, or
//! the servers would not have registered it; and another one when it was replaced.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;
use zipnet_tests::{Daemon, Deployment, DeploymentConfig, until};

use crate::processes::PARAMS;

const WITHIN: Duration = Duration::from_secs(90);

/// Its status once it is registered, and a message that went through.
fn takes_part(daemon: &Daemon, reader: &Daemon, text: &str) -> Value {
    let status = daemon.wait_status(WITHIN, "registered", |s| s["registered"] == true);
    daemon.send(text).unwrap();
    until(WITHIN, "the message to be published", || {
        let log = reader.read()?;
        let count = log.iter().filter(|m| m.payload == text).count();
        ensure!(count == 1, "it is there {count} times, the status is {}", daemon.status()?);
        Ok(())
    });
    status
}

#[test]
fn a_sealed_identity_takes_part_again_after_a_stop_and_a_crash_until_it_is_replaced() {
    let config = DeploymentConfig { instance: "acme.sealed", servers: 3, params: PARAMS };
    let deployment = Deployment::start(&config);
    let reader = deployment.daemon("reader");
    // Enough for rounds while one of them is away.
    let _others: Vec<Daemon> = (0..4).map(|i| deployment.daemon(&format!("other-{i}"))).collect();
    let mut sealed = deployment.daemon_of("sealed", &deployment.pinned());
    let place = |name: &str| deployment.path().join(name).display().to_string();
    let (file, key) = (place("identity"), place("identity.key"));
    let settings = ["--sealed-identity", &file, "--insecure-key-file", &key];
    let made = sealed.json(&[&["identity", "init"][..], &settings].concat()).unwrap();
    assert_eq!(made[0]["generation"], 1);
    for arg in settings {
        sealed.arg(arg);
    }

    sealed.start();
    let first = takes_part(&sealed, &reader, "first");
    assert_eq!(first["identity"], "sealed, key file, generation 1");
    assert!(sealed.process().stop().success());
    sealed.start();
    let second = takes_part(&sealed, &reader, "second");
    sealed.process().kill();
    sealed.start();
    let third = takes_part(&sealed, &reader, "third");
    for again in [&second, &third] {
        assert_eq!((&again["client_id"], &again["peer_id"]), (&first["client_id"], &first["peer_id"]));
    }

    // The daemon goes on as before until its restart.
    let made = sealed.json(&[&["identity", "rotate"][..], &settings].concat()).unwrap();
    assert_eq!(made[0]["generation"], 2);
    let status = sealed.status().unwrap();
    let was = (&first["client_id"], &Value::from("sealed, key file, generation 1"));
    assert_eq!((&status["client_id"], &status["identity"]), was);
    assert!(sealed.process().stop().success());
    sealed.start();
    let replaced = takes_part(&sealed, &reader, "replaced");
    assert_eq!(replaced["identity"], "sealed, key file, generation 2");
    assert!(replaced["client_id"] != first["client_id"] && replaced["peer_id"] != first["peer_id"]);
}
