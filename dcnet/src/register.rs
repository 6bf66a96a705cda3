//! Registration: the key agreement between one client and one server (R2).

use borsh::{BorshDeserialize, BorshSerialize};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::chain::{Chain, Key};
use crate::hash::{Use, hash64, keyed32};
use crate::identity::Identity;
use crate::ids::{Bundle, DeploymentId, PeerId, Session};
use crate::scrub::scrubbed;
use crate::signed::{SignatureError, Signed, Statement};
use crate::statement::vouch_digest;

/// Largest evidence (a quote with its extras), in bytes.
pub const MAX_EVIDENCE_BYTES: usize = 32_768;
/// More than the stack that a Diffie-Hellman uses.
const STACK: usize = 16_384;

/// What a client asks of a server.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Request {
    /// Where.
    pub deployment: DeploymentId,
    /// The server this is for.
    pub server: PeerId,
    /// The boot nonce of that server, so that no request of an earlier boot can be replayed.
    pub boot: [u8; 32],
    /// The client.
    pub client: Bundle,
    /// Its session.
    pub session: Session,
    /// e_cs: a fresh X25519 key for this pair.
    pub ephemeral: [u8; 32],
    /// What the kind of admission asks for; empty when it is open.
    pub evidence: Vec<u8>,
}

impl Statement for Request {
    const DOMAIN: &'static str = "register";
    fn signer(&self) -> PeerId {
        self.client.peer_id
    }
}

/// What the server answers.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Answer {
    /// Where.
    pub deployment: DeploymentId,
    /// The server.
    pub server: Bundle,
    /// Its boot nonce.
    pub boot: [u8; 32],
    /// The client.
    pub client: Bundle,
    /// The session.
    pub session: Session,
    /// e_cs, as asked.
    pub client_ephemeral: [u8; 32],
    /// e_sc: the server's fresh X25519 key for this pair.
    pub ephemeral: [u8; 32],
    /// The first round of the chain: the last opened round in the server's log plus 1.
    pub start: u64,
}

impl Statement for Answer {
    const DOMAIN: &'static str = "registered";
    fn signer(&self) -> PeerId {
        self.server.peer_id
    }
}

/// A registration that fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// A signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A field is not what it has to be.
    #[error("the registration names another {0}")]
    Mismatch(&'static str),
    /// A public key is not canonical.
    #[error("the {0} is not a canonical X25519 key")]
    NotCanonical(&'static str),
    /// A Diffie-Hellman result is zero: a key of small order.
    #[error("a key of the registration has small order")]
    NotContributory,
    /// The evidence is over [`MAX_EVIDENCE_BYTES`].
    #[error("the evidence has {0} bytes, at most {MAX_EVIDENCE_BYTES} are allowed")]
    EvidenceTooLong(usize),
}

impl RegisterError {
    /// A short name to count by.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Signature(_) => "signature",
            Self::Mismatch(what) => what,
            Self::NotCanonical(_) => "not_canonical",
            Self::NotContributory => "not_contributory",
            Self::EvidenceTooLong(_) => "evidence_too_long",
        }
    }
}

/// The client's side between request and answer. Holds the secret half of `e_cs`; wiped on drop.
pub struct Pending {
    secret: Box<StaticSecret>,
    request: Request,
}

impl Pending {
    /// A request with a fresh ephemeral key from 32 random bytes.
    pub fn new(
        identity: &Identity,
        deployment: DeploymentId,
        server: PeerId,
        boot: [u8; 32],
        session: Session,
        evidence: Vec<u8>,
        random: &Zeroizing<[u8; 32]>,
    ) -> (Self, Signed<Request>) {
        let (secret, ephemeral) = ephemeral(random);
        let client = identity.client_bundle();
        let request = Request { deployment, server, boot, client, session, ephemeral, evidence };
        let signed = Signed::new(identity, request.clone());
        (Self { secret, request }, signed)
    }

