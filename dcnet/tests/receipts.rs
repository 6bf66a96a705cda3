//! Receipts: what they show, and everything that shows nothing.
#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
mod common;

use zipnet_dcnet::header::{HeaderError, SignedHeader};
use zipnet_dcnet::ids::DeploymentId;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::receipt::{MAX_ABOVE, Receipt, ReceiptError, Shown, VERSION};
use zipnet_dcnet::record::{RecordError, SignedRecord};
use zipnet_dcnet::seal::Content;
use zipnet_dcnet::signed::encode;

use common::{Network, small};

const TEXT: &[u8] = b"hello";

/// A record with a message in slot 1 of round 2, the three records above it, and the header above those, all signed by
/// everybody.
struct World {
    net: Network,
    records: Vec<SignedRecord>,
    header: SignedHeader,
}

fn world() -> World {
    let mut net = Network::new(Params { slots: 4, cells: 16, ..small(3) }, 3, 4, 7);
    let (roster, members) = net.roster(0..4);
    let play = |net: &mut Network, message: bool| {
        let contents: Vec<_> = (1..=4u32)
            .map(|t| {
                let message = (message && t == 1).then_some((1, TEXT));
                Some(Content { token: t.try_into().ok(), message })
            })
            .collect();
        let record = net.play(&roster, &members, &contents, false);
        net.sign_record(&record)
    };
    play(&mut net, false);
    let records =
        vec![play(&mut net, true), play(&mut net, false), play(&mut net, false), play(&mut net, false)];
    let header = net.header(&roster);
    let header = net.sign_header(&header);
    World { net, records, header }
}

impl World {
    /// The message's record with so many signatures, nothing above.
    fn receipt(&self, signatures: usize) -> Receipt {
        let mut record = self.records[0].clone();
        record.signatures.truncate(signatures);
        let descriptor = self.net.descriptor.clone();
        Receipt { version: VERSION, descriptor, slot: 1, record, above: vec![], header: None }
    }

    /// A record above with so many signatures.
    fn above(&self, n: usize, signatures: usize) -> SignedRecord {
        let mut record = self.records[n].clone();
        record.signatures.truncate(signatures);
        record
    }

    fn shown(&self) -> Shown {
        Shown {
            deployment: self.net.id,
            round: 2,
            slot: 1,
            payload: TEXT.to_vec(),
            record: self.records[0].record.digest(),
        }
    }
}

#[test]
fn a_record_that_all_signed_is_enough_and_survives_encoding() {
    let world = world();
    let receipt = world.receipt(3);
    assert_eq!(receipt.verify(), Ok(world.shown()));
    let again: Receipt = borsh::from_slice(&encode(&receipt)).unwrap();
    assert_eq!(again, receipt);
    assert_eq!(encode(&receipt)[0], VERSION, "its first byte");
}

#[test]
fn a_record_counts_through_what_stands_on_it() {
    let world = world();
    // A record above that all signed; one more below it that nobody signed.
    for above in [vec![world.above(1, 3)], vec![world.above(1, 0), world.above(2, 3)]] {
        let receipt = Receipt { above, ..world.receipt(0) };
        assert_eq!(receipt.verify(), Ok(world.shown()));
    }
    // A header above the last of them.
    let above = vec![world.above(1, 0), world.above(2, 1), world.above(3, 2)];
    let header = Some(world.header.clone());
    assert_eq!(Receipt { above, header, ..world.receipt(1) }.verify(), Ok(world.shown()));
}

#[test]
fn too_few_signatures_show_nothing() {
    let world = world();
    assert_eq!(world.receipt(2).verify(), Err(ReceiptError::Unsigned(2)));
    // That the one below is signed by all does not make the one above count, and the last one decides.
    let receipt = Receipt { above: vec![world.above(1, 3), world.above(2, 2)], ..world.receipt(1) };
    assert_eq!(receipt.verify(), Err(ReceiptError::Unsigned(2)));
}

#[test]
fn all_servers_of_a_record_are_not_enough_if_they_are_fewer_than_min_servers() {
    let world = world();
    // Two of three agree on whatever they like, in a deployment whose messages need three.
    let mut record = world.records[0].record.clone();
    record.servers.truncate(2);
    let mut record = world.net.sign_record(&record);
    record.signatures.retain(|(signer, _)| record.record.servers.contains(signer));
    let receipt = Receipt { record, ..world.receipt(3) };
    assert_eq!(receipt.verify(), Err(ReceiptError::FewSigners { given: 2, needed: 3 }));
}

#[test]
fn another_version_is_refused() {
    let receipt = Receipt { version: VERSION + 1, ..world().receipt(3) };
    assert_eq!(receipt.verify(), Err(ReceiptError::Version(VERSION + 1)));
    let text = ReceiptError::Version(9).to_string();
    assert_eq!(text, format!("the receipt has version 9, this program reads version {VERSION}"));
}

