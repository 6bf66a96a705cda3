//! Quotes from a fake of the kernel's directory, and through the helper.

#![allow(clippy::unwrap_used)]

mod helper;
mod tsm;