    /// The chain, and what the server's vouch has to say. Consumes, and so erases, the ephemeral secret.
    ///
    /// # Errors
    /// [`RegisterError`] when the answer is not this server's answer to this request.
    pub fn finish(
        self,
        identity: &Identity,
        answer: &Signed<Answer>,
    ) -> Result<(Chain, [u8; 32]), RegisterError> {
        let a = answer.verify()?;
        let r = &self.request;
        let checks = [
            ("deployment", a.deployment == r.deployment),
            ("server", a.server.peer_id == r.server),
            ("boot", a.boot == r.boot),
            ("client", a.client == r.client),
            ("session", a.session == r.session),
            ("ephemeral key", a.client_ephemeral == r.ephemeral),
        ];
        for (what, same) in checks {
            if !same {
                return Err(RegisterError::Mismatch(what));
            }
        }
        let server = public(&a.server.identity_pk, "server's identity key")?;
        let ephemeral = public(&a.ephemeral, "server's ephemeral key")?;
        // Order of the four results, the same on both sides: id·id, e·e, e_cs·id_s, id_c·e_sc.
        let pairs = [
            (identity.x25519(), &server),
            (&*self.secret, &ephemeral),
            (&*self.secret, &server),
            (identity.x25519(), &ephemeral),
        ];
        let chain = scrubbed::<STACK, _>(|| derive(pairs, a))?;
        Ok((chain, vouch_digest(&a.client_ephemeral, &a.ephemeral)))
    }
}

/// The server's side, in one step: checks the request, makes `e_sc` from 32 random bytes, derives, erases.
///
/// # Errors
/// [`RegisterError`] says what is wrong with the request.
pub fn answer(
    identity: &Identity,
    deployment: DeploymentId,
    boot: [u8; 32],
    start: u64,
    request: &Signed<Request>,
    random: &Zeroizing<[u8; 32]>,
) -> Result<(Chain, Signed<Answer>), RegisterError> {
    let r = request.verify()?;
    let server = identity.server_bundle();
    let checks = [
        ("deployment", r.deployment == deployment),
        ("server", r.server == server.peer_id),
        ("boot", r.boot == boot),
        ("link key", r.client.link_pk == [0; 32]),
    ];
    for (what, same) in checks {
        if !same {
            return Err(RegisterError::Mismatch(what));
        }
    }
    if r.evidence.len() > MAX_EVIDENCE_BYTES {
        return Err(RegisterError::EvidenceTooLong(r.evidence.len()));
    }
    let client = public(&r.client.identity_pk, "client's identity key")?;
    let client_ephemeral = public(&r.ephemeral, "client's ephemeral key")?;
    let (secret, ephemeral) = ephemeral(random);
    let answer = Answer {
        deployment,
        server,
        boot,
        client: r.client,
        session: r.session,
        client_ephemeral: r.ephemeral,
        ephemeral,
        start,
    };
    let pairs = [
        (identity.x25519(), &client),
        (&*secret, &client_ephemeral),
        (identity.x25519(), &client_ephemeral),
        (&*secret, &client),
    ];
    let chain = scrubbed::<STACK, _>(|| derive(pairs, &answer))?;
    Ok((chain, Signed::new(identity, answer)))
}

/// A fresh key pair for one registration.
fn ephemeral(random: &Zeroizing<[u8; 32]>) -> (Box<StaticSecret>, [u8; 32]) {
    scrubbed::<STACK, _>(|| {
        let secret = Box::new(StaticSecret::from(**random));
        let public = PublicKey::from(&*secret).to_bytes();
        (secret, public)
    })
}

/// A canonical public key: below 2^255 − 19, top bit clear.
fn public(bytes: &[u8; 32], what: &'static str) -> Result<PublicKey, RegisterError> {
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    if bytes.iter().rev().lt(p.iter().rev()) {
        return Ok(PublicKey::from(*bytes));
    }
    Err(RegisterError::NotCanonical(what))
}

