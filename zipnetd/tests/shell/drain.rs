//! The real daemon, ended through its socket. It has no network; it knows its deployment from an earlier run.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::params::Params;
use zipnet_proto::Reason;
use zipnet_proto::v1::control_client::ControlClient;
use zipnet_proto::v1::{DrainRequest, SendRequest, StatusRequest};
use zipnet_store::{Batch, SledStore, Store};

use super::fake::reason;

const LONG: Duration = Duration::from_mins(1);

/// What an earlier run found.
async fn remember(state: &Path) {
    let mut servers: Vec<_> = (100..103).map(|n| Identity::from_seed([n; 32].into()).peer_id()).collect();
    servers.sort_unstable();
    let descriptor = Descriptor::new("acme", Params::standard(3), servers).unwrap();
    let mut batch = Batch::new();
    batch.put("client", "instance", "acme").put("client", "descriptor", borsh::to_vec(&descriptor).unwrap());
    SledStore::open(&state.join("client")).unwrap().commit(batch).await.unwrap();
}

async fn start(dir: &Path) -> (Child, ControlClient<Channel>) {
    let socket = dir.join("c.sock");
    let daemon = Command::new(env!("CARGO_BIN_EXE_zipnetd"))
        .args(["--instance", "acme", "--universe", "nowhere", "--relay", "http://127.0.0.1:1/"])
        .args(["--bootstrap", &format!("{}@127.0.0.1:1", Identity::from_seed([9; 32].into()).peer_id())])
        .args(["--listen", "127.0.0.1:0", "--log", "warn"])
        .arg("--socket")
        .arg(&socket)
        .arg("--state-dir")
        .arg(dir.join("state"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let connected = async {
        loop {
            if let Ok(verbs) = ControlClient::connect(format!("unix://{}", socket.display())).await {
                return verbs;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let verbs = timeout(LONG, connected).await.unwrap();
    (daemon, verbs)
}

async fn exit(mut daemon: Child) -> Option<i32> {
    timeout(LONG, daemon.wait()).await.unwrap().unwrap().code()
}

#[tokio::test]
async fn draining_covers_on_takes_nothing_and_now_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    std::fs::create_dir_all(&state).unwrap();
    remember(&state).await;
    let (daemon, mut verbs) = start(dir.path()).await;
    let send = SendRequest { payload: b"kept".to_vec(), ..SendRequest::default() };
    verbs.send(send.clone()).await.unwrap();
    let grace = verbs.drain(DrainRequest { now: false }).await.unwrap().into_inner().grace_ms;
    assert!(grace > 17_000, "two warm-ups, and what ending takes: {grace}");
    let draining = async {
        while !verbs.status(StatusRequest {}).await.unwrap().into_inner().draining {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, draining).await.unwrap();
    assert_eq!(reason(&verbs.send(send).await.unwrap_err()), Reason::Draining);
    verbs.drain(DrainRequest { now: true }).await.unwrap();
    assert_eq!(exit(daemon).await, Some(0));
    assert!(!dir.path().join("c.sock").exists());
    // What was accepted is there at the next start; ending at once works at once, too.
    let (daemon, mut verbs) = start(dir.path()).await;
    let status = verbs.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.queue.unwrap().queued, status.draining), (1, false));
    verbs.drain(DrainRequest { now: true }).await.unwrap();
    assert_eq!(exit(daemon).await, Some(0));
}

#[tokio::test]
async fn without_a_deployment_there_is_nothing_to_cover() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, mut verbs) = start(dir.path()).await;
    verbs.drain(DrainRequest { now: false }).await.unwrap();
    assert_eq!(exit(daemon).await, Some(0));
}
