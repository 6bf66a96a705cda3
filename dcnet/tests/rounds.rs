//! Rounds as a whole, and everything that must not work. Which rule a test keeps is in docs/threat-model.md.

#![allow(clippy::unwrap_used)]

mod common;

#[path = "rounds/coverage.rs"]
mod coverage;
#[path = "rounds/everybody.rs"]
mod everybody;
#[path = "rounds/fold_refusals.rs"]
mod fold_refusals;
#[path = "rounds/forward_secrecy.rs"]
mod forward_secrecy;
#[path = "rounds/header_agreement.rs"]
mod header_agreement;
#[path = "rounds/header_refusals.rs"]
mod header_refusals;
#[path = "rounds/hostile_bytes.rs"]
mod hostile_bytes;
#[path = "rounds/hostile_cells.rs"]
mod hostile_cells;
#[path = "rounds/no_pad_twice.rs"]
mod no_pad_twice;
#[path = "rounds/record_refusals.rs"]
mod record_refusals;
#[path = "rounds/registration_refusals.rs"]
mod registration_refusals;
#[path = "rounds/world.rs"]
mod world;
