//! Names: one that nobody serves, and one that stands for another deployment than before.

use std::process::Output;
use std::time::Duration;

use zipnet_tests::{Deployment, DeploymentConfig};

use crate::processes::PARAMS;

const WITHIN: Duration = Duration::from_secs(90);
/// Nobody has this deployment.
const OTHER: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

fn says(out: &Output, code: i32, texts: &[&str]) {
    let errors = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{errors}");
    for text in texts {
        assert!(errors.contains(text), "it does not say `{text}`: {errors}");
    }
}

#[test]
fn a_typo_shows_as_connect_timeout_and_another_deployment_is_never_adopted() {
    let config = DeploymentConfig { instance: "acme.names", servers: 3, params: PARAMS };
    let deployment = Deployment::start(&config);

    // Unpinned: the bootstrap peer's word is taken, remembered, and told as such.
    let mut daemon = deployment.daemon_of("daemon", "acme.names");
    says(&daemon.check(), 0, &["unpinned"]);
    daemon.start();
    let status = daemon.wait_status(WITHIN, "connected", |s| s["deployment"] != "");
    assert_eq!(status["pinned"], false);
    daemon.process().stop();

    let mut typo = deployment.daemon_of("typo", "acme.nmaes");
    says(&typo.check(), 3, &["ConnectTimeout", "acme.nmaes", "typos"]);
    typo.start();
    let status = typo.wait_status(WITHIN, "without its instance", |s| s["state"] == "connect_timeout");
    assert!(status["why"].as_str().is_some_and(|why| why.contains("acme.nmaes")), "{status}");
    let sent = typo.ctl(&["send", "to nobody"]);
    says(&sent, 1, &["no descriptor of the instance is known yet"]);
    assert!(typo.process().log().contains("ConnectTimeout"), "the log says it too");
    assert!(typo.process().stop().success());

    // The name is served, but not by the deployment that is pinned.
    let pinned = deployment.daemon_of("pinned", &format!("acme.names#{OTHER}"));
    says(&pinned.check(), 6, &[OTHER, "never adopted"]);
    // The state of one deployment is not carried over to another.
    daemon.set("ZIPNET_INSTANCE", &format!("acme.names#{OTHER}"));
    says(&daemon.check(), 6, &[OTHER, "new state folder"]);
}
