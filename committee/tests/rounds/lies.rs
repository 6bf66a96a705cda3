//! Entries of the log, each altered, cut, stretched and said again; headers of a leader that lies.

use std::collections::{BTreeMap, BTreeSet};

use zipnet_committee::core::Action;
use zipnet_committee::entry::Entry;
use zipnet_committee::state::{Refused, Stage, State};
use zipnet_dcnet::header::{Header, HeaderError};
use zipnet_dcnet::signed::encode;

use crate::client::FIRST;
use crate::net::{Faults, Net};
use crate::refuse_headers::refused;

fn kind(entry: &Entry) -> &'static str {
    match entry {
        Entry::Lapse(_) => "lapse",
        Entry::Alive(_) => "alive",
        Entry::Policy(_) => "policy",
        Entry::Vouch(_) => "vouch",
        Entry::Open(_) => "open",
        Entry::HeaderSignature(_) => "header signature",
        Entry::Fold { .. } => "fold",
        Entry::Commitment(_) => "commitment",
        Entry::Partial(_) => "partial",
        Entry::RecordSignature(_) => "record signature",
        Entry::Abandon { .. } => "abandon",
        Entry::Disclosure(_) => "disclosure",
        Entry::Leave(_) => "leave",
        Entry::Withdrawal(_) => "withdrawal",
    }
}

/// A real log with an abandoned round, a server that was away, one that took a vouch back and one that left: of every kind the first few entries that were taken,
/// and the state before each.
fn taken() -> Vec<(State, Entry)> {
    let mut net = Net::started(21, 3, 6);
    net.faults = Faults::default();
    net.rounds(1);
    let round = net.freeze(Stage::Committing);
    net.servers[2].up = false;
    net.held.clear();
    net.hold = None;
    net.until("a round without it", |n| n.finals() > round);
    net.servers[2].up = true;
    let last = net.finals();
    net.until("all three again", |n| n.finals() > last && n.last().servers.len() == 3);
    net.withdraw(1, FIRST);
    let clients = net.last_roster();
    net.until("a round without a client", |n| n.last_roster() < clients);
    net.stop(0);
    let (mut state, mut of_kind, mut out) =
        (State::new(net.descriptor.clone()), BTreeMap::<_, usize>::new(), vec![]);
    for (_, entry) in &net.log {
        let before = state.clone();
        if state.apply(entry).is_ok() {
            let seen = of_kind.entry(kind(entry)).or_default();
            *seen += 1;
            // The first ones, and one that others stand on.
            if *seen <= 2 || *seen == 5 {
                out.push((before, entry.clone()));
            }
        }
    }
    assert_eq!(of_kind.len(), 14, "every kind of entry is there: {of_kind:?}");
    out
}

#[test]
fn a_flipped_bit_of_any_entry_is_refused_with_its_reason() {
    let mut reasons = BTreeSet::new();
    for (before, entry) in taken() {
        let bytes = encode(&entry);
        let untouched = encode(&before);
        // Every bit of what is short, and of the heads and signatures of what is long.
        let edge = 320.min(bytes.len());
        let places = (0..edge).chain(bytes.len() - edge..bytes.len()).chain((edge..bytes.len()).step_by(97));
        for place in places {
            let mut altered = bytes.clone();
            altered[place] ^= 1 << (place % 8);
            let Ok(altered) = borsh::from_slice::<Entry>(&altered) else { continue };
            let mut after = before.clone();
            let Err(error) = after.apply(&altered) else {
                panic!("byte {place} of a {}: {altered:?}", kind(&entry));
            };
            reasons.insert(error.reason());
            if !matches!(altered, Entry::Fold { .. }) {
                assert_eq!(encode(&after), untouched, "a refused {} changed the state", kind(&entry));
            }
        }
    }
    for reason in ["signature", "not_server", "header", "stage"] {
        assert!(reasons.contains(reason), "{reason} is not among {reasons:?}");
    }
}

#[test]
fn a_cut_or_stretched_entry_is_no_entry() {
    for (_, entry) in taken() {
        let bytes = encode(&entry);
        for len in (0..bytes.len()).step_by(1 + bytes.len() / 300) {
            assert!(borsh::from_slice::<Entry>(&bytes[..len]).is_err(), "{len} bytes of a {}", kind(&entry));
        }
        for more in [1, 8, 70_000] {
            let mut long = bytes.clone();
            long.resize(bytes.len() + more, 0);
            assert!(borsh::from_slice::<Entry>(&long).is_err(), "{more} bytes more on a {}", kind(&entry));
        }
    }
}

#[test]
fn an_entry_said_twice_is_refused_or_changes_nothing() {
    for (mut state, entry) in taken() {
        state.apply(&entry).unwrap();
        let once = encode(&state);
        let again = state.apply(&entry);
        assert_eq!(encode(&state), once, "a second {}: {again:?}", kind(&entry));
        let harmless = matches!(entry, Entry::Alive(_) | Entry::Policy(_) | Entry::Vouch(_));
        assert!(again.is_err() || harmless, "a second {} is taken", kind(&entry));
    }
}

#[test]
fn a_header_that_leaves_an_honest_server_out_is_quiet() {
    // A majority may open a round. Who lacks one of the servers of the record before gets no message out of it (R8), and a
    // client says nothing as long as fewer than m are named, or a pinned one is not.
    let mut net = Net::started(22, 3, 6);
    net.rounds(2);
    net.until("between rounds", |n| n.state().round().is_none());
    let (header, _) = net.state().next_header(net.descriptor.servers[..2].to_vec());
    let mut state = net.state().clone();
    state.apply(&Entry::Open(header)).unwrap();
    let round = state.round().unwrap();
    assert!(round.quiet, "nobody talks in it");
}

#[test]
fn a_header_of_one_server_opens_nothing() {
    let mut net = Net::started(23, 3, 6);
    net.rounds(2);
    net.until("between rounds", |n| n.state().round().is_none());
    let (header, _) = net.state().next_header(net.descriptor.servers[..1].to_vec());
    let error = refused(net.state(), &Entry::Open(header));
    assert!(matches!(error, Refused::Header(HeaderError::Servers(_))), "{error}");
}

#[test]
fn of_two_headers_a_server_signs_the_first_and_never_the_other() {
    let mut net = Net::started(24, 3, 6);
    net.rounds(2);
    net.until("between rounds", |n| n.state().round().is_none());
    // What a leader could show to different followers, or to one after the other: the same round, other servers.
    let shown = |servers: usize| {
        let (header, _) = net.state().next_header(net.descriptor.servers[..servers].to_vec());
        let mut state = net.state().clone();
        state.apply(&Entry::Open(header.clone())).unwrap();
        (state, header)
    };
    let ((first, one), (second, two)) = (shown(3), shown(2));
    assert!(one.round == two.round && one.digest() != two.digest());
    let server = &mut net.servers[1];
    let mut signs = |state: &State, header: &Header, at: u64| {
        let actions = server.core.react(at, state, 1, None);
        actions.iter().any(|action| match action {
            Action::Propose(Entry::HeaderSignature(s)) => {
                let holds = s.server.verify(zipnet_dcnet::header::DOMAIN, &header.digest(), &s.signature);
                assert!(holds.is_ok(), "it signs what it was not shown");
                true
            }
            _ => false,
        })
    };
    assert!(signs(&first, &one, net.now + 2_000));
    assert!(!signs(&second, &two, net.now + 4_000), "another header of the round");
    assert!(signs(&first, &one, net.now + 6_000), "the same one again");
    assert!(!signs(&second, &two, net.now + 8_000));
}
