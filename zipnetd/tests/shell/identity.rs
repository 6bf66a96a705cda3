//! The real binary with a sealed identity and a key file: the same one in every run, or no run at all.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use nix::sys::signal::Signal;
use zipnet_dcnet::ids::DeploymentId;

use super::daemon::{Daemon, run, status, zipnetd};

/// It cannot be opened, or not be kept.
const IDENTITY: i32 = 8;

/// Settings of a sealed identity with a key file, in the daemon's own folder.
fn with_key_file(daemon: &Daemon, more: &str) {
    let dir = daemon.dir.path().display();
    daemon.configure(&format!("sealed_identity = '{dir}/identity'\ninsecure_key_file = '{dir}/key'\n{more}"));
}

fn file(daemon: &Daemon) -> PathBuf {
    daemon.dir.path().join("identity")
}

/// What a run says about itself: identity, client id, peer id. Ended at once.
fn life(daemon: &mut Daemon) -> (String, String, String) {
    daemon.start();
    let status = status(&daemon.socket());
    assert_eq!(status.client_id.len(), 64, "the deployment is known");
    daemon.signal(Signal::SIGTERM);
    daemon.logs("a second signal ends it now");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.code(), Some(143), "{}", daemon.log());
    (status.identity, status.client_id, status.peer_id)
}

/// A run that ends by itself before it says anything to anybody.
fn refused(daemon: &mut Daemon, more: &[(&str, &str)]) -> String {
    daemon.spawn(zipnetd().envs(more.iter().copied()));
    assert_eq!(daemon.code(), Some(IDENTITY), "{}", daemon.log());
    assert!(!daemon.socket().exists());
    assert!(!daemon.log().contains("spawning zipnet client"), "{}", daemon.log());
    daemon.log()
}

#[test]
fn a_sealed_identity_is_the_same_in_every_run_and_a_fresh_one_never() {
    let mut daemon = Daemon::new();
    daemon.know_the_deployment_sealed(&daemon.dir.path().join("key"));
    with_key_file(&daemon, "init_identity = true\n");
    let (identity, client, peer) = life(&mut daemon);
    assert_eq!(identity, "sealed, key file, generation 1");
    assert!(daemon.log().contains("WARN there was no sealed identity: a new one was made"));
    let sealed = fs::read(file(&daemon)).unwrap();
    for more in ["init_identity = true\n", ""] {
        with_key_file(&daemon, more);
        assert_eq!(life(&mut daemon), (identity.clone(), client.clone(), peer.clone()));
        assert!(!daemon.log().contains("a new one was made"), "{}", daemon.log());
    }
    assert_eq!(fs::read(file(&daemon)).unwrap(), sealed);

    // Without it, its store would not be seen: not that, either.
    daemon.configure("");
    daemon.spawn(&mut zipnetd());
    assert_eq!(daemon.code(), Some(4), "{}", daemon.log());
    assert!(daemon.log().contains("client.sealed, of a daemon with a sealed identity"), "{}", daemon.log());
    fs::remove_file(daemon.dir.path().join("state/client.sealed")).unwrap();
    daemon.know_the_deployment();
    let (fresh, one, _) = life(&mut daemon);
    assert_eq!(fresh, "fresh");
    let (_, other, _) = life(&mut daemon);
    assert!(one != client && other != client && one != other);
}

#[test]
fn what_does_not_open_ends_the_daemon_and_stays_as_it_is() {
    let mut daemon = Daemon::new();
    with_key_file(&daemon, "");
    let log = refused(&mut daemon, &[]);
    assert!(log.contains("there is no sealed identity") && log.contains("zipnetctl identity init"), "{log}");
    assert!(!file(&daemon).exists());

    daemon.know_the_deployment_sealed(&daemon.dir.path().join("key"));
    with_key_file(&daemon, "init_identity = true\n");
    let (_, client, _) = life(&mut daemon);
    let good = fs::read(file(&daemon)).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs::write(file(&daemon), &bad).unwrap();
    let log = refused(&mut daemon, &[]);
    assert!(log.contains("it was changed, or sealed with another key") && log.contains("hint: "), "{log}");
    assert_eq!(fs::read(file(&daemon)).unwrap(), bad);
    let Output { status, stderr, .. } = run(zipnetd().arg("--check").arg("--config").arg(daemon.file()));
    assert_eq!(status.code(), Some(IDENTITY), "{}", String::from_utf8_lossy(&stderr));

    fs::write(file(&daemon), good).unwrap();
    assert_eq!(life(&mut daemon).1, client);
}

#[test]
fn a_broker_that_is_gone_ends_the_daemon() {
    let mut daemon = Daemon::new();
    let (path, key) = (file(&daemon), "ab".repeat(32));
    daemon.configure(&format!(
        "sealed_identity = '{}'\nkey_broker = '{key}@127.0.0.1:1'\ninit_identity = true\n",
        path.display()
    ));
    let pinned = format!("acme#{}", DeploymentId([1; 32]));
    let log = refused(&mut daemon, &[("ZIPNET_INSTANCE", &pinned)]);
    assert!(log.contains("the key broker cannot be reached") && log.contains("hint: check that"), "{log}");
    assert!(!path.exists(), "nothing was made");

    // Not pinned: that is a matter of the configuration, as is no keeper at all.
    daemon.spawn(&mut zipnetd());
    assert_eq!(daemon.code(), Some(2), "{}", daemon.log());
}