#[test]
fn a_descriptor_that_cannot_be_is_refused_and_another_one_fits_no_record() {
    let world = world();
    let mut receipt = world.receipt(3);
    receipt.descriptor.servers.swap(0, 1);
    assert!(matches!(receipt.verify(), Err(ReceiptError::Descriptor(_))));
    let mut receipt = world.receipt(3);
    receipt.descriptor.instance = "other".to_owned();
    assert!(matches!(receipt.verify(), Err(ReceiptError::Record(RecordError::Deployment(_)))));
    let mut receipt = world.receipt(3);
    receipt.record.record.deployment = DeploymentId([1; 32]);
    assert!(matches!(receipt.verify(), Err(ReceiptError::Record(RecordError::Deployment(_)))));
}

#[test]
fn a_forged_record_is_refused_below_and_above() {
    let world = world();
    let mut receipt = world.receipt(3);
    receipt.record.record.messages[0].1 = b"forged".to_vec();
    assert!(matches!(receipt.verify(), Err(ReceiptError::Record(RecordError::Signature(_)))));
    let mut above = world.above(1, 3);
    above.signatures[0].1.0[0] ^= 1;
    let receipt = Receipt { above: vec![above], ..world.receipt(1) };
    assert!(matches!(receipt.verify(), Err(ReceiptError::Record(RecordError::Signature(_)))));
}

#[test]
fn a_forged_or_incomplete_header_is_refused() {
    let world = world();
    let above = || vec![world.above(1, 0), world.above(2, 0), world.above(3, 0)];
    let mut header = world.header.clone();
    header.signatures[1].0[0] ^= 1;
    let receipt = Receipt { above: above(), header: Some(header), ..world.receipt(0) };
    assert!(matches!(receipt.verify(), Err(ReceiptError::Header(HeaderError::Signature(_)))));
    let mut header = world.header.clone();
    header.signatures.pop();
    let receipt = Receipt { above: above(), header: Some(header), ..world.receipt(0) };
    let missing = HeaderError::Signatures { given: 2, servers: 3 };
    assert_eq!(receipt.verify(), Err(ReceiptError::Header(missing)));
}

#[test]
fn what_does_not_stand_on_the_one_below_is_refused() {
    let world = world();
    // A record left out, the wrong order, the record itself once more.
    for above in
        [vec![world.above(2, 3)], vec![world.above(1, 3), world.above(3, 3)], vec![world.above(0, 3)]]
    {
        let at = if above.len() == 2 { 3 } else { 2 };
        let receipt = Receipt { above, ..world.receipt(1) };
        assert_eq!(receipt.verify(), Err(ReceiptError::Unlinked(at)));
    }
    let receipt = Receipt { header: Some(world.header.clone()), ..world.receipt(1) };
    assert_eq!(receipt.verify(), Err(ReceiptError::Unlinked(2)), "a header of another record");
    // A header that names the record, but opens no later round.
    let mut header = world.header.header.clone();
    (header.prev, header.round) = (world.records[0].record.digest(), 2);
    let header = world.net.sign_header(&header);
    let receipt = Receipt { header: Some(header), ..world.receipt(1) };
    assert_eq!(receipt.verify(), Err(ReceiptError::Unlinked(2)));
    // The same for a record.
    let mut above = world.records[1].record.clone();
    above.round = 2;
    let above = world.net.sign_record(&above);
    let receipt = Receipt { above: vec![above], ..world.receipt(1) };
    assert_eq!(receipt.verify(), Err(ReceiptError::Unlinked(2)));
}

#[test]
fn so_many_records_above_are_read_and_no_more() {
    let world = world();
    let (mut above, mut last) = (Vec::new(), world.records[0].record.clone());
    for _ in 0..=MAX_ABOVE {
        let mut next = last.clone();
        (next.round, next.prev) = (last.round + 1, last.digest());
        above.push(SignedRecord { record: next.clone(), signatures: vec![] });
        last = next;
    }
    let receipt = Receipt { above: above.clone(), ..world.receipt(0) };
    assert_eq!(receipt.verify(), Err(ReceiptError::TooLong(MAX_ABOVE + 1)));
    above.pop();
    let top = above.pop().unwrap();
    above.push(world.net.sign_record(&top.record));
    assert_eq!(Receipt { above, ..world.receipt(0) }.verify(), Ok(world.shown()));
}

#[test]
fn a_slot_without_a_message_is_refused() {
    let world = world();
    for slot in [0, 2, 99] {
        let receipt = Receipt { slot, ..world.receipt(3) };
        assert_eq!(receipt.verify(), Err(ReceiptError::NoMessage { round: 2, slot }));
    }
}
