//! R4 and R8 as far as a header alone shows them.

use zipnet_dcnet::header::{Header, HeaderError, SignedHeader};
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::roster::MAX_ROSTER;
use zipnet_dcnet::seal::Content;
use zipnet_dcnet::signed::SignatureError;

use crate::common::{Network, small, stranger};

fn network() -> (Network, Header) {
    let net = Network::new(small(3), 5, 4, 31);
    let (roster, _) = net.roster(0..4);
    let header = net.header(&roster);
    (net, header)
}

/// What `verify` says of the honest header changed by `change` and signed by those it names, as far as they exist.
fn refused(change: impl Fn(&Network, &mut Header)) -> HeaderError {
    let (net, mut header) = network();
    change(&net, &mut header);
    let signatures = header
        .servers
        .iter()
        .map(|name| {
            let server = net.servers.iter().find(|s| s.identity.peer_id() == *name);
            header.sign(&server.unwrap_or(&net.servers[0]).identity)
        })
        .collect();
    SignedHeader { header, signatures }.verify(&net.descriptor, &net.id).unwrap_err()
}

#[test]
fn an_honest_header_passes_with_a_majority_too() {
    let (net, header) = network();
    assert_eq!(net.sign_header(&header).verify(&net.descriptor, &net.id), Ok(header.digest()));
    let mut header = header;
    header.servers.truncate(3);
    let signatures = net.servers[..3].iter().map(|s| header.sign(&s.identity)).collect();
    SignedHeader { header, signatures }.verify(&net.descriptor, &net.id).unwrap();
}

#[test]
fn r4_a_header_of_another_deployment_is_refused() {
    let error = refused(|_, h| h.deployment.0[0] ^= 1);
    assert!(matches!(error, HeaderError::Deployment(_)));
}

#[test]
fn r4_servers_below_a_majority_unknown_repeated_or_unsorted_are_refused() {
    assert_eq!(refused(|_, h| h.servers.truncate(2)), HeaderError::Servers(2));
    assert_eq!(refused(|_, h| h.servers.clear()), HeaderError::Servers(0));
    assert_eq!(refused(|_, h| h.servers[4] = stranger()), HeaderError::Servers(5));
    assert_eq!(refused(|_, h| h.servers[1] = h.servers[0]), HeaderError::Servers(5));
    assert_eq!(refused(|_, h| h.servers.swap(0, 1)), HeaderError::Servers(5));
}

#[test]
fn r4_aggregators_missing_too_many_or_unsorted_are_refused() {
    let many = |n: u8| (0..n).map(|i| PeerId([i; 32])).collect::<Vec<_>>();
    assert_eq!(refused(|_, h| h.aggregators.clear()), HeaderError::Aggregators(0));
    assert_eq!(refused(|_, h| h.aggregators = many(17)), HeaderError::Aggregators(17));
    assert_eq!(refused(|_, h| h.aggregators.swap(0, 1)), HeaderError::Aggregators(2));
    assert_eq!(refused(|_, h| h.aggregators[1] = h.aggregators[0]), HeaderError::Aggregators(2));
}

#[test]
fn r4_a_roster_that_is_too_small_or_too_large_is_refused() {
    assert_eq!(refused(|_, h| h.roster_len = 1), HeaderError::TooFew { len: 1, min: 2 });
    assert_eq!(refused(|_, h| h.roster_len = u32::MAX), HeaderError::TooMany(u32::MAX));
    let (net, header) = network();
    let header = Header { roster_len: MAX_ROSTER as u32, ..header };
    net.sign_header(&header).verify(&net.descriptor, &net.id).unwrap();
}

#[test]
fn r4_every_server_named_has_to_sign_this_header() {
    let (net, header) = network();
    let honest = net.sign_header(&header);
    let verify = |signed: SignedHeader| signed.verify(&net.descriptor, &net.id).unwrap_err();
    let signer = |s: usize| {
        let signer = header.servers[s];
        HeaderError::Signature(SignatureError { domain: "header".to_owned(), signer })
    };

    let mut signed = honest.clone();
    signed.signatures.pop();
    assert_eq!(verify(signed), HeaderError::Signatures { given: 4, servers: 5 });
    let mut signed = honest.clone();
    signed.signatures.push(honest.signatures[0]);
    assert_eq!(verify(signed), HeaderError::Signatures { given: 6, servers: 5 });
    let mut signed = honest.clone();
    signed.signatures.swap(1, 2);
    assert_eq!(verify(signed), signer(1));
    let mut signed = honest.clone();
    signed.signatures[4].0[0] ^= 1;
    assert_eq!(verify(signed), signer(4));
    // A signature on a record's digest, or on another header, is none on this one.
    let mut signed = honest.clone();
    signed.signatures[3] = net.servers[3].identity.sign("record", &header.digest());
    assert_eq!(verify(signed), signer(3));
    for other in super::no_pad_twice::every_other_header(&header) {
        let signed = SignedHeader { header: other, signatures: honest.signatures.clone() };
        verify(signed);
    }
}

/// R8, for everybody: quiet when the record named is not that of the round just before, or the servers changed.
#[test]
fn r8_a_round_is_quiet_after_a_gap_or_a_change_of_servers() {
    let (mut net, first) = network();
    assert!(first.is_quiet(None), "the first round");
    let (roster, members) = net.roster(0..4);
    let contents: Vec<_> = (0..4).map(|_| Some(Content::default())).collect();
    let record = net.play(&roster, &members, &contents, false);
    let header = net.header(&roster);
    assert!(!header.is_quiet(Some(&record)));
    assert!(
        Header { round: header.round + 1, ..header.clone() }.is_quiet(Some(&record)),
        "after an abandoned one"
    );
    assert!(header.is_quiet(None));
    let mut fewer = header.clone();
    fewer.servers.pop();
    assert!(fewer.is_quiet(Some(&record)), "a server left");
    let mut smaller = record.clone();
    smaller.servers.pop();
    assert!(header.is_quiet(Some(&smaller)), "a server came back");
}
