//! Nothing is acknowledged that a crash could take back.

use std::pin::pin;
use std::sync::Arc;

use futures::FutureExt as _;
use zipnet_store::{MemStore, SledStore, Store};

use super::hub::{Cluster, Hub, id, open, until};
use crate::raft::ProposeError;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_is_committed_only_when_a_majority_has_it_on_disk() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.agree_on(b"before").await;
    let before = leader.applied();
    let followers: Vec<_> = cluster.members.iter().filter(|m| m.number != leader.number).collect();
    for follower in &followers {
        follower.store.hold();
    }
    let commits = followers.iter().map(|follower| follower.store.commits()).sum::<u64>();
    let mut proposal = pin!(leader.log().propose(b"held".to_vec()));
    // Both followers have the entry, and none has synced it.
    let arrived = until("the followers write", || {
        followers.iter().map(|follower| follower.store.commits()).sum::<u64>() >= commits + 2
    });
    futures::select_biased! {
        early = (&mut proposal).fuse() => panic!("committed without a majority: {early:?}"),
        () = arrived.fuse() => {}
    }
    assert!(leader.applied() == before && (&mut proposal).now_or_never().is_none());
    for follower in &followers {
        follower.store.release();
    }
    // With a leader that fell meanwhile the entry may be lost or not; whatever is applied is the same everywhere.
    match proposal.await {
        Ok(_) | Err(ProposeError::Timeout(_) | ProposeError::NotLeader { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    let applied = cluster.agree_on(b"last").await;
    assert!(applied == [b"before".to_vec()] || applied == [&b"before"[..], b"held"], "{applied:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_cluster_comes_back_with_everything_acknowledged() {
    let mut cluster = Cluster::start(3).await;
    let entries: Vec<Vec<u8>> = (0..30u8).map(|number| vec![number]).collect();
    for entry in &entries {
        cluster.propose(entry).await;
    }
    for number in 0..3 {
        cluster.kill(number).await;
    }
    for number in 0..3 {
        cluster.restart(number).await;
    }
    assert_eq!(cluster.agree_on(b"last").await, entries);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_store_stops_the_log_and_says_why() {
    let cluster = Cluster::start(1).await;
    let leader = cluster.leader().await;
    leader.store.fail_at(1);
    let failed = leader.log().propose(b"x".to_vec()).await.unwrap_err();
    assert!(matches!(&failed, ProposeError::Stopped(why) if why.contains("injected")), "{failed}");
    until("the log says so", || leader.log().failure().is_some_and(|why| why.contains("injected"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_crash_of_a_single_member_keeps_what_was_acknowledged() {
    // The state after each of the writes is a place where a crash can happen.
    let hub: Arc<Hub> = Arc::default();
    let mut store = Arc::new(MemStore::new());
    let mut acknowledged = Vec::new();
    for round in 0..12u64 {
        let entries = Arc::default();
        let log = open(&hub, 0, vec![id(0)], store.clone(), Arc::clone(&entries)).await.unwrap();
        let applied: Vec<Vec<u8>> = entries.lock().unwrap().iter().map(|(_, bytes)| bytes.clone()).collect();
        assert!(acknowledged.iter().all(|entry| applied.contains(entry)), "round {round}");
        until("it leads", || log.is_leader()).await;
        store.fail_at(1 + round % 6);
        for number in 0..6 {
            let entry = vec![round as u8, number];
            if log.propose(entry.clone()).await.is_ok() {
                acknowledged.push(entry);
            }
        }
        let crashed = Arc::new(store.crash());
        log.shutdown().await;
        store = crashed;
    }
    assert!(acknowledged.len() > 10, "{}", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_disk_and_released_by_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let hub: Arc<Hub> = Arc::default();
    let mut index = 0;
    for opening in 0..3 {
        let entries = Arc::default();
        // Opens only if the log of the turn before has let go of the store.
        let store: Arc<dyn Store> = Arc::new(SledStore::open(dir.path()).unwrap());
        let log = open(&hub, 0, vec![id(0)], store, Arc::clone(&entries)).await.unwrap();
        assert_eq!(entries.lock().unwrap().len(), opening);
        until("it leads", || log.is_leader()).await;
        let next = log.propose(vec![7; 200_000]).await.unwrap();
        assert!(next > index);
        index = next;
        log.shutdown().await;
    }
}
