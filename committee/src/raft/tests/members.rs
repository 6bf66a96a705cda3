//! Whose log it is.

use std::sync::Arc;

use zipnet_store::MemStore;

use super::hub::{id, open, open_with};
use crate::raft::LogError;

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
