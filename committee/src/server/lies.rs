//! What a server refuses at its door, and that every refusal is counted by its reason.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::{Instant, sleep};
use zipnet_dcnet::ids::DeploymentId;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::register::Pending;
use zipnet_dcnet::signed::{Signed, encode};
use zipnet_dcnet::statement::{Lapse, Policy};
use zipnet_dcnet::wire::{RegisterCall, RegisterReply, refusal};
use zipnet_network::Presence;
use zipnet_network::links::{Kind, Refusal, Remote, Role, Service as _};
use zipnet_store::MemStore;

use super::service::Service;
use super::*;
use crate::entry::Entry;
use crate::raft::Machine as _;

const PATIENCE: Duration = Duration::from_secs(30);

fn identity(n: u8) -> Arc<Identity> {
    Arc::new(Identity::from_seed(Zeroizing::new([n; 32])))
}

/// Counts what happens on this thread as long as the guard lives.
fn counting() -> (PrometheusHandle, &'static metrics_exporter_prometheus::PrometheusRecorder) {
    let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
    (recorder.handle(), recorder)
}

/// What stands on the page behind a name and a reason.
fn counted(page: &PrometheusHandle, name: &str, reason: &str) -> u64 {
    let start = format!("{name}{{reason=\"{reason}\"}} ");
    let page = page.render();
    page.lines().find_map(|line| line.strip_prefix(&start)).map_or(0, |n| n.parse().unwrap())
}

/// A committee of one that has logged its boot, and what it answers.
async fn server() -> (Server, Service) {
    let config = super::tests::config(Arc::new(MemStore::new()));
    let me = config.identity.peer_id();
    let server = Server::start(config).await.unwrap();
    let end = Instant::now() + PATIENCE;
    while server.shared.applied().state.server(&me).is_none_or(|s| s.boot.is_none()) {
        assert!(Instant::now() < end, "it never logs its boot");
        sleep(Duration::from_millis(10)).await;
    }
    let service = Service(server.shared.clone());
    (server, service)
}

fn remote(n: u8, role: Role) -> Remote {
    let identity = identity(n);
    let bundle = if role.accepts() { identity.server_bundle() } else { identity.client_bundle() };
    Remote { peer_id: identity.peer_id(), bundle, role, addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)) }
}

/// A registration of this client, as it would be by itself.
async fn request(service: &Service, n: u8) -> RegisterCall {
    let boot =
        service.call(&remote(n, Role::Client), Kind::Register, encode(&RegisterCall::Boot([0; 32]))).await;
    let RegisterReply::Boot(boot, server, _) = borsh::from_slice(&boot.unwrap()).unwrap() else { panic!() };
    let deployment = service.0.descriptor.id();
    let random = Zeroizing::new([n; 32]);
    let (_, request) =
        Pending::new(&identity(n), deployment, server.peer_id, boot, [n; 32], Vec::new(), &random);
    RegisterCall::Register(Box::new(request))
}

