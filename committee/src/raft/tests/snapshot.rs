//! Snapshots, the purge behind them, and members that were away for long.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use zipnet_store::Store as _;

use super::hub::{Cluster, Member, until};
use crate::raft::shared::{LOG, SNAPSHOT, STATE};
use crate::raft::{KEEP_ENTRIES, MAX_CALL_BYTES, RaftKind, SNAPSHOT_EVERY};

fn first_index(member: &Member) -> u64 {
    let first = member.store.scan(LOG, &[], 1).unwrap().pop().unwrap().0;
    u64::from_be_bytes(first.try_into().unwrap())
}

/// Proposes `count` different entries of `bytes` bytes, many at a time, and returns them.
async fn fill(cluster: &Cluster, count: u32, bytes: usize) -> BTreeSet<Vec<u8>> {
    let entry = |number: u32| {
        let mut entry = vec![5; bytes];
        entry[..4].copy_from_slice(&number.to_le_bytes());
        entry
    };
    let entries: BTreeSet<_> = (0..count).map(entry).collect();
    futures::stream::iter(&entries).for_each_concurrent(60, |entry| cluster.propose(entry)).await;
    entries
}

fn set(entries: Vec<Vec<u8>>) -> BTreeSet<Vec<u8>> {
    entries.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_behind_the_purge_gets_the_snapshot() {
    let mut cluster = Cluster::start(3).await;
    let away = (cluster.leader().await.number + 1) % 3;
    cluster.hub.cut(away);
    // A snapshot of more than one call.
    let entries = fill(&cluster, 600, 4000).await;
    let purged = |member: &Member| first_index(member) > SNAPSHOT_EVERY - 2 * KEEP_ENTRIES;
    until("the others have purged", || cluster.members.iter().all(|m| m.number == away || purged(m))).await;
    assert!(cluster.members[away].applied().is_empty());
    assert_eq!(cluster.hub.calls(RaftKind::Snapshot), 0);
    cluster.hub.heal(away);
    assert_eq!(set(cluster.agree_on(b"last").await), entries);
    assert!(cluster.hub.calls(RaftKind::Snapshot) > 1);
    assert!(cluster.members[away].store.get(STATE, b"snapshot").unwrap().is_some());

    // And from its own disk: the snapshot first, then the entries behind it.
    cluster.kill(away).await;
    cluster.restart(away).await;
    assert!(cluster.members[away].applied().len() >= 500);
    assert_eq!(set(cluster.agree_on(b"last").await), entries);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_one_snapshot_is_kept_and_orphans_go() {
    let mut cluster = Cluster::start(1).await;
    let generations = |cluster: &Cluster| {
        let pairs = cluster.members[0].store.scan(SNAPSHOT, &[], 1000).unwrap();
        let mut generations: Vec<_> = pairs.into_iter().map(|(key, _)| key[..8].to_vec()).collect();
        generations.dedup();
        generations
    };
    fill(&cluster, 1100, 1000).await;
    until("there is a second snapshot", || {
        generations(&cluster) == [1u64.to_be_bytes().to_vec()]
            && first_index(&cluster.members[0]) > SNAPSHOT_EVERY
    })
    .await;
    let mut orphans = zipnet_store::Batch::new();
    for generation in [0u64, 2, 900] {
        orphans.put(SNAPSHOT, [&generation.to_be_bytes()[..], &[0; 4]].concat(), b"left by a crash");
    }
    orphans.put(LOG, 3u64.to_be_bytes(), cluster.members[0].store.last(LOG).unwrap().unwrap().1);
    cluster.members[0].store.commit(orphans).await.unwrap();
    let before = cluster.members[0].applied();
    cluster.kill(0).await;
    cluster.restart(0).await;
    assert_eq!(generations(&cluster), [1u64.to_be_bytes().to_vec()]);
    assert_eq!(cluster.members[0].applied(), before);
    until("the purged entry is gone", || first_index(&cluster.members[0]) > SNAPSHOT_EVERY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_entries_reach_a_lagging_member_in_calls_within_the_limit() {
    let cluster = Cluster::start(3).await;
    let away = (cluster.leader().await.number + 1) % 3;
    cluster.hub.cut(away);
    let entries = fill(&cluster, 40, 400_000).await;
    cluster.hub.heal(away);
    assert_eq!(set(cluster.agree_on(b"last").await), entries);
    let longest = cluster.hub.longest();
    assert!(longest > 400_000 && longest <= MAX_CALL_BYTES, "{longest}");
}
