//! Slots: how a payload sits in the round vector (section 5).

use crate::hash::{Use, hash16};
use crate::ids::HeaderDigest;
use crate::params::{Params, TAG_BYTES};

/// A payload that does not fit a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message has {len} bytes, a slot takes at most {max}")]
pub struct MessageTooLong {
    /// Bytes of the message.
    pub len: usize,
    /// Bytes that fit.
    pub max: usize,
}

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// All zero: the owner had nothing to say.
    Empty,
    /// A payload.
    Message(Vec<u8>),
    /// Neither.
    Garbled,
}

fn tag(header: &HeaderDigest, slot: u32, kind: u8, block: &[u8]) -> [u8; TAG_BYTES] {
    hash16(Use::SLOT_TAG, &[header, &slot.to_le_bytes(), &[kind], block])
}

/// Writes `payload` as slot number `slot` into `out`, which is the `slot_bytes` of the slot and gets overwritten.
///
/// # Errors
/// [`MessageTooLong`] when the payload is over `slot_bytes − 16`.
pub fn encode(
    header: &HeaderDigest,
    slot: u32,
    payload: &[u8],
    out: &mut [u8],
) -> Result<(), MessageTooLong> {
    let max = out.len() - TAG_BYTES;
    let len = payload.len();
    if len > max {
        return Err(MessageTooLong { len, max });
    }
    let (block, tail) = out.split_at_mut(max);
    block.fill(0);
    block[..len].copy_from_slice(payload);
    let kind = u8::from(len < max);
    if len < max {
        block[len] = 0x80;
    }
    tail.copy_from_slice(&tag(header, slot, kind, block));
    Ok(())
}

/// Reads slot number `slot` from its bytes.
pub fn decode(header: &HeaderDigest, slot: u32, bytes: &[u8]) -> Slot {
    if bytes.iter().all(|b| *b == 0) {
        return Slot::Empty;
    }
    let (block, tail) = bytes.split_at(bytes.len() - TAG_BYTES);
    if tag(header, slot, 0, block) == tail {
        return Slot::Message(block.to_vec());
    }
    if tag(header, slot, 1, block) != tail {
        return Slot::Garbled;
    }
    match block.iter().rposition(|b| *b != 0) {
        Some(end) if block[end] == 0x80 => Slot::Message(block[..end].to_vec()),
        _ => Slot::Garbled,
    }
}

/// The bytes of slot number `slot` in a round vector.
pub fn range(params: &Params, slot: u32) -> std::ops::Range<usize> {
    let start = params.cell_bytes() + slot as usize * params.slot_bytes as usize;
    start..start + params.slot_bytes as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: HeaderDigest = [1; 32];

    #[test]
    fn every_length_comes_back_and_one_more_is_too_long() {
        for len in 0..=240 {
            for fill in [0, 0x80, 0xff] {
                let payload = vec![fill; len];
                let mut out = [7; 256];
                encode(&H, 5, &payload, &mut out).unwrap();
                assert_eq!(decode(&H, 5, &out), Slot::Message(payload));
            }
        }
        let error = encode(&H, 5, &[0; 241], &mut [0; 256]);
        assert_eq!(error, Err(MessageTooLong { len: 241, max: 240 }));
    }

    #[test]
    fn another_slot_header_bit_or_padding_is_garbled() {
        let mut out = [0; 64];
        encode(&H, 5, b"hi", &mut out).unwrap();
        assert_eq!(decode(&H, 6, &out), Slot::Garbled);
        assert_eq!(decode(&[2; 32], 5, &out), Slot::Garbled);
        for i in 0..out.len() {
            let mut flipped = out;
            flipped[i] ^= 1;
            assert_eq!(decode(&H, 5, &flipped), Slot::Garbled);
        }
        let block = [0x11; 48];
        let mut crafted = block.to_vec();
        crafted.extend(tag(&H, 5, 1, &block));
        assert_eq!(decode(&H, 5, &crafted), Slot::Garbled, "kind 1 without padding");
        let mut crafted = vec![0; 48];
        crafted.extend(tag(&H, 5, 1, &[0; 48]));
        assert_eq!(decode(&H, 5, &crafted), Slot::Garbled, "kind 1 with an empty block");
        assert_eq!(decode(&H, 5, &[0; 64]), Slot::Empty);
    }
}
