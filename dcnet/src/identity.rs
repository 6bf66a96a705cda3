//! A node's long-term keys, all from one 32-byte seed (section 3).

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::hash::{Use, keyed32};
use crate::ids::{Bundle, PeerId};
use crate::signed::{Signature, SignatureError, message};

/// A node's keys. No `Debug`, no `Clone`; wiped on drop.
pub struct Identity {
    seed: Zeroizing<[u8; 32]>,
    peer: SigningKey,
    secret: StaticSecret,
}

fn derive(seed: &[u8; 32], purpose: Use) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    keyed32(purpose, seed, &[], &mut out);
    out
}

impl Identity {
    /// All keys of the seed.
    pub fn from_seed(seed: Zeroizing<[u8; 32]>) -> Self {
        let peer = SigningKey::from_bytes(&derive(&seed, Use::PEER_KEY));
        let secret = StaticSecret::from(*derive(&seed, Use::IDENTITY_KEY));
        Self { seed, peer, secret }
    }

    /// The node's public name.
    pub fn peer_id(&self) -> PeerId {
        PeerId(self.peer.verifying_key().to_bytes())
    }

    /// What a client publishes: it accepts no links, so `link_pk` is zero.
    pub fn client_bundle(&self) -> Bundle {
        let identity_pk = PublicKey::from(&self.secret).to_bytes();
        Bundle { peer_id: self.peer_id(), identity_pk, link_pk: [0; 32] }
    }

    /// What a server or an aggregator publishes.
    pub fn server_bundle(&self) -> Bundle {
        let link = SigningKey::from_bytes(&self.link_secret());
        Bundle { link_pk: link.verifying_key().to_bytes(), ..self.client_bundle() }
    }

    /// The Ed25519 seed of the peer key.
    pub fn peer_secret(&self) -> Zeroizing<[u8; 32]> {
        derive(&self.seed, Use::PEER_KEY)
    }

    /// The Ed25519 seed of the endpoint that accepts links.
    pub fn link_secret(&self) -> Zeroizing<[u8; 32]> {
        derive(&self.seed, Use::LINK_KEY)
    }

    /// Signs `msg` under `domain` with the peer key.
    pub fn sign(&self, domain: &str, msg: &[u8]) -> Signature {
        Signature(self.peer.sign(&message(domain, msg)).to_bytes())
    }

    /// The X25519 identity key, for registration only.
    pub(crate) fn x25519(&self) -> &StaticSecret {
        &self.secret
    }
}

impl PeerId {
    /// Checks a signature of this node, strictly (no small-order keys, no malleable encodings).
    ///
    /// # Errors
    /// [`SignatureError`] names the domain and the node.
    pub fn verify(&self, domain: &str, msg: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        let wrong = || SignatureError { domain: domain.to_owned(), signer: *self };
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| wrong())?;
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(&message(domain, msg), &signature).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_domain_message_and_signer_only() {
        let one = Identity::from_seed(Zeroizing::new([1; 32]));
        let two = Identity::from_seed(Zeroizing::new([2; 32]));
        let signature = one.sign("header", b"m");
        one.peer_id().verify("header", b"m", &signature).unwrap();
        assert!(one.peer_id().verify("record", b"m", &signature).is_err());
        assert!(one.peer_id().verify("header", b"n", &signature).is_err());
        assert!(two.peer_id().verify("header", b"m", &signature).is_err());
        assert!(PeerId([0; 32]).verify("header", b"m", &signature).is_err());
    }

    #[test]
    fn keys_of_one_seed_differ_and_only_servers_have_a_link_key() {
        let identity = Identity::from_seed(Zeroizing::new([1; 32]));
        assert_ne!(*identity.peer_secret(), *identity.link_secret());
        assert_eq!(identity.client_bundle().link_pk, [0; 32]);
        assert_ne!(identity.server_bundle().link_pk, [0; 32]);
        assert_ne!(identity.server_bundle().client_id(), identity.client_bundle().client_id());
    }
}
