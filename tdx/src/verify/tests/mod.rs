//! The whole chain: recorded quotes under Intel's root, quotes of our own under a root that only tests can name.

#![allow(clippy::unwrap_used)]

mod admission;
mod flips;
mod recorded;
