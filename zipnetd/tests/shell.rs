//! The daemon's shell: configuration, socket and verbs, against a fake client in this process.
#![allow(clippy::unwrap_used)]

mod shell {
    pub mod config;
    pub mod control;
    pub mod fake;
    pub mod socket;
}
