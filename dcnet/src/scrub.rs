//! Wiping what a computation with secrets leaves behind on the stack (R2, R3: erase).
//!
//! Values that are wiped on drop are not enough: moving one leaves a copy, and the functions of the cryptographic crates
//! keep parts of keys in their frames. `tests/rounds.rs` searches the memory of its own process for such copies.

/// Runs `secret` in frames of its own and then overwrites `BYTES` of the stack that they used. What it returns must own
/// its secrets on the heap.
pub(crate) fn scrubbed<const BYTES: usize, T>(secret: impl FnOnce() -> T) -> T {
    let out = own_frame(secret);
    overwrite::<BYTES>();
    out
}

#[inline(never)]
fn own_frame<T>(secret: impl FnOnce() -> T) -> T {
    secret()
}

#[inline(never)]
fn overwrite<const BYTES: usize>() {
    // Not volatile writes, which go byte by byte and cost more than a hash: the black box may read the array, so all of
    // it has to be written.
    std::hint::black_box(&mut [0_u8; BYTES]);
}
