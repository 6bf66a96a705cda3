//! The key broker: gives a guest the key of its sealed identity when a quote shows that it runs an admitted release, and to
//! one copy at a time. Here is what it decides and what is said; who carries the bytes is a [`Transport`].
//!
//! The broker has one secret. From it come its X25519 key, whose public half the guest has in its measured initramfs, the
//! keys that it gives out, and its challenges, so that it keeps nothing but who got which key last.

mod address;
mod cli;
mod client;
mod core;
mod folder;
mod message;
mod net;
mod secret;

pub use address::{BrokerAddress, BrokerAddressError};
pub use cli::main;
pub use client::{BrokerClient, Transport};
pub use core::{Broker, LEASE_SECS, MAX_KEYS, State};
pub use folder::{Folder, FolderError};
pub use message::{Ask, Call, MAX_MESSAGE_BYTES, Message, Purpose, Refusal, Reply};
pub use net::{Outside, PATIENCE, Tcp, serve};
pub use secret::{BrokerKey, BrokerSecret, CHALLENGE_SECS};
