//! The sealed identity over its life: on disk, with a key file, with a key broker.

#![allow(clippy::unwrap_used)]

mod broker;
mod disk;
mod net;
