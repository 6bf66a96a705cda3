//! Whose log it is.

use std::sync::Arc;
use std::time::Duration;

use zipnet_store::MemStore;

use super::hub::{id, open, open_with};
use crate::raft::{LogConfig, LogError};

#[tokio::test]
async fn a_log_of_other_members_is_left_alone() {
    let store = Arc::new(MemStore::new());
    let hub = Arc::default();
    let log = open(&hub, 0, vec![id(0), id(1)], store.clone(), Arc::default()).await.unwrap();
    log.shutdown().await;
    let writes = store.commits();
    let swapped = open(&hub, 0, vec![id(1), id(0)], store.clone(), Arc::default()).await.err().unwrap();
    assert!(matches!(&swapped, LogError::OtherMembers { .. }), "{swapped}");
    assert!(swapped.to_string().contains(&id(1).to_string()), "{swapped}");
    assert_eq!(store.commits(), writes);
    open(&hub, 0, vec![id(0), id(1)], store, Arc::default()).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn members_that_make_no_log_are_refused() {
    assert!(matches!(open_with(vec![id(1), id(2)]).await, Err(LogError::Config(_))));
    assert!(matches!(open_with(Vec::new()).await, Err(LogError::Config(_))));
    let many = (0..=crate::raft::MAX_MEMBERS).map(id).collect();
    assert!(matches!(open_with(many).await, Err(LogError::Config(_))));
}

#[test]
fn the_times_follow_the_round_deadline_where_links_are_slow() {
    let times = |secs| {
        let cfg = LogConfig::new(id(1), vec![id(1)], Duration::from_secs(secs));
        [cfg.heartbeat, cfg.election_min, cfg.election_max].map(|time| time.as_millis())
    };
    for secs in [1, 8, 12] {
        assert_eq!(times(secs), [800, 1_500, 2_200], "{secs} s");
    }
    assert_eq!(times(30), [2_000, 3_750, 5_500]);
    for secs in [45, 3_600] {
        assert_eq!(times(secs), [3_000, 5_625, 8_250], "{secs} s");
    }
}
