//! The log's bytes: one entry after the other, each a batch, in frames of which none ends where an entry does.
//!
//! An entry is its length `u32`, then for each change: tree (`u8` length), key (`u16` length), `u8` 1 and the value (`u32` length), or 0 to
//! delete. Little endian.

use std::collections::{BTreeMap, VecDeque};

use zeroize::Zeroizing;

use crate::batch::Op;

/// What the store holds: trees by their names.
pub(crate) type Trees = BTreeMap<String, BTreeMap<Vec<u8>, Zeroizing<Vec<u8>>>>;

/// Bytes of a pair in a snapshot besides tree, key and value.
const PAIR: usize = 4 + 1 + 2 + 1 + 4;

/// What a pair takes in a snapshot.
pub(crate) fn cost(tree: &str, key: &[u8], value: &[u8]) -> usize {
    PAIR + tree.len() + key.len() + value.len()
}

/// Appends an entry.
pub(crate) fn encode<'a>(
    out: &mut impl Extend<u8>,
    changes: impl Iterator<Item = (&'a str, &'a [u8], Option<&'a [u8]>)> + Clone,
) {
    let lens = changes.clone().map(|(tree, key, value)| {
        1 + tree.len() + 2 + key.len() + 1 + value.map_or(0, |value| 4 + value.len())
    });
    let len = u32::try_from(lens.sum::<usize>()).expect("invariant: MAX_BATCH_BYTES");
    out.extend(len.to_le_bytes());
    for (tree, key, value) in changes {
        out.extend([u8::try_from(tree.len()).expect("invariant: MAX_TREE_BYTES")]);
        out.extend(tree.bytes());
        out.extend(u16::try_from(key.len()).expect("invariant: MAX_KEY_BYTES").to_le_bytes());
        out.extend(key.iter().copied());
        out.extend([u8::from(value.is_some())]);
        if let Some(value) = value {
            out.extend(u32::try_from(value.len()).expect("invariant: MAX_VALUE_BYTES").to_le_bytes());
            out.extend(value.iter().copied());
        }
    }
}

/// A change as [`encode`] takes it.
pub(crate) fn borrowed(op: &Op) -> (&str, &[u8], Option<&[u8]>) {
    (&op.tree, &op.key, op.value.as_deref())
}

/// All that is there, each pair an entry of its own.
pub(crate) fn snapshot(trees: &Trees) -> Zeroizing<Vec<u8>> {
    let pairs =
        || trees.iter().flat_map(|(tree, pairs)| pairs.iter().map(move |(key, value)| (tree, key, value)));
    // Of the right size from the start: no smaller copy stays behind.
    let len = pairs().map(|(tree, key, value)| cost(tree, key, value)).sum();
    let mut out = Zeroizing::new(Vec::with_capacity(len));
    for (tree, key, value) in pairs() {
        encode(&mut *out, std::iter::once((&tree[..], &key[..], Some(&value[..]))));
    }
    out
}

/// Reads entries as their bytes come; an entry takes effect when all of it is there.
#[derive(Default)]
pub(crate) struct Reader {
    bytes: VecDeque<u8>,
}

impl Reader {
    /// Applies what is complete now. `None`: nobody writes such an entry.
    pub(crate) fn take(&mut self, bytes: &[u8], trees: &mut Trees) -> Option<()> {
        self.bytes.extend(bytes);
        loop {
            let len = self.bytes.iter().take(4).copied().collect::<Vec<u8>>();
            let Ok(len) = <[u8; 4]>::try_from(len) else { return Some(()) };
            let len = u32::from_le_bytes(len) as usize;
            if self.bytes.len() < 4 + len {
                return Some(());
            }
            let entry: Zeroizing<Vec<u8>> = Zeroizing::new(self.bytes.drain(..4 + len).skip(4).collect());
            let mut rest = &entry[..];
            while !rest.is_empty() {
                change(&mut rest, trees)?;
            }
        }
    }
}

fn change(rest: &mut &[u8], trees: &mut Trees) -> Option<()> {
    let len = part(rest, 1)?[0];
    let tree = std::str::from_utf8(part(rest, usize::from(len))?).ok()?;
    let len = u16::from_le_bytes(part(rest, 2)?.try_into().ok()?);
    let key = part(rest, usize::from(len))?;
    let pairs = trees.entry(tree.to_owned()).or_default();
    match part(rest, 1)?[0] {
        0 => drop(pairs.remove(key)),
        1 => {
            let len = u32::from_le_bytes(part(rest, 4)?.try_into().ok()?);
            pairs.insert(key.to_vec(), Zeroizing::new(part(rest, len as usize)?.to_vec()));
        }
        _ => return None,
    }
    Some(())
}

fn part<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (part, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(part)
}
