//! A set of changes that takes effect as a whole or not at all.

use crate::StoreError;

/// Longest value in bytes. Larger things are split by their owner.
pub const MAX_VALUE_BYTES: usize = 2 * 1024 * 1024;
/// Longest key in bytes.
pub const MAX_KEY_BYTES: usize = 512;
/// Longest tree name in bytes.
pub const MAX_TREE_BYTES: usize = 64;
/// Largest batch in bytes: tree names, keys and values together.
pub const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// One change: a value put, or the key deleted (`None`).
pub(crate) struct Op {
    pub(crate) tree: String,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

/// Changes to any number of trees, applied atomically and in order: the last change of a key wins.
///
/// The limits are checked by `Store::commit`, which refuses a batch beyond them as [`StoreError::TooLarge`].
#[derive(Default)]
pub struct Batch {
    ops: Vec<Op>,
    bytes: usize,
}

impl Batch {
    /// An empty batch. Committing it waits for everything committed before.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Sets `key` of `tree` to `value`.
    pub fn put(&mut self, tree: &str, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Batch {
        self.push(tree, key.as_ref(), Some(value.as_ref().to_vec()))
    }

    /// Removes `key` from `tree`; a missing key is fine.
    pub fn delete(&mut self, tree: &str, key: impl AsRef<[u8]>) -> &mut Batch {
        self.push(tree, key.as_ref(), None)
    }

    /// Whether the batch changes nothing.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Bytes of tree names, keys and values so far, for those who fill batches up to [`MAX_BATCH_BYTES`].
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, tree: &str, key: &[u8], value: Option<Vec<u8>>) -> &mut Batch {
        self.bytes += tree.len() + key.len() + value.as_ref().map_or(0, Vec::len);
        self.ops.push(Op { tree: tree.to_owned(), key: key.to_vec(), value });
        self
    }

    pub(crate) fn into_ops(self) -> Vec<Op> {
        self.ops
    }

    /// A batch that only deletes may use part of the disk's reserve: it is how room is made.
    pub(crate) fn only_deletes(&self) -> bool {
        self.ops.iter().all(|op| op.value.is_none())
    }

    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let within = |what, len, max| {
            if len <= max { Ok(()) } else { Err(StoreError::TooLarge { what, len, max }) }
        };
        for op in &self.ops {
            if op.tree.is_empty() || op.tree.contains('\0') {
                return Err(StoreError::TreeName { name: op.tree.clone() });
            }
            within("tree name", op.tree.len(), MAX_TREE_BYTES)?;
            within("key", op.key.len(), MAX_KEY_BYTES)?;
            within("value", op.value.as_ref().map_or(0, Vec::len), MAX_VALUE_BYTES)?;
        }
        within("batch", self.bytes, MAX_BATCH_BYTES)
    }
}
