//! Where the client keeps what it accepted: a folder, or, beside a sealed identity, a sealed store.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::TryRng;
use rand::rngs::SysRng;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;
use zipnet_store::{BEAT, SEALED_BYTES, SealedStore, SledStore, Store, StoreError, allocate};

use crate::failure::Failure;

/// The client's store in the state folder.
const STORE: &str = "client";
/// The same, sealed, if the identity's file has no room for it.
const SEALED: &str = "client.sealed";

/// The client's store in this state folder.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn open_plain(state: &Path) -> Result<Arc<dyn Store>, Failure> {
    open_store(state.join(STORE)).await
}

/// The client's sealed store: behind the identity in `identity`, if that is long enough, else in the state folder.
///
/// # Errors
/// [`Failure`].
pub(super) async fn open_sealed(
    state: &Path,
    identity: Option<&Path>,
    key: Zeroizing<[u8; 32]>,
) -> Result<Arc<dyn Store>, Failure> {
    let (path, ours) = match identity {
        Some(path) => (path.to_owned(), false),
        None => (state.join(SEALED), true),
    };
    make_folder(state)?;
    opened(move || {
        if ours && !path.exists() {
            allocate(&path, SEALED_BYTES)?;
        }
        Ok(Arc::new(SealedStore::open(&path, &key, BEAT, Box::new(salt))?) as Arc<dyn Store>)
    })
    .await
}

fn salt() -> [u8; 16] {
    let mut salt = [0; 16];
    SysRng.try_fill_bytes(&mut salt).expect("invariant: the system gives randomness");
    salt
}

/// Refuses a state folder with a store of the other kind: what was accepted is in there, and would be forgotten without a word.
///
/// # Errors
/// [`Failure::OtherStore`].
pub(super) fn none_of_the_other_kind(state: &Path, sealed: bool) -> Result<(), Failure> {
    let other = state.join(if sealed { STORE } else { SEALED });
    if other.exists() { Err(Failure::OtherStore(other)) } else { Ok(()) }
}

/// Makes the folder (mode 0700) if it lacks, and opens the store in it.
pub(crate) async fn open_store(dir: PathBuf) -> Result<Arc<dyn Store>, Failure> {
    make_folder(&dir)?;
    opened(move || Ok(Arc::new(SledStore::open(&dir)?) as Arc<dyn Store>)).await
}

async fn opened(
    open: impl FnOnce() -> Result<Arc<dyn Store>, StoreError> + Send + 'static,
) -> Result<Arc<dyn Store>, Failure> {
    let opened = spawn_blocking(open).await;
    let opened =
        opened.map_err(|e| Failure::System { action: "open the store", source: io::Error::other(e) })?;
    Ok(opened?)
}

/// A folder of one's own, with its parents.
pub(crate) fn make_folder(dir: &Path) -> Result<(), Failure> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| Failure::StateDir { dir: dir.to_owned(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use zipnet_store::{Batch, MIN_SEALED_BYTES, SEALED_FROM};

    use super::*;

    const KEY: [u8; 32] = [1; 32];

    async fn put(store: &Arc<dyn Store>) {
        let mut batch = Batch::new();
        batch.put("t", b"k", b"canary");
        store.commit(batch).await.unwrap();
    }

    #[tokio::test]
    async fn a_sealed_store_is_beside_the_identity_or_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let device = dir.path().join("device");
        allocate(&device, MIN_SEALED_BYTES).unwrap();
        for identity in [None, Some(&*device)] {
            let store = open_sealed(&state, identity, KEY.into()).await.unwrap();
            put(&store).await;
            drop(store);
            let store = open_sealed(&state, identity, KEY.into()).await.unwrap();
            assert_eq!(store.get("t", b"k").unwrap().unwrap(), b"canary");
        }
        assert_eq!(fs::metadata(state.join(SEALED)).unwrap().len(), SEALED_BYTES);
        let bytes = fs::read(&device).unwrap();
        assert!(bytes[..SEALED_FROM as usize].iter().all(|byte| *byte == 0), "the identity's");
        assert!(!bytes.windows(6).any(|part| part == b"canary"));
        let wrong = open_sealed(&state, None, [2; 32].into()).await.err().unwrap();
        assert!(matches!(wrong, Failure::Store(StoreError::Sealed { .. })), "{wrong}");
    }

    #[tokio::test]
    async fn a_store_of_the_other_kind_is_not_forgotten() {
        for sealed_first in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let state = dir.path();
            none_of_the_other_kind(state, sealed_first).unwrap();
            if sealed_first {
                open_sealed(state, None, KEY.into()).await.unwrap();
            } else {
                open_plain(state).await.unwrap();
            }
            none_of_the_other_kind(state, sealed_first).unwrap();
            let refused = none_of_the_other_kind(state, !sealed_first);
            assert!(matches!(refused, Err(Failure::OtherStore(_))));
        }
    }
}
