//! The machine as openraft wants it: applying, making and installing snapshots.

use std::io::Cursor;
use std::sync::Arc;

use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftSnapshotBuilder};
use tokio::sync::Mutex;

use super::Machine;
use super::error::LogError;
use super::shared::failed;
use super::snapshots::Snapshots;
use super::types::{Entry, LogId, SnapshotMeta, StorageError, StoredMembership, Types};

/// The machine and how far it has come; one lock, so that a snapshot fits its own description.
struct Applied {
    machine: Box<dyn Machine>,
    last: Option<LogId>,
    membership: StoredMembership,
}

#[derive(Clone)]
pub(super) struct StateMachine {
    applied: Arc<Mutex<Applied>>,
    snapshots: Arc<Snapshots>,
}

impl StateMachine {
    /// The machine as the current snapshot has it. Blocks.
    pub(super) fn open(
        mut machine: Box<dyn Machine>,
        snapshots: Snapshots,
    ) -> Result<StateMachine, LogError> {
        let (mut last, mut membership) = (None, StoredMembership::default());
        if let Some((meta, data)) = snapshots.load()? {
            machine.restore(&data).map_err(LogError::Restore)?;
            last = meta.last_log_id;
            membership = meta.last_membership;
        }
        let applied = Arc::new(Mutex::new(Applied { machine, last, membership }));
        Ok(StateMachine { applied, snapshots: Arc::new(snapshots) })
    }

    /// Runs what blocks for long (encoding, writing, reading megabytes) away from the runtime's threads.
    async fn blocking<T: Send + 'static>(
        &self,
        verb: ErrorVerb,
        work: impl FnOnce(StateMachine) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let this = self.clone();
        let snapshot = || ErrorSubject::Snapshot(None);
        match tokio::task::spawn_blocking(move || work(this)).await {
            Ok(done) => done.map_err(|error| failed(snapshot(), verb, &error)),
            Err(panicked) => Err(failed(snapshot(), verb, &panicked)),
        }
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotBuilder = StateMachine;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let applied = self.applied.lock().await;
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut applied = self.applied.lock().await;
        let mut answers = Vec::new();
        for entry in entries {
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(bytes) => applied.machine.apply(entry.log_id.index, &bytes.0),
                EntryPayload::Membership(members) => {
                    applied.membership = StoredMembership::new(Some(entry.log_id), members);
                }
            }
            applied.last = Some(entry.log_id);
            answers.push(());
        }
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> StateMachine {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let meta = meta.clone();
        self.blocking(ErrorVerb::Write, move |this| {
            let data = snapshot.into_inner();
            let mut applied = this.applied.blocking_lock();
            // First the machine, which may refuse: a snapshot in the store has been accepted once.
            applied.machine.restore(&data).map_err(LogError::Restore)?;
            this.snapshots.save(&meta, &data)?;
            applied.last = meta.last_log_id;
            applied.membership = meta.last_membership;
            Ok(())
        })
        .await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        let current = self.blocking(ErrorVerb::Read, |this| this.snapshots.load()).await?;
        Ok(current.map(|(meta, data)| Snapshot { meta, snapshot: Box::new(Cursor::new(data)) }))
    }
}

impl RaftSnapshotBuilder<Types> for StateMachine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let (meta, data) = self
            .blocking(ErrorVerb::Write, |this| {
                let (meta, data) = {
                    let applied = this.applied.blocking_lock();
                    let snapshot_id =
                        applied.last.map_or_else(|| "empty".to_owned(), |last| last.to_string());
                    let last_membership = applied.membership.clone();
                    (
                        SnapshotMeta { last_log_id: applied.last, last_membership, snapshot_id },
                        applied.machine.snapshot(),
                    )
                };
                this.snapshots.save(&meta, &data)?;
                Ok((meta, data))
            })
            .await?;
        Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(data)) })
    }
}
