//! The broker's secret, and what comes from it.

use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;
use zipnet_dcnet::hash::{Use, keyed32};
use zipnet_dcnet::ids::DeploymentId;

use super::super::provider::{Grant, Kek, KeyId};
use super::message::Ask;

/// How long a challenge is good, in seconds: a quote takes some.
pub const CHALLENGE_SECS: u64 = 120;
/// Key, key id, lease.
const PLAIN_BYTES: usize = 32 + 16 + 8;
const TAG_BYTES: usize = 16;

/// The broker's 32 bytes. Whoever has them can open every identity.
pub struct BrokerSecret {
    master: Box<Zeroizing<[u8; 32]>>,
    x25519: Box<StaticSecret>,
}

impl BrokerSecret {
    /// From 32 random bytes, kept.
    pub fn new(master: &Zeroizing<[u8; 32]>) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        keyed32(Use::SEAL_BROKER, &**master, &[], &mut secret);
        let x25519 = Box::new(StaticSecret::from(*secret));
        Self { master: Box::new(master.clone()), x25519 }
    }

    /// What the guest has to have in its measured initramfs.
    pub fn public(&self) -> BrokerKey {
        BrokerKey(PublicKey::from(&*self.x25519).to_bytes())
    }

    pub(super) fn kek(&self, key_id: &KeyId, deployment: &DeploymentId) -> Kek {
        let mut out = Zeroizing::new([0; 32]);
        keyed32(Use::SEAL_KEK, &**self.master, &[&key_id.0, &deployment.0], &mut out);
        Kek::new(&out)
    }

    /// The time and a proof that it is ours: nothing to remember, so nobody can make us forget another one's.
    pub(super) fn challenge(&self, now: u64) -> [u8; 32] {
        let mut proof = [0; 32];
        keyed32(Use::SEAL_CHALLENGE, &**self.master, &[&now.to_le_bytes()], &mut proof);
        proof[..8].copy_from_slice(&now.to_le_bytes());
        proof
    }

    pub(super) fn is_fresh(&self, nonce: &[u8; 32], now: u64) -> bool {
        let made = u64::from_le_bytes(nonce[..8].try_into().expect("invariant: 8 bytes"));
        // Not secret for long: a comparison that takes as long as it takes does no harm.
        made <= now && now - made <= CHALLENGE_SECS && self.challenge(made) == *nonce
    }

    /// Encrypts a grant to the guest that asked: only the guest with the ephemeral secret can read it, and only the broker
    /// with this secret can have made it. None for a key of small order.
    pub(super) fn wrap(
        &self,
        ask: &Ask,
        grant: &Grant,
        random: &Zeroizing<[u8; 32]>,
    ) -> Option<([u8; 32], Vec<u8>)> {
        let fresh = StaticSecret::from(**random);
        let ephemeral = PublicKey::from(&fresh).to_bytes();
        let guest = PublicKey::from(ask.ephemeral);
        let key = key([(&fresh, &guest), (&self.x25519, &guest)], ask, &ephemeral)?;
        let mut out = Vec::with_capacity(PLAIN_BYTES + TAG_BYTES);
        out.extend_from_slice(&**grant.kek.0);
        out.extend_from_slice(&grant.key_id.0);
        out.extend_from_slice(&grant.lease_secs.unwrap_or_default().to_le_bytes());
        // A key is used once, so the nonce may be zero.
        let tag = XChaCha20Poly1305::new((&*key).into())
            .encrypt_inout_detached(&XNonce::default(), &ask.digest(), (&mut out[..]).into())
            .expect("invariant: 56 bytes are not too long");
        out.extend_from_slice(&tag);
        Some((ephemeral, out))
    }
}

/// A broker's public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerKey(pub [u8; 32]);

