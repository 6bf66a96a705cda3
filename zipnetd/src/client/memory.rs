//! What the store remembers besides messages: whose it is, and the deployment that was found (R1).

use std::path::PathBuf;
use std::sync::Arc;

use zipnet_dcnet::descriptor::{Descriptor, InstanceRef};
use zipnet_dcnet::ids::DeploymentId;
use zipnet_dcnet::signed::encode;
use zipnet_store::{Batch, Store, StoreError};

/// The tree; nobody else writes it.
const TREE: &str = "client";
const INSTANCE: &[u8] = b"instance";
const DESCRIPTOR: &[u8] = b"descriptor";

/// A store that this client cannot use.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It holds the messages of another instance.
    #[error("the state in {} belongs to instance `{has}`, not to `{wanted}`", dir.display())]
    OtherInstance {
        /// Its folder.
        dir: PathBuf,
        /// Whose it is.
        has: String,
        /// Who was to use it.
        wanted: String,
    },
    /// It holds the messages of another deployment of that name than the pinned one.
    #[error("the state in {} belongs to deployment {has}, but {wanted} is pinned", dir.display())]
    OtherDeployment {
        /// Its folder.
        dir: PathBuf,
        /// Whose it is.
        has: DeploymentId,
        /// The pin.
        wanted: DeploymentId,
    },
    /// What it says about its owner cannot be read.
    #[error("the state in {} names its {what} in a way that cannot be read", dir.display())]
    Unreadable {
        /// Its folder.
        dir: PathBuf,
        /// What.
        what: &'static str,
    },
}

/// The store's memory of its instance.
pub(crate) struct Memory {
    store: Arc<dyn Store>,
    dir: PathBuf,
    /// What was found before.
    pub(crate) descriptor: Option<Descriptor>,
}

impl Memory {
    /// Makes the store one of `instance`, or finds that it is. Waits for the disk. `dir` is for the texts of errors.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        dir: PathBuf,
        instance: &InstanceRef,
    ) -> Result<Self, MemoryError> {
        let unreadable = |what| MemoryError::Unreadable { dir: dir.clone(), what };
        match store.get(TREE, INSTANCE)? {
            None => {
                let mut batch = Batch::new();
                batch.put(TREE, INSTANCE, &instance.name);
                store.commit(batch).await?;
            }
            Some(has) if has == instance.name.as_bytes() => {}
            Some(has) => {
                let has = String::from_utf8(has).map_err(|_| unreadable("instance"))?;
                return Err(MemoryError::OtherInstance { dir, has, wanted: instance.name.clone() });
            }
        }
        let descriptor = match store.get(TREE, DESCRIPTOR)? {
            None => None,
            Some(bytes) => {
                let known: Option<Descriptor> = borsh::from_slice(&bytes).ok();
                let known = known.filter(|d| d.check().is_ok() && d.instance == instance.name);
                Some(known.ok_or_else(|| unreadable("deployment"))?)
            }
        };
        if let (Some(known), Some(wanted)) = (&descriptor, instance.pin)
            && known.id() != wanted
        {
            return Err(MemoryError::OtherDeployment { dir, has: known.id(), wanted });
        }
        Ok(Self { store, dir, descriptor })
    }

    /// Remembers the deployment, for good. Waits for the disk.
    pub(crate) async fn remember(&mut self, descriptor: &Descriptor) -> Result<(), MemoryError> {
        let mut batch = Batch::new();
        batch.put(TREE, DESCRIPTOR, encode(descriptor));
        self.store.commit(batch).await?;
        self.descriptor = Some(descriptor.clone());
        Ok(())
    }

    /// The store's folder.
    pub(crate) fn dir(&self) -> &std::path::Path {
        &self.dir
    }
}

#[cfg(test)]
mod tests {
    use zipnet_dcnet::ids::PeerId;
    use zipnet_dcnet::params::Params;
    use zipnet_store::MemStore;

    use super::*;

    async fn open(store: &Arc<MemStore>, text: &str) -> Result<Memory, MemoryError> {
        Memory::open(store.clone(), "/state".into(), &text.parse().unwrap()).await
    }

    #[tokio::test]
    async fn a_store_belongs_to_one_instance_and_one_deployment() {
        let store = Arc::new(MemStore::new());
        let servers = (1..=3).map(|n| PeerId([n; 32])).collect();
        let descriptor = Descriptor::new("acme", Params::standard(3), servers).unwrap();
        let mut memory = open(&store, "acme").await.unwrap();
        assert_eq!(memory.descriptor, None);
        memory.remember(&descriptor).await.unwrap();

        let store = Arc::new(store.crash());
        assert_eq!(open(&store, "acme").await.unwrap().descriptor, Some(descriptor.clone()));
        let pinned = format!("acme#{}", descriptor.id());
        assert_eq!(open(&store, &pinned).await.unwrap().descriptor, Some(descriptor));
        let moved = format!("acme#{}", DeploymentId([9; 32]));
        assert!(matches!(open(&store, &moved).await, Err(MemoryError::OtherDeployment { .. })));
        let other = open(&store, "other").await.err().unwrap().to_string();
        assert_eq!(other, "the state in /state belongs to instance `acme`, not to `other`");
    }
}
