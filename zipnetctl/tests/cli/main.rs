//! The real `zipnetctl` against a scripted daemon on a real socket: every verb, every exit code, every text.

#![allow(clippy::unwrap_used)]

mod connect;
mod descriptor;
mod fake;
mod read;
mod run;
mod send;
mod status;
mod wait;