impl BrokerKey {
    /// The guest's side of [`BrokerSecret::wrap`]: none if it was not made by this broker for this question.
    pub(super) fn unwrap(
        &self,
        ask: &Ask,
        secret: &StaticSecret,
        ephemeral: &[u8; 32],
        sealed: &[u8],
    ) -> Option<Grant> {
        let (body, tag) = sealed.split_at_checked(PLAIN_BYTES)?;
        let tag: [u8; TAG_BYTES] = tag.try_into().ok()?;
        let (fresh, broker) = (PublicKey::from(*ephemeral), PublicKey::from(self.0));
        let key = key([(secret, &fresh), (secret, &broker)], ask, ephemeral)?;
        let mut plain = Zeroizing::new([0; PLAIN_BYTES]);
        plain.copy_from_slice(body);
        XChaCha20Poly1305::new((&*key).into())
            .decrypt_inout_detached(
                &XNonce::default(),
                &ask.digest(),
                (&mut plain[..]).into(),
                &Tag::from(tag),
            )
            .ok()?;
        let (kek, rest) = plain.split_first_chunk::<32>()?;
        let (key_id, lease) = rest.split_first_chunk::<16>()?;
        Some(Grant {
            kek: Kek::new(kek),
            key_id: KeyId(*key_id),
            lease_secs: Some(u64::from_le_bytes(lease.try_into().ok()?)),
        })
    }
}

fn key(
    pairs: [(&StaticSecret, &PublicKey); 2],
    ask: &Ask,
    ephemeral: &[u8; 32],
) -> Option<Zeroizing<[u8; 32]>> {
    let mut shared = Zeroizing::new([0; 64]);
    for (out, (secret, public)) in shared.chunks_exact_mut(32).zip(pairs) {
        let result = secret.diffie_hellman(public);
        if !result.was_contributory() {
            return None;
        }
        out.copy_from_slice(result.as_bytes());
    }
    let mut out = Zeroizing::new([0; 32]);
    keyed32(Use::SEAL_BOX, &*shared, &[ephemeral, &ask.digest()], &mut out);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::broker::Purpose;

    fn broker(n: u8) -> BrokerSecret {
        BrokerSecret::new(&Zeroizing::new([n; 32]))
    }

    #[test]
    fn an_answer_is_by_this_broker_to_this_guest_for_this_question() {
        let (guest, random) = (StaticSecret::from([3; 32]), Zeroizing::new([4; 32]));
        let ephemeral = PublicKey::from(&guest).to_bytes();
        let deployment = DeploymentId([1; 32]);
        let ask = Ask { nonce: [2; 32], ephemeral, instance: [5; 32], deployment, purpose: Purpose::Create };
        let grant = Grant { kek: Kek::new(&[6; 32]), key_id: KeyId([7; 16]), lease_secs: Some(8) };
        let (fresh, sealed) = broker(1).wrap(&ask, &grant, &random).unwrap();
        assert_eq!(sealed.len(), PLAIN_BYTES + TAG_BYTES);
        let key = broker(1).public();
        let opened = key.unwrap(&ask, &guest, &fresh, &sealed).unwrap();
        assert_eq!(
            (**opened.kek.0, opened.key_id, opened.lease_secs),
            (*Zeroizing::new([6; 32]), KeyId([7; 16]), Some(8))
        );

        // Somebody else who saw the question makes up an answer.
        let (false_fresh, forged) = broker(2).wrap(&ask, &grant, &random).unwrap();
        assert!(key.unwrap(&ask, &guest, &false_fresh, &forged).is_none());
        let other = Ask { instance: [9; 32], ..ask.clone() };
        assert!(key.unwrap(&other, &guest, &fresh, &sealed).is_none());
        assert!(key.unwrap(&ask, &StaticSecret::from([9; 32]), &fresh, &sealed).is_none());
        assert!(key.unwrap(&ask, &guest, &[0; 32], &sealed).is_none());
        for len in 0..sealed.len() {
            assert!(key.unwrap(&ask, &guest, &fresh, &sealed[..len]).is_none());
        }
        assert!(broker(1).wrap(&Ask { ephemeral: [0; 32], ..ask }, &grant, &random).is_none());
    }

    #[test]
    fn keys_differ_by_name_deployment_and_broker_and_not_by_time() {
        let kek = |n, id, d| *broker(n).kek(&KeyId([id; 16]), &DeploymentId([d; 32])).0.clone();
        assert_eq!(kek(1, 2, 3), kek(1, 2, 3));
        assert!([kek(2, 2, 3), kek(1, 1, 3), kek(1, 2, 1)].iter().all(|other| *other != kek(1, 2, 3)));
    }
}
