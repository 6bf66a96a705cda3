//! The client state machine against a small committee with real arithmetic and virtual time.
#![allow(clippy::unwrap_used, clippy::pedantic, clippy::type_complexity)]

#[path = "core/attacks.rs"]
mod attacks;
#[path = "core/attest.rs"]
mod attest;
#[path = "core/client.rs"]
mod client;
#[path = "core/committee.rs"]
mod committee;
#[path = "core/lies.rs"]
mod lies;
#[path = "core/model.rs"]
mod model;
#[path = "core/pure.rs"]
mod pure;
#[path = "core/queue.rs"]
mod queue;
#[path = "core/receipts.rs"]
mod receipts;
#[path = "core/restart.rs"]
mod restart;
#[path = "core/rounds.rs"]
mod rounds;
#[path = "core/sim.rs"]
mod sim;
#[path = "core/talk.rs"]
mod talk;
#[path = "core/watch.rs"]
mod watch;
