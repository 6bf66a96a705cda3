//! Faults, with real processes on hosts that are network namespaces: servers, aggregators and clients that die, networks
//! that are cut, slow and lossy, clocks that are off, disks that are full. What was measured is in docs/faults.md.
#![allow(clippy::unwrap_used)]

mod all;
mod five;
mod scene;
mod soak;
mod three;
