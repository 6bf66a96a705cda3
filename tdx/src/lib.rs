//! Intel TDX: quotes (made, and verified against a policy), the sealed identity, what a platform measures of the guest that
//! runs `zipnetd`, and the guest's image.
//!
//! What a quote of zipnet says, what stays open, and how an operator works with it: `docs/tdx/`. Time and randomness come
//! in as parameters; nothing is fetched while something is verified.
#![forbid(unsafe_code)]

mod frame;
pub mod image;
pub mod measure;
pub mod quote;
mod read;
pub mod seal;
#[cfg(test)]
mod testing;
pub mod verify;
