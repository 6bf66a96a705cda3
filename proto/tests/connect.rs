//! Which of several sockets is taken, and which error is told when none can be.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener as StdListener},
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use zipnet_proto::{Candidate, Client, ConnectError, Health};

fn candidates(dir: &Path, names: &[&str]) -> Vec<Candidate> {
    names.iter().map(|name| Candidate { path: dir.join(name), owner: None }).collect()
}

/// The health service alone is enough of a daemon here.
fn serve(path: &Path) {
    let incoming = UnixListenerStream::new(UnixListener::bind(path).unwrap());
    let (_, health) = tonic_health::server::health_reporter();
    tokio::spawn(tonic::transport::Server::builder().add_service(health).serve_with_incoming(incoming));
}

#[tokio::test]
async fn the_first_with_a_daemon_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    drop(StdListener::bind(dir.join("stale")).unwrap());
    serve(&dir.join("live"));
    serve(&dir.join("other"));
    let found = Client::connect_any(&candidates(dir, &["none", "stale", "live", "other"])).await;
    let mut client = found.unwrap();
    assert_eq!(client.path(), dir.join("live"));
    assert_eq!(client.health().await.unwrap(), Health::Serving);
}

#[tokio::test]
async fn a_stale_socket_says_more_than_a_missing_one() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    drop(StdListener::bind(dir.join("stale")).unwrap());
    let error = Client::connect_any(&candidates(dir, &["none", "stale", "no/where"])).await.unwrap_err();
    assert!(matches!(error, ConnectError::NobodyListening { path } if path == dir.join("stale")));

    let error = Client::connect_any(&candidates(dir, &["none", "no/where"])).await.unwrap_err();
    let expected: Vec<PathBuf> = vec![dir.join("none"), dir.join("no/where")];
    assert!(matches!(error, ConnectError::NoSocket { paths } if paths == expected));
}

#[tokio::test]
async fn a_daemon_that_may_not_be_used_is_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let trap = dir.path().join("trap");
    fs::create_dir(&trap).unwrap();
    fs::set_permissions(&trap, fs::Permissions::from_mode(0o777)).unwrap();
    serve(&dir.path().join("live"));
    let uid = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&trap).unwrap());
    let mut all = candidates(dir.path(), &["trap/dev.sock", "live"]);
    all[0].owner = Some(uid);
    let error = Client::connect_any(&all).await.unwrap_err();
    assert!(matches!(error, ConnectError::Untrusted { path, .. } if path == trap.join("dev.sock")));
}
