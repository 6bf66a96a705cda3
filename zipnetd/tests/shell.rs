//! The daemon's shell: configuration, socket and verbs, against a fake client in this process; signals, metrics and
//! the log, of the real binary without a network.
#![allow(clippy::unwrap_used)]

mod shell {
    pub(crate) mod broker;
    pub(crate) mod config;
    pub(crate) mod control;
    pub(crate) mod daemon;
    pub(crate) mod drain;
    pub(crate) mod fake;
    pub(crate) mod identity;
    pub(crate) mod limits;
    pub(crate) mod offline;
    pub(crate) mod operator;
    pub(crate) mod sealed;
    pub(crate) mod service;
    pub(crate) mod socket;
}
