//! The daemon in this process, without a network: what a lost lease does to it.

#![allow(clippy::unwrap_used)]

use clap::Parser;
use tokio::sync::oneshot;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::signed::encode;
use zipnet_proto::Client as Caller;
use zipnet_store::Batch;

use super::*;
use crate::cli::Cli;
use crate::config::Surroundings;
use crate::failure::Exit;
use crate::identity::IdentityError;
use crate::telemetry;

/// Nothing here takes this long on the slowest machine.
const LONG: Duration = Duration::from_mins(1);

/// Runs a daemon that knows its deployment, whose lease is lost when it is told, and `beside`.
async fn run_with(told: oneshot::Receiver<()>, beside: impl Future<Output = ()>, dir: &Path) -> Failure {
    let (socket, state) = (dir.join("c.sock"), dir.join("state"));
    let cli = [
        "zipnetd",
        "--instance=acme",
        "--relay=http://127.0.0.1:1/",
        "--universe=nowhere",
        "--listen=127.0.0.1:0",
    ];
    let mut cli = Cli::try_parse_from(cli).unwrap();
    (cli.socket, cli.state_dir) = (Some(socket), Some(state.clone()));
    let uid = nix::unistd::geteuid().as_raw();
    let around = Surroundings { env: &|_| None, uid, default_file: "/nonexistent".into() };
    let config = Config::resolve(&cli, &around).unwrap();
    let Network::Real(real) = &config.network else { panic!("no dev network was asked for") };
    let client = client_config(&config, real, &state, uid, open_plain(&state).await.unwrap());
    let servers = (1..=3).map(|n| PeerId([n; 32])).collect();
    let descriptor = Descriptor::new("acme", Params::standard(3), servers).unwrap();
    let mut batch = Batch::new();
    batch.put("client", b"instance", "acme").put("client", b"descriptor", encode(&descriptor));
    client.store.commit(batch).await.unwrap();

    let log = telemetry::start("error", false);
    let again: Again = Box::new(|| panic!("nobody reloads"));
    let mut signals = Signals::new(Reload::new(&config, log.clone(), again), Service::default()).unwrap();
    let lease = Kept::by(oneshot::channel().0, async {
        told.await.unwrap();
        IdentityError::Lost("test".to_owned())
    });
    let daemon = serve(&config, client, lease, uid, log, &mut signals, |_| tokio::spawn(async {}));
    let (ended, ()) = timeout(LONG, async { tokio::join!(daemon, beside) }).await.unwrap();
    ended.expect_err("it does not end well")
}

async fn connected(socket: &Path) -> Caller {
    loop {
        match Caller::connect(socket).await {
            Ok(caller) => return caller,
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

#[tokio::test]
async fn a_lost_lease_ends_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("c.sock");
    let (tell, told) = oneshot::channel();
    let beside = async {
        connected(&socket).await;
        tell.send(()).unwrap();
    };
    let lost = run_with(told, beside, dir.path()).await;
    assert!(matches!(lost, Failure::Identity(IdentityError::Lost(_))), "{lost}");
    assert_eq!(lost.exit(), Exit::Identity);
    assert!(lost.hint().is_some() && !socket.exists());
}

#[tokio::test]
async fn a_lost_lease_ends_it_while_it_covers_on_too() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("c.sock");
    let (tell, told) = oneshot::channel();
    let beside = async {
        let mut caller = connected(&socket).await;
        caller.drain(false).await.unwrap();
        while !caller.status().await.unwrap().draining {
            sleep(Duration::from_millis(10)).await;
        }
        tell.send(()).unwrap();
    };
    let lost = run_with(told, beside, dir.path()).await;
    assert!(matches!(lost, Failure::Identity(IdentityError::Lost(_))), "{lost}");
}
