//! openraft's types as used here, and their encoding.

use std::fmt;
use std::io::Cursor;

use openraft::EmptyNode;
use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

openraft::declare_raft_types!(
    /// Opaque entries, no answers, members by their place in the list.
    pub(super) Types:
        D = Opaque,
        R = (),
        NodeId = u64,
        Node = EmptyNode,
);

pub(super) type Entry = openraft::Entry<Types>;
pub(super) type LogId = openraft::LogId<u64>;
pub(super) type Vote = openraft::Vote<u64>;
pub(super) type StorageError = openraft::StorageError<u64>;
pub(super) type SnapshotMeta = openraft::SnapshotMeta<u64, EmptyNode>;
pub(super) type StoredMembership = openraft::StoredMembership<u64, EmptyNode>;

/// An entry's bytes. Not a plain `Vec<u8>`, which serde would encode byte by byte.
pub(super) struct Opaque(pub(super) Vec<u8>);

impl Serialize for Opaque {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Opaque {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Opaque, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Opaque;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Opaque, E> {
                Ok(Opaque(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).expect("invariant: these types have lengths and no maps of unknown size")
}

/// Refuses trailing bytes.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("{} bytes too many", rest.len())),
        Err(error) => Err(error.to_string()),
    }
}
