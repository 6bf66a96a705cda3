//! The sealed identity: 32 bytes in a file that only who gets the key-encryption key can read.
//!
//! TDX 1.x has no sealing key of its own, so the key comes from a [`KekProvider`]. Fail closed: what cannot be opened stays
//! as it is, and nobody gets a new identity without asking for it.

pub mod broker;
mod envelope;
mod file;
mod hint;
mod keeper;
mod key_file;
mod provider;
#[cfg(test)]
mod tests;

pub use envelope::{ENVELOPE_BYTES, EnvelopeError, Header};
pub use file::{IN_PLACE_BYTES, Opened, SealError, SealedIdentity};
pub use keeper::Keeper;
pub use key_file::{KeyFile, KeyFileError};
pub use provider::{Grant, Kek, KekProvider, KeyId, Provider, ProviderError};
