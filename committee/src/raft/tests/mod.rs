//! Logs of one to three members over calls within the process, on stores in memory.
#![allow(clippy::unwrap_used)]

mod durability;
mod hub;
mod members;
mod snapshot;

use super::shared::LOG;
use super::{LogError, MAX_ENTRY_BYTES, ProposeError, RaftKind};
use hub::{Cluster, id, until};
use zipnet_store::Store;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_proposed_is_applied_everywhere_in_one_order() {
    let cluster = Cluster::start(3).await;
    let entries: Vec<Vec<u8>> = (0..50u8).map(|number| vec![number; 100]).collect();
    futures::future::join_all(entries.iter().map(|entry| cluster.propose(entry))).await;
    let mut applied = cluster.agree_on(b"last").await;
    applied.sort_unstable();
    assert_eq!(applied, entries);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_member_is_a_log_too() {
    let mut cluster = Cluster::start(1).await;
    let index = cluster.leader().await.log().propose(b"alone".to_vec()).await.unwrap();
    // The answer comes after the entry was applied here.
    assert_eq!(cluster.members[0].applied(), vec![(index, b"alone".to_vec())]);
    cluster.kill(0).await;
    cluster.restart(0).await;
    // Committed entries are applied before `open` returns.
    assert_eq!(cluster.members[0].applied(), vec![(index, b"alone".to_vec())]);
    assert!(cluster.leader().await.log().propose(b"again".to_vec()).await.unwrap() > index);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_leader_is_replaced_and_catches_up_when_it_returns() {
    let mut cluster = Cluster::start(3).await;
    cluster.propose(b"before").await;
    let old = cluster.leader().await.number;
    cluster.kill(old).await;
    assert_ne!(cluster.leader().await.number, old);
    cluster.propose(b"after").await;
    cluster.restart(old).await;
    assert_eq!(cluster.agree_on(b"last").await, [&b"before"[..], b"after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_commits_nothing() {
    let cluster = Cluster::start(3).await;
    cluster.propose(b"before").await;
    let old = cluster.leader().await.number;
    cluster.hub.cut(old);
    let lost = cluster.members[old].log().propose(b"lost".to_vec()).await;
    assert!(matches!(lost, Err(ProposeError::Timeout(_) | ProposeError::NotLeader { .. })), "{lost:?}");
    cluster.propose(b"after").await;
    let texts = |number: usize| cluster.members[number].applied().into_iter().map(|(_, text)| text);
    assert!(texts(old).all(|text| text == b"before"));
    cluster.hub.heal(old);
    // What the minority's leader had in its log gave way to what the majority committed.
    assert_eq!(cluster.agree_on(b"last").await, [&b"before"[..], b"after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_asked_for_again_and_again_gets_into_a_cut_off_leaders_log_once() {
    let cluster = Cluster::start(3).await;
    cluster.propose(b"before").await;
    let old = cluster.leader().await.number;
    let others: Vec<usize> = (0..3).filter(|number| *number != old).collect();
    // Nobody can replace it, so that it leads on.
    for number in &others {
        cluster.hub.cut(*number);
    }
    let log = cluster.members[old].log();
    let first = log.propose(b"again".to_vec()).await;
    assert!(matches!(first, Err(ProposeError::Timeout(_))), "{first:?}");
    for _ in 0..10 {
        assert_eq!(log.propose(b"again".to_vec()).await, Err(ProposeError::UnderWay));
    }
    let entries = cluster.members[old].store.scan(LOG, &[], 10_000).unwrap();
    let again = |(_, entry): &&(Vec<u8>, Vec<u8>)| entry.windows(5).any(|bytes| bytes == b"again");
    assert_eq!(entries.iter().filter(again).count(), 1);
    for number in &others {
        cluster.hub.heal(*number);
    }
    // Committed by now or given up: either way it may be said again.
    cluster.propose(b"again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_deposes_a_leader_that_is_alive() {
    let cluster = Cluster::start(3).await;
    cluster.agree_on(b"before").await;
    let leader = cluster.leader().await;
    let mut changes = leader.log().changes();
    changes.mark_unchanged();
    cluster.members[(leader.number + 1) % 3].log().campaign().await;
    tokio::time::timeout(hub::PATIENCE, changes.changed())
        .await
        .expect("the leader was not deposed")
        .unwrap();
    assert_eq!(cluster.agree_on(b"last").await, [b"before"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_steps_back_is_replaced_and_may_lead_again() {
    let cluster = Cluster::start(3).await;
    cluster.agree_on(b"before").await;
    let old = cluster.leader().await;
    let stepping = old.log().step_back();
    tokio::pin!(stepping);
    // It stops leading at once, before another does.
    assert!(futures::poll!(&mut stepping).is_pending());
    assert_eq!((old.log().is_leader(), old.log().leader()), (false, None));
    let refused = old.log().propose(b"late".to_vec()).await;
    assert!(matches!(refused, Err(ProposeError::NotLeader { leader: None })), "{refused:?}");
    assert!(stepping.await, "another leads");
    let new = cluster.leader().await.number;
    assert_ne!(new, old.number);
    assert!(old.log().step_back().await, "nothing to step back from");
    assert_eq!(cluster.agree_on(b"after").await, [b"before"]);
    // It stands for election again: it leads sooner or later when the one that leads steps back each time.
    while !old.log().is_leader() {
        cluster.leader().await.log().step_back().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whom_nobody_can_replace_leads_on() {
    let cluster = Cluster::start(1).await;
    let alone = cluster.leader().await;
    assert!(!alone.log().step_back().await);
    assert!(alone.log().is_leader());
    let cluster = Cluster::start(3).await;
    cluster.agree_on(b"before").await;
    let old = cluster.leader().await;
    // The others are cut off.
    for other in (0..3).filter(|n| *n != old.number) {
        cluster.hub.cut(other);
    }
    assert!(!old.log().step_back().await);
    for other in (0..3).filter(|n| *n != old.number) {
        cluster.hub.heal(other);
    }
    assert_eq!(cluster.agree_on(b"after").await, [b"before"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused() {
    let cluster = Cluster::start(3).await;
    cluster.agree_on(b"before").await;
    until("the others know the leader", || cluster.members.iter().all(|m| m.log().leader().is_some())).await;
    let (from, to, call) = cluster.hub.last_call(RaftKind::Append);
    let member = |id| cluster.members.iter().find(|m| hub::id(m.number) == id).unwrap();
    let (leader, follower) = (member(from), member(to));
    assert!(matches!(
        follower.log().propose(b"x".to_vec()).await,
        Err(ProposeError::NotLeader { leader: Some(leader) }) if leader != to
    ));
    let long = vec![0; MAX_ENTRY_BYTES + 1];
    assert!(matches!(leader.log().propose(long).await, Err(ProposeError::TooLarge { .. })));
    let longest = vec![0; MAX_ENTRY_BYTES];
    cluster.propose(&longest).await;

    let handle = |from, body| follower.log().handle(from, RaftKind::Append, body);
    handle(from, &call).await.unwrap();
    assert_eq!(handle(id(77), &call).await.unwrap_err(), "not a member of this log");
    assert!(handle(to, &call).await.unwrap_err().contains("speaks for"));
    let mut longer = call.clone();
    longer.push(0);
    assert!(handle(from, &longer).await.unwrap_err().contains("too many"));
    assert!(handle(from, &call[..call.len() - 1]).await.is_err());
    assert!(handle(from, &vec![0; super::MAX_CALL_BYTES + 1]).await.unwrap_err().contains("limit"));
    // None of it did harm.
    assert_eq!(cluster.agree_on(b"last").await, [b"before".to_vec(), longest]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shut_down_log_says_so() {
    let cluster = Cluster::start(1).await;
    let leader = cluster.leader().await;
    let mut changes = leader.log().changes();
    leader.log().shutdown().await;
    assert!(matches!(leader.log().propose(b"late".to_vec()).await, Err(ProposeError::Stopped(_))));
    while changes.changed().await.is_ok() {}
    assert!(matches!(hub::open_with(vec![id(0), id(0)]).await, Err(LogError::Config(_))));
}
