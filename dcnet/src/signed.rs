//! Signed statements: a body, the domain it is signed under, and who signs it.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::identity::Identity;
use crate::ids::PeerId;

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Signature(pub [u8; 64]);

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(&self.0[..4]))
    }
}

/// A signature that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the signature under `{domain}` is not one of peer {signer}")]
pub struct SignatureError {
    /// What was signed.
    pub domain: String,
    /// Who should have signed it.
    pub signer: PeerId,
}

/// The bytes that are signed: `"zipnet/1 " ‖ domain ‖ 0x00 ‖ msg`. No domain contains a zero byte.
pub(crate) fn message(domain: &str, msg: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(10 + domain.len() + msg.len());
    out.extend_from_slice(b"zipnet/1 ");
    out.extend_from_slice(domain.as_bytes());
    out.push(0);
    out.extend_from_slice(msg);
    out
}

/// Something a node says under its name.
pub trait Statement: BorshSerialize {
    /// The signature domain; unique per type.
    const DOMAIN: &'static str;
    /// Who has to sign it.
    fn signer(&self) -> PeerId;
}

/// A statement with its signature. Reading the body goes through [`Signed::verify`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Signed<T> {
    body: T,
    signature: Signature,
}

impl<T: Statement> Signed<T> {
    /// Signs `body`, which has to name `identity` as its signer.
    pub fn new(identity: &Identity, body: T) -> Self {
        debug_assert_eq!(identity.peer_id(), body.signer());
        let signature = identity.sign(T::DOMAIN, &encode(&body));
        Self { body, signature }
    }

    /// The body, if its signer signed it.
    ///
    /// # Errors
    /// [`SignatureError`] when the signature is not the signer's.
    pub fn verify(&self) -> Result<&T, SignatureError> {
        self.body.signer().verify(T::DOMAIN, &encode(&self.body), &self.signature)?;
        Ok(&self.body)
    }

    /// The body without a check, for places where it was checked before (the own log).
    pub fn trusted(&self) -> &T {
        &self.body
    }
}

/// The borsh bytes of a value that lives in memory.
pub fn encode<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("invariant: writing to memory does not fail and lengths fit u32")
}
