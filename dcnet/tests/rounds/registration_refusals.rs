//! R2: every refusal of a registration, on both sides.

use zeroize::Zeroizing;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::DeploymentId;
use zipnet_dcnet::register::{Answer, MAX_EVIDENCE_BYTES, Pending, RegisterError, Request, answer};
use zipnet_dcnet::signed::{Signed, encode};

const D: DeploymentId = DeploymentId([3; 32]);
const BOOT: [u8; 32] = [4; 32];

fn identity(n: u8) -> Identity {
    Identity::from_seed(Zeroizing::new([n; 32]))
}

fn ask() -> (Pending, Signed<Request>) {
    let random = Zeroizing::new([8; 32]);
    Pending::new(&identity(1), D, identity(2).peer_id(), BOOT, [6; 32], Vec::new(), &random)
}

/// What the server says to the honest request changed by `change`, signed by whoever it names.
fn server_refuses(change: impl Fn(&mut Request)) -> Option<RegisterError> {
    let mut request = ask().1.trusted().clone();
    change(&mut request);
    let signed = Signed::new(&identity(1), request);
    answer(&identity(2), D, BOOT, 5, &signed, &Zeroizing::new([9; 32])).err()
}

/// What the client says to the honest answer changed by `change` and signed by the server.
fn client_refuses(change: impl Fn(&mut Answer)) -> Option<RegisterError> {
    let (pending, request) = ask();
    let (_, reply) = answer(&identity(2), D, BOOT, 5, &request, &Zeroizing::new([9; 32])).unwrap();
    let mut reply = reply.trusted().clone();
    change(&mut reply);
    pending.finish(&identity(1), &Signed::new(&identity(2), reply)).err()
}

const SMALL_ORDER: [[u8; 32]; 3] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
        0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
];

/// 2^255 − 19 + 9, which is 9 again to who reduces it; and the base point with the ignored top bit set.
fn not_canonical() -> [[u8; 32]; 2] {
    let mut wrapped = [0xff; 32];
    wrapped[0] = 0xed + 9;
    wrapped[31] = 0x7f;
    let mut top = [0; 32];
    top[0] = 9;
    top[31] = 0x80;
    [wrapped, top]
}

#[test]
fn an_honest_registration_passes_with_the_largest_evidence() {
    assert_eq!(server_refuses(|_| {}), None);
    assert_eq!(server_refuses(|r| r.evidence = vec![1; MAX_EVIDENCE_BYTES]), None);
    assert_eq!(client_refuses(|_| {}), None);
    // The client has no say in where its chain starts; a useless start gives a useless chain.
    assert_eq!(client_refuses(|a| a.start = u64::MAX), None);
}

#[test]
fn a_server_refuses_what_is_not_for_it() {
    let mismatch = |what| Some(RegisterError::Mismatch(what));
    assert_eq!(server_refuses(|r| r.deployment.0[0] ^= 1), mismatch("deployment"));
    assert_eq!(server_refuses(|r| r.server.0[0] ^= 1), mismatch("server"));
    assert_eq!(server_refuses(|r| r.boot[0] ^= 1), mismatch("boot"));
    assert_eq!(server_refuses(|r| r.client = identity(1).server_bundle()), mismatch("link key"));
    let long = MAX_EVIDENCE_BYTES + 1;
    let error = server_refuses(|r| r.evidence = vec![0; long]);
    assert_eq!(error, Some(RegisterError::EvidenceTooLong(long)));
}

#[test]
fn a_client_refuses_what_answers_another_request() {
    let mismatch = |what| Some(RegisterError::Mismatch(what));
    assert_eq!(client_refuses(|a| a.deployment.0[0] ^= 1), mismatch("deployment"));
    assert_eq!(client_refuses(|a| a.boot[0] ^= 1), mismatch("boot"));
    assert_eq!(client_refuses(|a| a.client.identity_pk[0] ^= 1), mismatch("client"));
    assert_eq!(client_refuses(|a| a.session[0] ^= 1), mismatch("session"));
    assert_eq!(client_refuses(|a| a.client_ephemeral[0] ^= 1), mismatch("ephemeral key"));
    // Another server that answers in the place of the one asked.
    let (pending, request) = ask();
    let (_, reply) = answer(&identity(2), D, BOOT, 5, &request, &Zeroizing::new([9; 32])).unwrap();
    let stolen = Answer { server: identity(3).server_bundle(), ..reply.trusted().clone() };
    let refused = pending.finish(&identity(1), &Signed::new(&identity(3), stolen)).err();
    assert_eq!(refused, mismatch("server"));
}

#[test]
fn keys_that_are_not_canonical_are_refused_on_both_sides() {
    let refused = |what| Some(RegisterError::NotCanonical(what));
    for key in not_canonical() {
        assert_eq!(server_refuses(|r| r.ephemeral = key), refused("client's ephemeral key"));
        assert_eq!(server_refuses(|r| r.client.identity_pk = key), refused("client's identity key"));
        assert_eq!(client_refuses(|a| a.ephemeral = key), refused("server's ephemeral key"));
        assert_eq!(client_refuses(|a| a.server.identity_pk = key), refused("server's identity key"));
    }
}

#[test]
fn keys_of_small_order_are_refused_on_both_sides() {
    let refused = Some(RegisterError::NotContributory);
    for key in SMALL_ORDER {
        assert_eq!(server_refuses(|r| r.ephemeral = key), refused);
        assert_eq!(server_refuses(|r| r.client.identity_pk = key), refused);
        assert_eq!(client_refuses(|a| a.ephemeral = key), refused);
        assert_eq!(client_refuses(|a| a.server.identity_pk = key), refused);
    }
}

#[test]
fn any_changed_bit_of_a_signed_request_or_answer_is_refused() {
    let (_, request) = ask();
    let (_, reply) = answer(&identity(2), D, BOOT, 5, &request, &Zeroizing::new([9; 32])).unwrap();
    let (asked, replied) = (encode(&request), encode(&reply));
    for at in 0..asked.len() {
        let mut changed = asked.clone();
        changed[at] ^= 1 << (at % 8);
        if let Ok(changed) = borsh::from_slice::<Signed<Request>>(&changed) {
            let refused = answer(&identity(2), D, BOOT, 5, &changed, &Zeroizing::new([9; 32])).err();
            assert!(matches!(refused, Some(RegisterError::Signature(_))), "byte {at}: {refused:?}");
        }
    }
    for at in 0..replied.len() {
        let mut changed = replied.clone();
        changed[at] ^= 1 << (at % 8);
        let changed = borsh::from_slice::<Signed<Answer>>(&changed).unwrap();
        let refused = ask().0.finish(&identity(1), &changed).err();
        assert!(matches!(refused, Some(RegisterError::Signature(_))), "byte {at}: {refused:?}");
    }
}
