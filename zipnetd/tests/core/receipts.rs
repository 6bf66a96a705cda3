//! Receipts: made of what came anyway, kept with the message.

use zipnet_dcnet::receipt::{Receipt, ReceiptError};
use zipnetd::core::message::State;
use zipnetd::core::{MessageId, Refusal};

use crate::sim::{Plan, TEXT, UID, World, ready};

/// The receipt on the disk of client 0.
fn stored(world: &World, id: MessageId) -> Option<Receipt> {
    world.clients[0].receipts.get(&id.0[..]).map(|bytes| borsh::from_slice(bytes).unwrap())
}

fn verified(world: &World, id: MessageId) -> Receipt {
    let receipt = stored(world, id).expect("there is one");
    let shown = receipt.verify().unwrap();
    let State::Published { round, slot: Some(slot) } = world.state(0, id) else { panic!("not published") };
    assert_eq!((shown.deployment, shown.round, shown.slot), (world.deployment, round, slot));
    assert_eq!((&shown.payload[..], shown.record), (TEXT, world.record(round).digest()));
    world.clients[0].core.receipt(UID, &id).unwrap();
    receipt
}

fn why_not(world: &World, id: MessageId) -> String {
    world.clients[0].core.receipt(UID, &id).unwrap_err().to_string()
}

#[test]
fn a_published_message_has_a_receipt_if_it_asked_for_one() {
    let mut world = ready(5);
    let silent = world.accept(0, b"silent");
    let id = world.accept_with_receipt(0, TEXT);
    assert!(why_not(&world, silent).ends_with("it was sent without asking for one"));
    assert!(why_not(&world, id).ends_with("it is not published yet, it is queued"));
    assert_eq!(world.clients[0].core.receipt(UID + 1, &id), Err(Refusal::NotYours(id)));
    world.rounds(3);
    assert!(matches!(world.state(0, silent), State::Published { .. }));
    assert_eq!(stored(&world, silent), None);
    let receipt = verified(&world, id);
    assert!(
        receipt.above.is_empty() && receipt.header.is_none(),
        "all servers signed: nothing more is needed"
    );
    world.restart(0);
    world.clients[0].core.receipt(UID, &id).unwrap();
    assert!(world.clients[0].core.message(UID, &id).unwrap().receipt, "the wish is on the disk");
}

#[test]
fn a_record_that_counts_through_the_next_header_has_one_with_that_header() {
    let mut world = ready(5);
    let id = world.accept_with_receipt(0, TEXT);
    world.round(&Plan { sign: vec![1], ..Plan::default() });
    assert!(matches!(world.state(0, id), State::Sealed(_)), "one of three signed");
    assert!(why_not(&world, id).contains("it was sealed into round 4"));
    world.rounds(1);
    let receipt = verified(&world, id);
    assert_eq!((receipt.record.signatures.len(), receipt.above.len()), (1, 0));
    assert_eq!(receipt.header.as_ref().unwrap().header.round, 5);
    let mut bare = receipt;
    bare.header = None;
    assert_eq!(bare.verify(), Err(ReceiptError::Unsigned(4)));
}

#[test]
fn a_record_that_counts_through_a_later_one_has_one_with_that_one() {
    let mut world = ready(5);
    let id = world.accept_with_receipt(0, TEXT);
    let (signed, sent) = world.until_sealed(0, id);
    // The client is away while the round ends and the next one is opened: it never sees the header above.
    world.clients[0].online = false;
    world.finish(&Plan { sign: vec![0], ..Plan::default() }, &signed, sent);
    world.pass(500);
    world.round(&Plan { sign: vec![0, 1], ..Plan::default() });
    world.clients[0].online = true;
    world.rounds(4);
    let receipt = verified(&world, id);
    assert_eq!(receipt.above.len(), 1);
    assert_eq!(receipt.header.unwrap().header.round, 6, "what opened on the record above");
}

#[test]
fn it_is_there_after_a_crash_before_the_round_was_over() {
    let mut world = ready(5);
    let id = world.accept_with_receipt(0, TEXT);
    let (signed, sent) = world.until_sealed(0, id);
    world.clients[0].online = false;
    world.finish(&Plan::default(), &signed, sent);
    world.pass(500);
    world.restart(0);
    world.clients[0].online = true;
    world.rounds(6);
    verified(&world, id);
}

#[test]
fn it_is_there_for_a_message_found_by_content_in_the_log() {
    let mut world = ready(5);
    let id = world.accept_with_receipt(0, TEXT);
    let old = world.clients[0].disk.clone();
    world.rounds(3);
    world.clients[0].disk = old;
    world.clients[0].receipts.clear();
    world.restart(0);
    world.rounds(6);
    verified(&world, id);
}

#[test]
fn it_goes_with_its_message() {
    let mut world = ready(5);
    let id = world.accept_with_receipt(0, TEXT);
    world.rounds(2);
    verified(&world, id);
    world.clients[0].disk.remove(&id.0[..]);
    world.restart(0);
    assert_eq!(stored(&world, id), None, "nobody could ask for it any more");
}

#[test]
fn what_was_not_published_has_none() {
    let mut world = ready(5);
    let id = world.accept_with_receipt(0, TEXT);
    world.round(&Plan { garble: true, ..Plan::default() });
    world.rounds(2);
    assert!(why_not(&world, id).ends_with("it failed (exposed)"));
    let id = world.accept_with_receipt(0, b"taken back");
    world.cancel(0, UID, id).unwrap();
    assert!(why_not(&world, id).contains("taken back"));
    assert!(world.clients[0].receipts.is_empty());
}

/// A receipt is one more entry of the write that settles, and nothing else: no call, no other write, no other moment.
#[test]
fn asking_for_one_changes_nothing_that_leaves_the_host() {
    let run = |receipt: bool| {
        let mut world = ready(6);
        for n in 0..12 {
            let plan = match n {
                3 => Plan { sign: vec![0], ..Plan::default() },
                5 => Plan { lost: vec![0], ..Plan::default() },
                _ => Plan::default(),
            };
            if receipt {
                world.accept_with_receipt(0, TEXT)
            } else {
                world.accept(0, TEXT)
            };
            world.round(&plan);
        }
        let kept = world.clients[0].receipts.len();
        let mut seen = std::mem::take(&mut world.clients[0].seen);
        // Each in a write of its own, which nothing waits for.
        let receipts: Vec<_> = seen.extract_if(.., |s| s.what.contains("put receipt")).collect();
        assert!(receipts.iter().all(|s| s.what.matches("put ").count() == 1), "{receipts:?}");
        (seen, kept)
    };
    let ((with, kept), (without, none)) = (run(true), run(false));
    assert!(kept > 5 && none == 0, "{kept}");
    for (a, b) in with.iter().zip(&without) {
        assert_eq!(a, b);
    }
    assert_eq!(with.len(), without.len());
}