fn derive(pairs: [(&StaticSecret, &PublicKey); 4], a: &Answer) -> Result<Chain, RegisterError> {
    let mut ikm = Zeroizing::new([0; 128]);
    for (out, (secret, public)) in ikm.chunks_exact_mut(32).zip(pairs) {
        let shared = secret.diffie_hellman(public);
        if !shared.was_contributory() {
            return Err(RegisterError::NotContributory);
        }
        out.copy_from_slice(shared.as_bytes());
    }
    let mut key = Zeroizing::new([0; 64]);
    hash64(Use::CHAIN_KEY, &[&*ikm], &mut key);
    let mut chain = Key::default();
    let client = crate::signed::encode(&a.client);
    let server = crate::signed::encode(&a.server);
    let parts: [&[u8]; 7] = [
        &a.deployment.0,
        &a.session,
        &client,
        &server,
        &a.client_ephemeral,
        &a.ephemeral,
        &a.start.to_le_bytes(),
    ];
    keyed32(Use::CHAIN_START, &*key, &parts, &mut chain);
    Ok(Chain::new(chain, a.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: DeploymentId = DeploymentId([3; 32]);

    fn identity(n: u8) -> Identity {
        Identity::from_seed(Zeroizing::new([n; 32]))
    }

    fn ask(client: &Identity, server: &Identity) -> (Pending, Signed<Request>) {
        let random = Zeroizing::new([8; 32]);
        Pending::new(client, D, server.peer_id(), [4; 32], [6; 32], Vec::new(), &random)
    }

    #[test]
    fn both_sides_derive_the_same_chain() {
        let (c, s) = (identity(1), identity(2));
        let (pending, request) = ask(&c, &s);
        let (mut theirs, reply) = answer(&s, D, [4; 32], 12, &request, &Zeroizing::new([9; 32])).unwrap();
        let (mut ours, _) = pending.finish(&c, &reply).unwrap();
        assert_eq!(ours.at(), 12);
        assert_eq!(ours.take(14, &[1; 32]).unwrap().0, theirs.take(14, &[1; 32]).unwrap().0);
    }

    #[test]
    fn an_answer_of_another_server_boot_or_request_is_refused() {
        let (c, s, other) = (identity(1), identity(2), identity(3));
        let (pending, request) = ask(&c, &s);
        let random = Zeroizing::new([9; 32]);
        let wrong = answer(&other, D, [4; 32], 1, &request, &random);
        assert_eq!(wrong.err(), Some(RegisterError::Mismatch("server")));
        let wrong = answer(&s, D, [5; 32], 1, &request, &random);
        assert_eq!(wrong.err(), Some(RegisterError::Mismatch("boot")));
        let (_, reply) = answer(&s, D, [4; 32], 1, &request, &random).unwrap();
        let mut forged = crate::signed::encode(&reply);
        forged[40] ^= 1;
        let forged = borsh::from_slice::<Signed<Answer>>(&forged).unwrap();
        assert!(matches!(pending.finish(&c, &forged), Err(RegisterError::Signature(_))));
        let another = Zeroizing::new([10; 32]);
        let (pending, _) = Pending::new(&c, D, s.peer_id(), [4; 32], [6; 32], Vec::new(), &another);
        assert_eq!(pending.finish(&c, &reply).err(), Some(RegisterError::Mismatch("ephemeral key")));
    }

    #[test]
    fn small_order_and_non_canonical_keys_are_refused() {
        let (c, s) = (identity(1), identity(2));
        for (bytes, error) in [
            ([0; 32], RegisterError::NotContributory),
            ([0xff; 32], RegisterError::NotCanonical("client's ephemeral key")),
        ] {
            let (_, request) = ask(&c, &s);
            let request = Request { ephemeral: bytes, ..request.trusted().clone() };
            let request = Signed::new(&c, request);
            let refused = answer(&s, D, [4; 32], 1, &request, &Zeroizing::new([9; 32]));
            assert_eq!(refused.err(), Some(error));
        }
        let mut p = [0xff; 32];
        p[0] = 0xec;
        p[31] = 0x7f;
        assert!(public(&p, "p - 1").is_ok());
        p[0] = 0xed;
        assert!(public(&p, "p").is_err());
    }
}
