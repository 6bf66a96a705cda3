//! R7 and R11: what a commitment fixes, and which records count.

use zipnet_dcnet::header::Header;
use zipnet_dcnet::ids::DeploymentId;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::partial::Partial;
use zipnet_dcnet::record::{Record, RecordError, SignedRecord, owned_slots};
use zipnet_dcnet::seal::Content;
use zipnet_dcnet::signed::SignatureError;

use crate::common::{Network, bits, small, stranger};

/// A network after a round with reservations and one with messages.
fn network() -> (Network, Record) {
    let mut net = Network::new(Params { slots: 8, cells: 30, ..small(3) }, 3, 6, 41);
    let (roster, members) = net.roster(0..6);
    let contents: Vec<_> =
        (1..=6).map(|t: u32| Some(Content { token: t.try_into().ok(), message: None })).collect();
    net.play(&roster, &members, &contents, true);
    let contents: Vec<_> = (0..6)
        .map(|i: u32| Some(Content { token: i.try_into().ok(), message: (i < 4).then_some((i, b"hi" as _)) }))
        .collect();
    let record = net.play(&roster, &members, &contents, true);
    assert_eq!((record.messages.len(), &record.reservations[..]), (4, &[1, 2, 3, 4, 5][..]));
    (net, record)
}

fn refused(change: impl Fn(&mut Record)) -> RecordError {
    let (net, mut record) = network();
    change(&mut record);
    net.sign_record(&record).verify(&net.descriptor, &net.id).unwrap_err()
}

#[test]
fn r11_a_record_of_another_deployment_or_committee_is_refused() {
    let error = refused(|r| r.deployment = DeploymentId([1; 32]));
    assert_eq!(error, RecordError::Deployment(DeploymentId([1; 32])));
    assert_eq!(refused(|r| r.servers.truncate(1)), RecordError::Servers(1));
    assert_eq!(refused(|r| r.servers.swap(0, 1)), RecordError::Servers(3));
    assert_eq!(refused(|r| r.servers[0] = r.servers[1]), RecordError::Servers(3));
    assert_eq!(refused(|r| r.servers[2] = stranger()), RecordError::Servers(3));
}

#[test]
fn r11_a_record_with_malformed_lists_is_refused() {
    type Change = fn(&mut Record);
    let cases: [(&str, &[Change]); 4] = [
        ("participants", &[|r| r.participants = bits(6, 0..1), |r| r.participants = bits(6, 0..0)]),
        (
            "reservations",
            &[
                |r| r.reservations = vec![0, 1],
                |r| r.reservations = vec![2, 1],
                |r| r.reservations = vec![1, 1],
                |r| r.reservations = (1..=31).collect(),
            ],
        ),
        (
            "messages",
            &[
                |r| r.messages.swap(0, 1),
                |r| r.messages[1].0 = r.messages[0].0,
                |r| r.messages[3].0 = 8,
                |r| r.messages[0].1 = vec![0; 49],
            ],
        ),
        (
            "garbled slots",
            &[
                |r| r.garbled = vec![6, 5],
                |r| r.garbled = vec![5, 5],
                |r| r.garbled = vec![8],
                |r| r.garbled = vec![0],
            ],
        ),
    ];
    for (what, changes) in cases {
        for change in changes {
            assert_eq!(refused(change), RecordError::Malformed { round: 2, what });
        }
    }
}

