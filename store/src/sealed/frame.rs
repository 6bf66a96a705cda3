//! One frame: what is written at once. All are alike from outside, whatever they hold.
//!
//! ```text
//! "zn1 log" version:u8 salt:[u8;16] epoch:u64 index:u64   in the clear, authenticated
//! used:u16 bytes zeros                                    XChaCha20-Poly1305, nonce = salt ‖ index
//! tag:[u8;16]
//! ```
//!
//! A salt is random and used for one writing of one half, in which each index is written once: no nonce is used twice.

use chacha20poly1305::{AeadInOut, Key, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

/// Length of a frame, in bytes.
pub const FRAME_BYTES: usize = 16 * 1024;
/// The newest format that this version writes and reads.
pub const SEALED_FORMAT: u8 = 1;

const MAGIC: &[u8; 7] = b"zn1 log";
const HEADER: usize = 8 + 16 + 8 + 8;
const TAG: usize = 16;
const USED: usize = 2;
/// Bytes of the log in one frame, at most.
pub(crate) const ROOM: usize = FRAME_BYTES - HEADER - TAG - USED;

/// What tells one frame from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// Of one writing of a half.
    pub(crate) salt: [u8; 16],
    /// Counts these writings, from 1.
    pub(crate) epoch: u64,
    /// Its place in the half.
    pub(crate) index: u64,
}

/// What stands at a place.
pub(crate) enum Found {
    /// Zeros, as at the beginning.
    Blank,
    /// A frame of a newer version.
    Newer(u8),
    /// No frame, or one that does not open with this key.
    Bad,
    /// A frame, and its bytes of the log.
    Good(Name, Zeroizing<Vec<u8>>),
}

/// The key of all frames. Wiped on drop.
pub(crate) struct Cipher(XChaCha20Poly1305);

impl Cipher {
    pub(crate) fn new(key: &Zeroizing<[u8; 32]>) -> Self {
        Self(XChaCha20Poly1305::new(&Key::from(**key)))
    }

    /// A frame with at most [`ROOM`] bytes of the log.
    pub(crate) fn seal(&self, name: Name, bytes: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(FRAME_BYTES);
        frame.extend_from_slice(MAGIC);
        frame.push(SEALED_FORMAT);
        frame.extend_from_slice(&name.salt);
        frame.extend_from_slice(&name.epoch.to_le_bytes());
        frame.extend_from_slice(&name.index.to_le_bytes());
        let used = u16::try_from(bytes.len()).expect("invariant: a frame is shorter than 64 KiB");
        frame.extend_from_slice(&used.to_le_bytes());
        frame.extend_from_slice(bytes);
        frame.resize(FRAME_BYTES - TAG, 0);
        let (header, text) = frame.split_at_mut(HEADER);
        let tag = self.0.encrypt_inout_detached(&nonce(name), header, text.into());
        let tag = tag.expect("invariant: a frame is not too long");
        frame.extend_from_slice(&tag);
        frame
    }

    /// What the [`FRAME_BYTES`] at one place are.
    pub(crate) fn open(&self, frame: &[u8]) -> Found {
        if frame.iter().all(|byte| *byte == 0) {
            return Found::Blank;
        }
        let (header, rest) = frame.split_at(HEADER);
        if &header[..7] != MAGIC {
            return Found::Bad;
        }
        if header[7] > SEALED_FORMAT {
            return Found::Newer(header[7]);
        }
        let word = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("invariant: 8 bytes"));
        let salt = header[8..24].try_into().expect("invariant: 16 bytes");
        let name = Name { salt, epoch: word(24), index: word(32) };
        let (text, tag) = rest.split_at(rest.len() - TAG);
        let tag: [u8; TAG] = tag.try_into().expect("invariant: 16 bytes");
        let mut text = Zeroizing::new(text.to_vec());
        let opened =
            self.0.decrypt_inout_detached(&nonce(name), header, (&mut text[..]).into(), &Tag::from(tag));
        if opened.is_err() {
            return Found::Bad;
        }
        let used = usize::from(u16::from_le_bytes([text[0], text[1]]));
        match text.get(USED..USED + used) {
            Some(bytes) => Found::Good(name, Zeroizing::new(bytes.to_vec())),
            None => Found::Bad,
        }
    }
}

fn nonce(name: Name) -> XNonce {
    let mut nonce = [0; 24];
    nonce[..16].copy_from_slice(&name.salt);
    nonce[16..].copy_from_slice(&name.index.to_le_bytes());
    XNonce::from(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_frame_counts_and_its_name_is_part_of_it() {
        let cipher = Cipher::new(&Zeroizing::new([1; 32]));
        let name = Name { salt: [2; 16], epoch: 3, index: 4 };
        let frame = cipher.seal(name, b"text");
        assert_eq!(frame.len(), FRAME_BYTES);
        assert!(
            matches!(cipher.open(&frame), Found::Good(its, bytes) if its == name && &bytes[..] == b"text")
        );
        assert!(matches!(cipher.open(&[0; FRAME_BYTES]), Found::Blank));
        let bits = (0..(HEADER + 64) * 8).chain((0..FRAME_BYTES * 8).step_by(1_009));
        for bit in bits.chain((FRAME_BYTES - TAG) * 8..FRAME_BYTES * 8) {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let newer = bit / 8 == 7 && bad[7] > SEALED_FORMAT;
            match cipher.open(&bad) {
                Found::Newer(version) => assert!(newer && version == bad[7], "bit {bit}"),
                found => assert!(matches!(found, Found::Bad) && !newer, "bit {bit}"),
            }
        }
        assert!(matches!(Cipher::new(&Zeroizing::new([0; 32])).open(&frame), Found::Bad));
    }

    #[test]
    fn a_full_frame_and_an_empty_one() {
        let cipher = Cipher::new(&Zeroizing::new([1; 32]));
        let name = Name { salt: [2; 16], epoch: 3, index: 4 };
        for bytes in [vec![7; ROOM], Vec::new()] {
            let frame = cipher.seal(name, &bytes);
            assert_eq!(frame.len(), FRAME_BYTES);
            assert!(matches!(cipher.open(&frame), Found::Good(_, its) if *its == bytes));
        }
    }
}
