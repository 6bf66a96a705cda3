//! Attestation by Intel TDX: quotes (make them, verify them against a policy) and the sealed identity.
//!
//! What a quote of zipnet says, what stays open, and how an operator works with it: `docs/tdx/`. Time and randomness come
//! in as parameters; nothing is fetched while something is verified.
#![forbid(unsafe_code)]

mod frame;
pub mod quote;
pub mod seal;
#[cfg(test)]
mod testing;
pub mod verify;
