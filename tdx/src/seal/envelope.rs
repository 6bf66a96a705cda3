//! The envelope: `"zn1 seal"`, provider `u8`, key id, generation `u64`, 24 bytes of nonce; the identity seed under
//! XChaCha20-Poly1305 with all of that as associated data, and its tag. 105 bytes.

use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::provider::{Kek, KeyId, Provider};

const MAGIC: &[u8; 8] = b"zn1 seal";
const HEADER_BYTES: usize = 8 + 1 + 16 + 8;
const NONCE_BYTES: usize = 24;
const SEED_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// Length of an envelope, in bytes; there is no other.
pub const ENVELOPE_BYTES: usize = HEADER_BYTES + NONCE_BYTES + SEED_BYTES + TAG_BYTES;

/// What can be read without the key. Nothing of it holds until the envelope was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who keeps the key.
    pub provider: Provider,
    /// Which key.
    pub key_id: KeyId,
    /// Counts the identities that were sealed with this key, from 1.
    pub generation: u64,
}

/// An envelope that cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Cut, or something else.
    #[error("has {0} bytes, a sealed identity has {ENVELOPE_BYTES}")]
    Length(usize),
    /// Something else.
    #[error("is no sealed identity")]
    Magic,
    /// Sealed by a newer program.
    #[error("is sealed by a provider of kind {0}, which this program does not know")]
    Provider(u8),
    /// Wrong key, or changed.
    #[error("does not open: it was changed, or sealed with another key")]
    Key,
}

impl Header {
    /// Reads the header of an envelope.
    ///
    /// # Errors
    /// [`EnvelopeError`] says what does not fit.
    pub fn read(envelope: &[u8]) -> Result<Self, EnvelopeError> {
        let envelope: &[u8; ENVELOPE_BYTES] =
            envelope.try_into().map_err(|_| EnvelopeError::Length(envelope.len()))?;
        let (magic, rest) = envelope.split_at(8);
        if magic != MAGIC {
            return Err(EnvelopeError::Magic);
        }
        let provider = Provider::from_byte(rest[0]).ok_or(EnvelopeError::Provider(rest[0]))?;
        let key_id = KeyId(rest[1..17].try_into().expect("invariant: 16 bytes"));
        let generation = u64::from_le_bytes(rest[17..25].try_into().expect("invariant: 8 bytes"));
        Ok(Self { provider, key_id, generation })
    }

    fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8] = self.provider as u8;
        out[9..25].copy_from_slice(&self.key_id.0);
        out[25..].copy_from_slice(&self.generation.to_le_bytes());
        out
    }
}

/// Seals an identity. `nonce` is fresh and random: never twice with one key.
pub(super) fn seal(header: &Header, kek: &Kek, seed: &Zeroizing<[u8; 32]>, nonce: &[u8; 24]) -> Vec<u8> {
    let mut out = Vec::with_capacity(ENVELOPE_BYTES);
    out.extend_from_slice(&header.bytes());
    out.extend_from_slice(nonce);
    let public = out.clone();
    // Encrypted where it was copied to: no plaintext stays behind.
    let start = out.len();
    out.extend_from_slice(&**seed);
    let tag = XChaCha20Poly1305::new((&**kek.0).into())
        .encrypt_inout_detached(&XNonce::from(*nonce), &public, (&mut out[start..]).into())
        .expect("invariant: 32 bytes are not too long");
    out.extend_from_slice(&tag);
    out
}

/// Opens an envelope.
pub(super) fn open(envelope: &[u8], kek: &Kek) -> Result<Zeroizing<[u8; 32]>, EnvelopeError> {
    Header::read(envelope)?;
    let (public, secret) = envelope.split_at(HEADER_BYTES + NONCE_BYTES);
    let (secret, tag) = secret.split_at(SEED_BYTES);
    let nonce: [u8; NONCE_BYTES] =
        public[HEADER_BYTES..].try_into().expect("invariant: the length was checked");
    let tag: [u8; TAG_BYTES] = tag.try_into().expect("invariant: the length was checked");
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    seed.copy_from_slice(secret);
    XChaCha20Poly1305::new((&**kek.0).into())
        .decrypt_inout_detached(&XNonce::from(nonce), public, (&mut seed[..]).into(), &Tag::from(tag))
        .map_err(|_| EnvelopeError::Key)?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_an_envelope_counts_and_so_does_its_length() {
        let header = Header { provider: Provider::Broker, key_id: KeyId([7; 16]), generation: 3 };
        let (kek, seed) = (Kek::new(&[8; 32]), Zeroizing::new([9; 32]));
        let good = seal(&header, &kek, &seed, &[10; 24]);
        assert_eq!(good.len(), ENVELOPE_BYTES);
        assert_eq!((Header::read(&good), open(&good, &kek)), (Ok(header), Ok(seed.clone())));
        assert!(!good.windows(8).any(|part| part == &seed[..8]));

        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let error = open(&bad, &kek).unwrap_err();
            match bit / 8 {
                0..8 => assert_eq!(error, EnvelopeError::Magic, "bit {bit}"),
                // One bit turns 2 into 3, 0, 6, …: nobody, never the key file.
                8 => assert_eq!(error, EnvelopeError::Provider(bad[8]), "bit {bit}"),
                _ => assert_eq!(error, EnvelopeError::Key, "bit {bit}"),
            }
        }
        for len in 0..good.len() {
            assert_eq!(open(&good[..len], &kek), Err(EnvelopeError::Length(len)));
        }
        let long = [&good[..], &[0]].concat();
        assert_eq!(open(&long, &kek), Err(EnvelopeError::Length(ENVELOPE_BYTES + 1)));
        assert_eq!(open(&good, &Kek::new(&[0; 32])), Err(EnvelopeError::Key));
        // Said to be from a key file, which is a provider: refused all the same.
        let mut other = good.clone();
        other[8] = Provider::KeyFile as u8;
        assert_eq!(open(&other, &kek), Err(EnvelopeError::Key));
    }

    /// Computed with Python: HChaCha20 written out, then ChaCha20-Poly1305 of `cryptography`.
    #[test]
    fn known_answer() {
        let header = Header { provider: Provider::KeyFile, key_id: KeyId([1; 16]), generation: 0x0203 };
        let sealed = seal(&header, &Kek::new(&[4; 32]), &Zeroizing::new([5; 32]), &[6; 24]);
        assert_eq!(
            hex::encode(&sealed[57..]),
            "7dd6260d4eea2b2f7110607eed7ed66c75e59a8e14749b419ec761f49c2d39c6cdf9de6684c00f784f5b7b203eed4ae5"
        );
    }
}
