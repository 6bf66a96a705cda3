//! How trees, keys and values lie in sled.
//!
//! Everything is in one sled tree, so that a batch over several of our trees is one atomic sled batch:
//!
//! ```text
//! 'd' ‖ tree ‖ 0 ‖ key                               → 0 ‖ value                     (value ≤ PART_BYTES)
//!                                                    → 1 ‖ length of the value, u32  (longer)
//! 'p' ‖ length of (tree ‖ 0 ‖ key), u16 BE ‖ tree ‖ 0 ‖ key ‖ part, u32 BE → that part of the value
//! ```
//!
//! Why in parts: sled writes a record over a quarter of its segment size into a file of its own under `blobs/` and never
//! syncs that file. The largest record is a whole leaf: at most 16 pairs before it splits, 4 more
//! from a merge, some with 532 bytes of key: 20 × (16 KiB + 1 KiB) stays under 2 MiB / 4. So no blob is ever written.

use sled::Tree;

use crate::batch::Op;

/// Values are stored in parts of this many bytes.
pub(crate) const PART_BYTES: usize = 16 * 1024;
/// sled's segment size in bytes; see the module's text for the relation to `PART_BYTES`. Fixed at creation.
pub(crate) const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

const WHOLE: u8 = 0;
const IN_PARTS: u8 = 1;

/// The prefix of all keys of a tree. `end` of it is the same with the NUL as 1: the first key after the tree.
pub(crate) fn prefix(tree: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(tree.len() + 2);
    key.push(b'd');
    key.extend_from_slice(tree.as_bytes());
    key.push(0);
    key
}

pub(crate) fn after(tree: &str) -> Vec<u8> {
    let mut key = prefix(tree);
    *key.last_mut().expect("invariant: a prefix ends in NUL") = 1;
    key
}

pub(crate) fn head(tree: &str, key: &[u8]) -> Vec<u8> {
    let mut head = prefix(tree);
    head.extend_from_slice(key);
    head
}

fn part(head: &[u8], index: usize) -> Vec<u8> {
    let name = &head[1..];
    let mut key = Vec::with_capacity(name.len() + 7);
    key.push(b'p');
    key.extend_from_slice(&(name.len() as u16).to_be_bytes());
    key.extend_from_slice(name);
    key.extend_from_slice(&(index as u32).to_be_bytes());
    key
}

/// Why stored bytes are not what this module writes.
pub(crate) enum Unreadable {
    Sled(sled::Error),
    Malformed(&'static str),
}

impl From<sled::Error> for Unreadable {
    fn from(error: sled::Error) -> Unreadable {
        Unreadable::Sled(error)
    }
}

/// The value behind `stored`, which sled has under `head`.
pub(crate) fn value(tree: &Tree, head: &[u8], stored: &[u8]) -> Result<Vec<u8>, Unreadable> {
    if let Some((&WHOLE, value)) = stored.split_first() {
        return Ok(value.to_vec());
    }
    let length = parts_length(stored)?;
    let mut value = Vec::with_capacity(length);
    for index in 0..length.div_ceil(PART_BYTES) {
        let bytes =
            tree.get(part(head, index))?.ok_or(Unreadable::Malformed("a part of a value is missing"))?;
        value.extend_from_slice(&bytes);
    }
    if value.len() == length { Ok(value) } else { Err(Unreadable::Malformed("a value has another length")) }
}

fn parts_length(stored: &[u8]) -> Result<usize, Unreadable> {
    match stored.split_first() {
        Some((&IN_PARTS, length)) => {
            let length =
                length.try_into().map_err(|_| Unreadable::Malformed("a value's length is malformed"))?;
            let length = u32::from_le_bytes(length) as usize;
            if length <= crate::MAX_VALUE_BYTES {
                Ok(length)
            } else {
                Err(Unreadable::Malformed("a value is too long"))
            }
        }
        _ => Err(Unreadable::Malformed("a value has neither form")),
    }
}

/// The sled batch for `ops`. Only the writer calls this: it reads what the ops replace, to remove left-over parts.
pub(crate) fn encode(tree: &Tree, ops: Vec<Op>) -> Result<sled::Batch, Unreadable> {
    // sled's batch is a map in which the last write of a key wins, so removals go in before what replaces them.
    let mut batch = sled::Batch::default();
    let mut in_this_batch = std::collections::BTreeMap::new();
    for op in ops {
        in_this_batch.insert(head(&op.tree, &op.key), op.value);
    }
    for (head, value) in in_this_batch {
        if let Some(stored) = tree.get(&head)?
            && stored.first() != Some(&WHOLE)
        {
            for index in 0..parts_length(&stored)?.div_ceil(PART_BYTES) {
                batch.remove(part(&head, index));
            }
        }
        let Some(value) = value else {
            batch.remove(head);
            continue;
        };
        let mut stored = Vec::with_capacity(1 + value.len().min(PART_BYTES));
        if value.len() <= PART_BYTES {
            stored.push(WHOLE);
            stored.extend_from_slice(&value);
        } else {
            stored.push(IN_PARTS);
            stored.extend_from_slice(&(value.len() as u32).to_le_bytes());
            for (index, bytes) in value.chunks(PART_BYTES).enumerate() {
                batch.insert(part(&head, index), bytes);
            }
        }
        batch.insert(head, stored);
    }
    Ok(batch)
}
