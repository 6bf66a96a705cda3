//! BLAKE2b with a personalisation per use (protocol.md section 2). All hashing of the crate goes through here, so the
//! list of [`Use`]s is the complete list of personalisation strings.

use blake2::Blake2bMac;
use blake2::digest::array::ArraySize;
use blake2::digest::consts::{U4, U16, U32, U64};
use blake2::digest::typenum::{IsLessOrEqual, True};
use blake2::digest::{FixedOutput, Update};

use crate::scrub::scrubbed;

/// More than the stack that one keyed hash uses.
const STACK: usize = 2_048;

/// What a hash is for. The name, padded with zero bytes to 16, is BLAKE2b's personalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use(pub &'static str);

impl Use {
    /// Ed25519 seed of the peer key, from the identity seed.
    pub const PEER_KEY: Self = Self("zn1 peer key");
    /// X25519 secret of the identity key, from the identity seed.
    pub const IDENTITY_KEY: Self = Self("zn1 identity key");
    /// Ed25519 seed of the endpoint that accepts links, from the identity seed.
    pub const LINK_KEY: Self = Self("zn1 link key");
    /// Client id of a bundle.
    pub const CLIENT_ID: Self = Self("zn1 client id");
    /// Deployment id of a descriptor.
    pub const DEPLOYMENT: Self = Self("zn1 deployment");
    /// Extraction of the chain key from the four Diffie-Hellman results.
    pub const CHAIN_KEY: Self = Self("zn1 chain key");
    /// The first key of a chain.
    pub const CHAIN_START: Self = Self("zn1 chain start");
    /// The next key of a chain.
    pub const RATCHET: Self = Self("zn1 ratchet");
    /// The pad key of a round.
    pub const PAD: Self = Self("zn1 pad");
    /// What a vouch says about a pair of ephemeral keys.
    pub const VOUCH: Self = Self("zn1 vouch");
    /// Roster digest.
    pub const ROSTER: Self = Self("zn1 roster");
    /// Header digest.
    pub const HEADER: Self = Self("zn1 header");
    /// Digest of the committed fold.
    pub const AGGREGATE: Self = Self("zn1 aggregate");
    /// Commitment to a partial.
    pub const PARTIAL: Self = Self("zn1 partial");
    /// Record digest.
    pub const RECORD: Self = Self("zn1 record");
    /// Check value of a reservation.
    pub const TOKEN_CHECK: Self = Self("zn1 token check");
    /// Cells of a reservation.
    pub const TOKEN_CELLS: Self = Self("zn1 token cells");
    /// Order of the reserved tokens.
    pub const TOKEN_ORDER: Self = Self("zn1 token order");
    /// Tag of a slot.
    pub const SLOT_TAG: Self = Self("zn1 slot tag");
    /// Report data of a client's quote.
    pub const QUOTE_CLIENT: Self = Self("zn1 quote client");
    /// Report data of a server's quote.
    pub const QUOTE_SERVER: Self = Self("zn1 quote server");
    /// Report data of a quote for a key broker.
    pub const QUOTE_KEY: Self = Self("zn1 quote key");
    /// Name of a key-encryption key in a file.
    pub const SEAL_KEY_ID: Self = Self("zn1 seal id");
    /// X25519 secret of a key broker.
    pub const SEAL_BROKER: Self = Self("zn1 seal broker");
    /// Key-encryption key of a key broker.
    pub const SEAL_KEK: Self = Self("zn1 seal kek");
    /// Challenge of a key broker.
    pub const SEAL_CHALLENGE: Self = Self("zn1 seal nonce");
    /// Digest of what a guest asks of a key broker.
    pub const SEAL_REQUEST: Self = Self("zn1 seal request");
    /// Proof that a key broker wrote its state.
    pub const SEAL_STATE: Self = Self("zn1 seal state");
    /// Key of a key broker's answer.
    pub const SEAL_BOX: Self = Self("zn1 seal box");
    /// Key of a sealed store.
    pub const SEAL_STORE: Self = Self("zn1 seal store");

    const fn personal(self) -> [u8; 16] {
        let name = self.0.as_bytes();
        let mut out = [0; 16];
        let mut i = 0;
        while i < name.len() {
            out[i] = name[i];
            i += 1;
        }
        out
    }
}

fn run<N>(purpose: Use, key: Option<&[u8]>, parts: &[&[u8]], out: &mut [u8])
where
    N: ArraySize + IsLessOrEqual<U64, Output = True>,
{
    let mut mac = Blake2bMac::<N>::new_with_salt_and_personal(key, &[], &purpose.personal())
        .expect("invariant: keys are 1 to 64 bytes, personalisations 16");
    for part in parts {
        mac.update(part);
    }
    mac.finalize_into(out.try_into().expect("invariant: the output has the length of the hash"));
}

/// BLAKE2b with 4 bytes of output over the concatenated parts.
pub fn hash4(purpose: Use, parts: &[&[u8]]) -> [u8; 4] {
    let mut out = [0; 4];
    run::<U4>(purpose, None, parts, &mut out);
    out
}

/// BLAKE2b with 16 bytes of output over the concatenated parts.
pub fn hash16(purpose: Use, parts: &[&[u8]]) -> [u8; 16] {
    let mut out = [0; 16];
    run::<U16>(purpose, None, parts, &mut out);
    out
}

/// BLAKE2b with 32 bytes of output over the concatenated parts.
pub fn hash32(purpose: Use, parts: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    run::<U32>(purpose, None, parts, &mut out);
    out
}

/// Keyed BLAKE2b with 32 bytes of output, for secrets: nothing of them stays on the stack. The key is 1 to 64 bytes.
pub fn keyed32(purpose: Use, key: &[u8], parts: &[&[u8]], out: &mut [u8; 32]) {
    scrubbed::<STACK, _>(|| run::<U32>(purpose, Some(key), parts, out));
}

/// BLAKE2b with 64 bytes of output over the concatenated parts, for secrets like [`keyed32`].
pub fn hash64(purpose: Use, parts: &[&[u8]], out: &mut [u8; 64]) {
    scrubbed::<STACK, _>(|| run::<U64>(purpose, None, parts, out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_do_not_collide_and_output_length_is_part_of_the_hash() {
        assert_ne!(hash32(Use::PAD, &[b"x"]), hash32(Use::RATCHET, &[b"x"]));
        assert_ne!(hash32(Use::PAD, &[b"x"])[..16], hash16(Use::PAD, &[b"x"]));
        assert_eq!(hash32(Use::PAD, &[b"ab", b"c"]), hash32(Use::PAD, &[b"a", b"bc"]));
    }
}
