//! Sealing: talk and cover through one path (R5).

use std::num::NonZeroU32;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::chain::PadKey;
use crate::ids::HeaderDigest;
use crate::pad;
use crate::params::{CELL_BYTES, Params};
use crate::reservation::{Token, cell_value, cells_of};
use crate::slot::{self, MessageTooLong};
use zeroize::Zeroizing;

/// What a client sends to an aggregator: one per session and round, always full length.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Envelope {
    /// The round.
    pub round: u64,
    /// The client's roster index.
    pub index: u32,
    /// The sealed round vector.
    pub vector: Vec<u8>,
}

/// What a client says in a round; nothing at all is cover.
#[derive(Default)]
pub struct Content<'a> {
    /// A reservation for the next round.
    pub token: Option<Token>,
    /// A slot of this round and its payload.
    pub message: Option<(u32, &'a [u8])>,
}

/// The sealed round vector. `keys` are those of all servers of the header, each used up by this call.
///
/// The token and the slot are always computed and always written, masked to zero when there is nothing to say, so that
/// talk and cover run the same instructions over the same bytes.
///
/// # Errors
/// [`MessageTooLong`]. A slot outside the round is a caller's bug and panics.
pub fn seal(
    params: &Params,
    header: &HeaderDigest,
    keys: Vec<PadKey>,
    content: &Content<'_>,
) -> Result<Vec<u8>, MessageTooLong> {
    let mut vector = vec![0; params.vector_bytes()];
    let token = content.token.unwrap_or(NonZeroU32::MIN).get();
    let value = masked(cell_value(header, token), content.token.is_some());
    for cell in cells_of(header, token, params.cells as usize) {
        pad::xor(&mut vector[cell * CELL_BYTES..][..CELL_BYTES], &value);
    }
    let (slot, payload) = content.message.unwrap_or_default();
    assert!(slot < params.slots, "invariant: a client writes only into slots of the round");
    let mut block = Zeroizing::new(vec![0; params.slot_bytes as usize]);
    slot::encode(header, slot, payload, &mut block)?;
    let mask = mask(content.message.is_some());
    for (byte, plain) in vector[slot::range(params, slot)].iter_mut().zip(block.iter()) {
        *byte ^= plain & mask;
    }
    for key in keys {
        pad::apply(&key, &mut vector);
    }
    Ok(vector)
}

fn mask(on: bool) -> u8 {
    // 0xff or 0x00 without a branch on the secret.
    0u8.wrapping_sub(u8::from(on))
}

fn masked<const N: usize>(mut bytes: [u8; N], on: bool) -> [u8; N] {
    let mask = mask(on);
    for byte in &mut bytes {
        *byte &= mask;
    }
    bytes
}
