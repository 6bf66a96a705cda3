//! The real `zipnetctl` against a scripted daemon on a real socket: every verb, every exit code, every text.

#![allow(clippy::unwrap_used)]

mod attest;
mod connect;
mod descriptor;
mod doctor;
mod errors;
mod fake;
mod identity;
mod list;
mod log;
mod operator;
mod pages;
mod read;
mod receipt;
mod run;
mod send;
mod servers;
mod status;
mod wait;
mod watch;
