//! Pads: ChaCha20 over the whole round vector, XORed in place (R2).

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::chain::PadKey;
use crate::scrub::scrubbed;

/// More than the stack that a keystream uses.
const STACK: usize = 2_048;

/// XORs the pad of `key` (nonce 0) into every byte of `vector`.
pub fn apply(key: &PadKey, vector: &mut [u8]) {
    scrubbed::<STACK, _>(|| keystream(key, vector));
}

fn keystream(key: &PadKey, vector: &mut [u8]) {
    ChaCha20::new((&**key.0).into(), &[0; 12].into()).apply_keystream(vector);
}

/// XORs `from` into `into`; both have the same length.
pub fn xor(into: &mut [u8], from: &[u8]) {
    assert_eq!(into.len(), from.len(), "invariant: vectors of one round have one length");
    for (a, b) in into.iter_mut().zip(from) {
        *a ^= b;
    }
}

/// XOR of the pads of all keys, on the calling thread.
pub fn sum(keys: &[PadKey], bytes: usize) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(vec![0; bytes]);
    scrubbed::<STACK, _>(|| {
        for key in keys {
            keystream(key, &mut out);
        }
    });
    out
}

/// XOR of the pads of all keys, on all cores: a server's partial.
pub fn sum_parallel(keys: &[PadKey], bytes: usize) -> Zeroizing<Vec<u8>> {
    let share = keys.len().div_ceil(rayon::current_num_threads()).max(1);
    keys.par_chunks(share).map(|part| sum(part, bytes)).reduce(
        || Zeroizing::new(vec![0; bytes]),
        |mut a, b| {
            xor(&mut a, &b);
            a
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn avx512_is_compiled_in() {
        let wanted = cfg!(target_arch = "x86_64");
        let built = cfg!(chacha20_avx512);
        assert_eq!(
            wanted, built,
            "built without .cargo/config.toml's --cfg chacha20_avx512: is RUSTFLAGS set?"
        );
    }

    #[test]
    fn all_cores_sum_to_what_one_sums_to() {
        let keys: Vec<_> = (0..37).map(|i| PadKey(Box::new(Zeroizing::new([i; 32])))).collect();
        assert_eq!(*sum(&keys, 1_000), *sum_parallel(&keys, 1_000));
        assert_eq!(*sum_parallel(&[], 10), vec![0; 10]);
    }
}
