//! The round protocol of zipnet as arithmetic: keys, pads, slots, reservations, fold, unblind.
//!
//! No I/O, no clock, no global randomness: state in, bytes in; state out, bytes out. The specification is
//! `docs/protocol.md`; its rules are named `R1` to `R12` here too. Every structure that is hashed, signed or sent is
//! encoded with borsh: little-endian integers, `u32` length prefixes, fixed arrays raw, no trailing bytes.

pub mod absence;
pub mod aggregate;
pub mod chain;
pub mod descriptor;
pub mod hash;
pub mod header;
pub mod identity;
pub mod ids;
pub mod pad;
pub mod params;
pub mod partial;
pub mod receipt;
pub mod record;
pub mod register;
pub mod reservation;
pub mod roster;
mod scrub;
pub mod seal;
pub mod signed;
pub mod slot;
pub mod statement;
pub mod wire;

/// Version of everything that crosses a wire or is signed. A changed derivation is a new version.
pub const WIRE_VERSION: u16 = 1;