#[test]
fn r11_a_record_counts_when_all_its_servers_signed_this_record() {
    let (net, record) = network();
    let honest = net.sign_record(&record);
    let verify = |signed: &SignedRecord| signed.verify(&net.descriptor, &net.id);
    assert_eq!(verify(&honest), Ok((record.digest(), true)));
    for missing in 0..3 {
        let mut signed = honest.clone();
        signed.signatures.remove(missing);
        assert_eq!(verify(&signed), Ok((record.digest(), false)), "valid, but it does not count by itself");
    }
    let signer = |signer| RecordError::Signer { round: 2, signer };
    let mut signed = honest.clone();
    signed.signatures[1] = signed.signatures[0];
    assert_eq!(verify(&signed), Err(signer(record.servers[0])), "one server twice is not two");
    let mut signed = honest.clone();
    signed.signatures.swap(0, 1);
    assert_eq!(verify(&signed), Err(signer(record.servers[0])));
    let mut signed = honest.clone();
    signed.signatures[2].0 = stranger();
    assert_eq!(verify(&signed), Err(signer(stranger())));
    let mut signed = honest.clone();
    signed.signatures[2].1.0[9] ^= 1;
    let wrong = SignatureError { domain: "record".to_owned(), signer: record.servers[2] };
    assert_eq!(verify(&signed), Err(RecordError::Signature(wrong)));
}

/// Every field is in the digest, so a signature holds for this record alone and the hash chain fixes all before it.
#[test]
fn r11_no_other_record_has_these_signatures() {
    let (net, record) = network();
    let honest = net.sign_record(&record);
    let changes: [fn(&mut Record); 10] = [
        |r| r.round += 1,
        |r| r.header_digest[0] ^= 1,
        |r| r.aggregate_digest[0] ^= 1,
        |r| r.prev[0] ^= 1,
        |r| r.participants = bits(6, 0..5),
        |r| r.servers.truncate(2),
        |r| r.reservations.clear(),
        |r| r.messages[0].1[0] ^= 1,
        |r| r.messages.truncate(3),
        |r| r.garbled.push(7),
    ];
    for change in changes {
        let mut other = record.clone();
        change(&mut other);
        assert_ne!(other.digest(), record.digest());
        let mut signed = SignedRecord { record: other, signatures: honest.signatures.clone() };
        signed.signatures.truncate(signed.record.servers.len());
        let error = signed.verify(&net.descriptor, &net.id);
        assert!(matches!(error, Err(RecordError::Signature(_))), "{error:?}");
    }
}

/// Reservations hold for the next round alone, if its header names their record.
#[test]
fn r4_tokens_are_dead_after_a_gap_or_under_another_record() {
    let (net, record) = network();
    let (roster, _) = net.roster(0..6);
    let (header, digest) = (net.header(&roster), record.digest());
    let with = |tokens: u32| Record { reservations: (1..=tokens).collect(), ..record.clone() };
    let (full, params) = (with(20), net.params());
    let named = Header { prev: full.digest(), ..header.clone() };
    assert_eq!(owned_slots(params, &named, Some((&full, &full.digest()))), 8, "at most the slots of a round");
    assert_eq!(owned_slots(params, &header, Some((&full, &full.digest()))), 0, "the header names another");
    let few = with(3);
    let named = Header { prev: few.digest(), ..header.clone() };
    assert_eq!(owned_slots(params, &named, Some((&few, &few.digest()))), 3);
    let later = Header { round: named.round + 1, ..named };
    assert_eq!(
        owned_slots(params, &later, Some((&few, &few.digest()))),
        0,
        "an abandoned round lies between"
    );
    assert_eq!(owned_slots(params, &header, None), 0);
    assert_ne!(digest, few.digest());
}

/// R7: the commitment fixes the partial, for this header, fold and server.
#[test]
fn r7_a_commitment_fits_one_partial_only() {
    let partial = Partial {
        deployment: DeploymentId([1; 32]),
        round: 1,
        server: stranger(),
        header_digest: [2; 32],
        aggregate_digest: [3; 32],
        nonce: [4; 32],
        vector: vec![5; 100],
    };
    let changes: [fn(&mut Partial); 7] = [
        |p| p.server.0[0] ^= 1,
        |p| p.header_digest[0] ^= 1,
        |p| p.aggregate_digest[31] ^= 1,
        |p| p.nonce[0] ^= 1,
        |p| p.vector[99] ^= 0x80,
        |p| p.vector.truncate(99),
        |p| p.vector.push(0),
    ];
    for change in changes {
        let mut other = partial.clone();
        change(&mut other);
        assert_ne!(other.commitment(), partial.commitment());
    }
}
