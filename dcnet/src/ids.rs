//! The public names of things: 32-byte ids that print as 64 hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::hash::{Use, hash32};

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a {what}: expected 64 hexadecimal digits")]
pub struct IdError {
    /// Which kind of id was expected.
    pub what: &'static str,
    /// What was given.
    pub value: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The first eight hexadecimal digits, for logs.
            pub fn short(&self) -> String {
                hex::encode(&self.0[..4])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.short())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut out = [0; 32];
                hex::decode_to_slice(text, &mut out)
                    .map_err(|_| IdError { what: $what, value: text.to_owned() })?;
                Ok(Self(out))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

id!(
    /// A node: its Ed25519 public key, which mosaik knows it by too.
    PeerId,
    "peer id"
);
id!(
    /// A client: `BLAKE2b-256(bundle)`, so nobody else can publish under it.
    ClientId,
    "client id"
);
id!(
    /// A deployment: the digest of its descriptor (R1).
    DeploymentId,
    "deployment id"
);

/// The digest of a header.
pub type HeaderDigest = [u8; 32];
/// The digest of a record.
pub type RecordDigest = [u8; 32];
/// A session: 32 random bytes per start of a client, in memory only.
pub type Session = [u8; 32];

/// What a node publishes about itself (section 3): a ticket in its signed discovery entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Bundle {
    /// The node.
    pub peer_id: PeerId,
    /// Its X25519 identity key.
    pub identity_pk: [u8; 32],
    /// The key of the endpoint that accepts its links; zero for clients, which accept none.
    pub link_pk: [u8; 32],
}

impl Bundle {
    /// `BLAKE2b-256` of the 96 bytes of the bundle.
    pub fn client_id(&self) -> ClientId {
        ClientId(hash32(Use::CLIENT_ID, &[&self.peer_id.0, &self.identity_pk, &self.link_pk]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_and_parses_and_names_the_wrong_value() {
        let id = PeerId([7; 32]);
        assert_eq!(id.to_string().parse::<PeerId>().unwrap(), id);
        let error = "xyz".parse::<DeploymentId>().unwrap_err();
        assert_eq!(error.to_string(), "`xyz` is not a deployment id: expected 64 hexadecimal digits");
    }
}
