//! Fuzz targets: every decoder, and the handlers behind the socket and the network. A target is a function that takes any
//! bytes; it panics when a promise is broken. [`TARGETS`] lists them, `tests/corpora.rs` replays their corpora and
//! explores with [`explore`], and `libfuzzer/` makes them targets of `cargo fuzz`. See README.md.

#![allow(clippy::unwrap_used)]

pub mod explore;

#[cfg(feature = "nodes")]
mod aggregator;
#[cfg(feature = "nodes")]
mod client;
#[cfg(feature = "nodes")]
mod committee;
#[cfg(feature = "nodes")]
mod control;
#[cfg(feature = "nodes")]
mod links;
#[cfg(feature = "nodes")]
mod script;
#[cfg(feature = "nodes")]
mod server;
#[cfg(feature = "nodes")]
mod store;
mod values;

// The honest network of dcnet's own tests: where the checks of hostile bytes are written down once.
#[path = "../../dcnet/tests/common/mod.rs"]
#[allow(dead_code)]
mod common;
#[path = "../../dcnet/tests/rounds/world.rs"]
#[allow(dead_code)]
mod world;

/// A target.
pub struct Target {
    /// Its name; its corpus is the folder `corpus/NAME`.
    pub name: &'static str,
    /// What it does with bytes.
    pub run: fn(&[u8]),
    /// Honest values, as bytes: every exploration starts from them.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($($(#[$on:meta])* $name:literal: $module:ident :: $run:ident, $seeds:ident;)*) => {
        /// All of them.
        pub const TARGETS: &[Target] =
            &[$($(#[$on])* Target { name: $name, run: $module::$run, seeds: $module::$seeds }),*];
    };
}

targets! {
    "wire": values::wire, wire_seeds;
    "receipt": values::receipt, receipt_seeds;
    "json": values::json, json_seeds;
    #[cfg(feature = "nodes")]
    "terminal": links::terminal, terminal_seeds;
    #[cfg(feature = "nodes")]
    "frames": links::frames, frames_seeds;
    #[cfg(feature = "nodes")]
    "hello": links::hello, hello_seeds;
    #[cfg(feature = "nodes")]
    "describe": links::describe, describe_seeds;
    #[cfg(feature = "nodes")]
    "entries": committee::entries, entries_seeds;
    #[cfg(feature = "nodes")]
    "snapshot": committee::snapshot, snapshot_seeds;
    #[cfg(feature = "nodes")]
    "register": committee::register, register_seeds;
    #[cfg(feature = "nodes")]
    "server": server::server, server_seeds;
    #[cfg(feature = "nodes")]
    "aggregator": aggregator::aggregator, aggregator_seeds;
    #[cfg(feature = "nodes")]
    "client": client::client, client_seeds;
    #[cfg(feature = "nodes")]
    "reader": client::reader, reader_seeds;
    #[cfg(feature = "nodes")]
    "store": store::store, store_seeds;
    #[cfg(feature = "nodes")]
    "control": control::control, control_seeds;
}

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