async fn code(service: &Service, from: &Remote, kind: Kind, body: Vec<u8>) -> u16 {
    service.call(from, kind, body).await.unwrap_err().code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_for_somebody_elses_identity_is_refused() {
    let (server, service) = server().await;
    let theirs = encode(&request(&service, 2).await);
    // 3 hands in what 2 signed, as a client and as whatever else it may call itself.
    for role in [Role::Client, Role::Aggregator] {
        assert_eq!(
            code(&service, &remote(3, role), Kind::Register, theirs.clone()).await,
            refusal::FORBIDDEN
        );
    }
    // 3 puts the bundle of 2 into a request that it signs itself: the signature is not that peer's.
    let mut forged = theirs.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert_eq!(code(&service, &remote(2, Role::Client), Kind::Register, forged).await, refusal::MALFORMED);
    // The one whose it is registers, and gets the same answer again.
    let first = service.call(&remote(2, Role::Client), Kind::Register, theirs.clone()).await.unwrap();
    assert_eq!(service.call(&remote(2, Role::Client), Kind::Register, theirs).await.unwrap(), first);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_server_of_the_committee_gets_nothing_into_the_log() {
    let (server, service) = server().await;
    let entry = encode(&Entry::Abandon { round: 1 });
    let kinds = [Kind::Propose, Kind::RaftAppend, Kind::RaftVote, Kind::RaftSnapshot];
    for role in [Role::Client, Role::Aggregator, Role::Server] {
        for kind in kinds {
            assert_eq!(code(&service, &remote(3, role), kind, entry.clone()).await, refusal::FORBIDDEN);
        }
    }
    // Not even a server proposes what only the leader may.
    let me = remote(7, Role::Server);
    assert_eq!(code(&service, &me, Kind::Propose, entry).await, refusal::FORBIDDEN);
    assert_eq!(code(&service, &me, Kind::Propose, vec![1, 2, 3]).await, refusal::MALFORMED);
    for kind in [Kind::Envelope, Kind::Aggregate, Kind::Policy] {
        assert_eq!(code(&service, &me, kind, Vec::new()).await, Refusal::NOT_ALLOWED);
    }
    // Who is no aggregator of this server cannot take one out of the headers.
    let leaves = encode(&Presence::Leaving);
    assert_eq!(code(&service, &remote(3, Role::Aggregator), Kind::Status, leaves).await, refusal::FORBIDDEN);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_registrations_are_counted_by_reason() {
    let (page, recorder) = counting();
    let _guard = metrics::set_default_local_recorder(recorder);
    let (server, service) = server().await;
    let name = "zipnet_server_registrations_refused_total";
    let RegisterCall::Register(good) = request(&service, 2).await else { panic!() };
    let register = |change: &dyn Fn(&mut zipnet_dcnet::register::Request)| {
        let mut body = good.trusted().clone();
        change(&mut body);
        encode(&RegisterCall::Register(Box::new(Signed::new(&identity(2), body))))
    };
    let two = remote(2, Role::Client);
    let bad: [(&str, u16, Vec<u8>); 4] = [
        ("deployment", refusal::MALFORMED, register(&|r| r.deployment = DeploymentId([9; 32]))),
        ("boot", refusal::BOOT, register(&|r| r.boot[0] ^= 1)),
        ("not_canonical", refusal::MALFORMED, register(&|r| r.ephemeral = [0xff; 32])),
        ("not_contributory", refusal::MALFORMED, register(&|r| r.ephemeral = [0; 32])),
    ];
    for (reason, expected, body) in bad {
        assert_eq!(counted(&page, name, reason), 0, "{reason}");
        assert_eq!(code(&service, &two, Kind::Register, body).await, expected, "{reason}");
        assert_eq!(counted(&page, name, reason), 1, "{reason}");
    }
    service.call(&two, Kind::Register, register(&|_| {})).await.unwrap();
    let other = register(&|r| r.ephemeral = identity(9).client_bundle().identity_pk);
    assert_eq!(code(&service, &two, Kind::Register, other).await, refusal::SESSION);
    assert_eq!(counted(&page, name, "other_key"), 1);
    server.stop().await;
}

#[test]
fn refused_entries_of_the_log_are_counted_by_reason() {
    let (page, recorder) = counting();
    let name = "zipnet_server_refused_total";
    let one = identity(1);
    let descriptor = Descriptor::new("test", Params::dev(1), vec![one.peer_id()]).unwrap();
    let (deployment, server) = (descriptor.id(), one.peer_id());
    let applied = Arc::new(Mutex::new(Applied { state: State::new(descriptor), index: 0 }));
    let (mut machine, fresh) = machine::new(applied);
    // What is read at the start was counted in an earlier life.
    lock(&fresh).live = true;
    let lapse = Lapse { deployment, server, boot: [1; 32], after: [0; 32], bundle: one.server_bundle() };
    let elsewhere = Policy { deployment: DeploymentId([9; 32]), server, aggregators: Vec::new() };
    let stranger = Policy { deployment, server: identity(2).peer_id(), aggregators: Vec::new() };
    let mut forged =
        encode(&Entry::Policy(Signed::new(&one, Policy { deployment, server, aggregators: Vec::new() })));
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let entries = [
        ("malformed", vec![0xff, 1]),
        ("deployment", encode(&Entry::Policy(Signed::new(&one, elsewhere)))),
        ("not_server", encode(&Entry::Policy(Signed::new(&identity(2), stranger)))),
        ("signature", forged),
        ("stage", encode(&Entry::Abandon { round: 4 })),
    ];
    metrics::with_local_recorder(recorder, || {
        machine.apply(1, &encode(&Entry::Lapse(Box::new(Signed::new(&one, lapse.clone())))));
        for (index, (reason, entry)) in entries.iter().enumerate() {
            assert_eq!(counted(&page, name, reason), 0, "{reason}");
            machine.apply(index as u64 + 2, entry);
            assert_eq!(counted(&page, name, reason), 1, "{reason}");
        }
        machine.apply(9, &encode(&Entry::Lapse(Box::new(Signed::new(&one, lapse)))));
        assert_eq!(counted(&page, name, "twice"), 1, "said again");
    });
}
