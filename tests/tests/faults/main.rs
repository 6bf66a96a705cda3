//! Faults, with real processes on hosts that are network namespaces: servers, aggregators and clients that die, networks
//! that are cut, slow and lossy, clocks that are off, disks that are full. What was measured is in docs/faults.md.

// Written in one go; its style is to be brought in line, what warns of mistakes (rustc) is not switched off.
#![allow(clippy::all, clippy::pedantic)]
#![allow(clippy::unwrap_used)]

mod all;
mod five;
mod scene;
mod soak;
mod three;
