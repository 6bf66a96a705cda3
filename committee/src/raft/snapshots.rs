//! The current snapshot in the store, in parts.
//!
//! A new snapshot is written beside the old one under the next generation; the last batch of it points to it. The old
//! one is removed then. A crash in between leaves parts nobody points to; the next open removes them. All of this blocks.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use zipnet_store::{Batch, StoreError};

use super::MAX_SNAPSHOT_BYTES;
use super::error::LogError;
use super::shared::{BATCH_BYTES, SNAPSHOT, STATE, Shared};
use super::types::{SnapshotMeta, encode};

const PART_BYTES: usize = 512 * 1024;

#[derive(Clone, Serialize, Deserialize)]
struct Pointer {
    generation: u64,
    bytes: u64,
    meta: SnapshotMeta,
}

impl Pointer {
    fn parts(&self) -> u32 {
        // At most MAX_SNAPSHOT_BYTES / PART_BYTES.
        (self.bytes as usize).div_ceil(PART_BYTES) as u32
    }
}

pub(super) struct Snapshots {
    shared: Arc<Shared>,
    /// Locked over every read and write of parts, so that none is removed while it is read.
    current: Mutex<Option<Pointer>>,
}

fn key(generation: u64, part: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&generation.to_be_bytes());
    key[8..].copy_from_slice(&part.to_be_bytes());
    key
}

impl Snapshots {
    pub(super) fn open(shared: Arc<Shared>) -> Result<Snapshots, LogError> {
        let current: Option<Pointer> = shared.state("snapshot")?;
        remove_orphans(&shared, current.as_ref())?;
        Ok(Snapshots { shared, current: Mutex::new(current) })
    }

    /// The current snapshot.
    pub(super) fn load(&self) -> Result<Option<(SnapshotMeta, Vec<u8>)>, LogError> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pointer) = current.as_ref() else { return Ok(None) };
        let mut data = Vec::with_capacity(pointer.bytes as usize);
        for part in 0..pointer.parts() {
            let bytes = self.shared.store.get(SNAPSHOT, &key(pointer.generation, part))?;
            data.extend_from_slice(
                &bytes
                    .ok_or_else(|| LogError::Malformed(format!("part {part} of the snapshot is missing")))?,
            );
        }
        if data.len() as u64 != pointer.bytes {
            return Err(LogError::Malformed(format!(
                "a snapshot of {} bytes has {}",
                pointer.bytes,
                data.len()
            )));
        }
        Ok(Some((pointer.meta.clone(), data)))
    }

    /// Replaces the current snapshot, unless that is as new; returns when it is durable.
    pub(super) fn save(&self, meta: &SnapshotMeta, data: &[u8]) -> Result<(), LogError> {
        if data.len() > MAX_SNAPSHOT_BYTES {
            let text =
                format!("a snapshot of {} bytes is over the limit of {MAX_SNAPSHOT_BYTES}", data.len());
            return Err(LogError::Malformed(text));
        }
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|pointer| pointer.meta.last_log_id >= meta.last_log_id) {
            return Ok(());
        }
        let generation = current.as_ref().map_or(0, |pointer| pointer.generation + 1);
        let pointer = Pointer { generation, bytes: data.len() as u64, meta: meta.clone() };
        let mut batch = Batch::new();
        for (part, bytes) in (0..).zip(data.chunks(PART_BYTES)) {
            if batch.bytes() >= BATCH_BYTES {
                self.shared.store.commit(std::mem::take(&mut batch)).wait()?;
            }
            batch.put(SNAPSHOT, key(generation, part), bytes);
        }
        batch.put(STATE, "snapshot", encode(&pointer));
        self.shared.store.commit(batch).wait()?;
        let old = current.replace(pointer);
        drop(current);
        // Nobody points to these any more. A few at a time, for the log writes to the same store.
        for part in 0..old.as_ref().map_or(0, Pointer::parts) {
            if self.shared.is_closing() {
                break;
            }
            let mut batch = Batch::new();
            batch.delete(SNAPSHOT, key(generation - 1, part));
            self.shared.store.commit(batch).wait()?;
        }
        Ok(())
    }
}

fn remove_orphans(shared: &Shared, current: Option<&Pointer>) -> Result<(), StoreError> {
    let mut from = key(0, 0).to_vec();
    while let Some((found, _)) = shared.store.scan(SNAPSHOT, &from, 1)?.pop() {
        let generation = found.get(..8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        from = match (generation, current) {
            (Some(generation), Some(pointer)) if generation == pointer.generation => {
                key(generation + 1, 0).to_vec()
            }
            _ => {
                let mut batch = Batch::new();
                batch.delete(SNAPSHOT, &found);
                shared.store.commit(batch).wait()?;
                found
            }
        };
    }
    Ok(())
}
