#![allow(clippy::unwrap_used)]

use futures::poll;
use zeroize::Zeroizing;
use zipnet_dcnet::aggregate::Bitmap;
use zipnet_dcnet::ids::Session;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::roster::Entry;

use super::*;

/// Longer than any test.
const LONG: u32 = 3_000_000;
const CLIENTS: u8 = 4;

fn identity(n: u8) -> Identity {
    Identity::from_seed(Zeroizing::new([n; 32]))
}

fn client(n: u8) -> ClientId {
    ClientId([n; 32])
}

/// An aggregator with this fold window in milliseconds, and the signed headers of rounds 1 and 2 with their roster.
struct Bench {
    folding: Folding,
    headers: Vec<SignedHeader>,
    roster: Roster,
    server: PeerId,
}

fn bench(window: u32) -> Bench {
    let mut servers: Vec<Identity> = (1..=3).map(identity).collect();
    servers.sort_by_key(Identity::peer_id);
    let ids: Vec<PeerId> = servers.iter().map(Identity::peer_id).collect();
    let params = Params {
        slots: 1,
        cells: 3,
        fold_deadline_ms: window,
        round_period_ms: window + 1,
        round_deadline_ms: window + 2,
        ..Params::standard(3)
    };
    let descriptor = Descriptor::new("test", params, ids.clone()).unwrap();
    let session: Session = [7; 32];
    let entry = |n| Entry { client: client(n), session, vouches: vec![[n; 32]; 2] };
    let roster = Roster::new((0..CLIENTS).map(entry).collect()).unwrap();
    let aggregator = identity(9);
    let header = |round| Header {
        deployment: descriptor.id(),
        round,
        prev: descriptor.id().0,
        // Not the third.
        servers: ids[..2].to_vec(),
        aggregators: vec![aggregator.peer_id()],
        roster: roster.digest(),
        roster_len: CLIENTS.into(),
    };
    let signed = |round| {
        let header = header(round);
        let signatures = servers[..2].iter().map(|s| header.sign(s)).collect();
        SignedHeader { header, signatures }
    };
    let headers = vec![signed(1), signed(2)];
    let folding = Folding::new(Arc::new(aggregator), descriptor);
    Bench { folding, headers, roster, server: ids[0] }
}

impl Bench {
    fn open(&self, round: usize) {
        self.folding.open(&self.headers[round - 1], self.roster.clone());
    }

    fn envelope(&self, round: u64, index: u32) -> Envelope {
        let vector = vec![1 << index; self.folding.descriptor.params.vector_bytes()];
        Envelope { round, index, vector }
    }

    async fn send(&self, round: u64, from: u8) -> Result<(), Refused> {
        self.folding.envelope(client(from), self.envelope(round, from.into())).await
    }

    fn call(&self, round: usize, within_ms: u32) -> AggregateCall {
        let header_digest = self.headers[round - 1].header.digest();
        AggregateCall { header_digest, within_ms, without: Bitmap::new(CLIENTS.into()) }
    }

    async fn ask(&self, round: usize, within_ms: u32) -> Result<Aggregate, Refused> {
        let signed = self.folding.aggregate(self.server, &self.call(round, within_ms)).await?;
        Ok(signed.verify().unwrap().clone())
    }
}

fn indexes(aggregate: &Aggregate) -> Vec<u32> {
    let all: Vec<u32> = aggregate.participants.ones().collect();
    let xor = all.iter().fold(0, |xor, i| xor ^ (1 << i));
    assert!(aggregate.vector.iter().all(|byte| *byte == xor), "the vector is not the XOR of {all:?}");
    all
}

#[tokio::test]
async fn an_envelope_is_taken_once_and_from_the_peer_of_its_entry() {
    let b = bench(LONG);
    b.open(1);
    b.send(1, 0).await.unwrap();
    assert_eq!(b.send(1, 0).await, Err(Refused::Fold(FoldError::Twice(0))));
    let stolen = b.folding.envelope(client(2), b.envelope(1, 1)).await;
    assert_eq!(stolen, Err(Refused::NotYours(1)));
    let outside = b.folding.envelope(client(2), b.envelope(1, u32::from(CLIENTS))).await;
    assert_eq!(outside, Err(Refused::Fold(FoldError::OutsideRoster { index: 4, len: 4 })));
    let short = Envelope { vector: vec![0; 3], ..b.envelope(1, 1) };
    let short = b.folding.envelope(client(1), short).await;
    assert!(matches!(short, Err(Refused::Fold(FoldError::Length { given: 3, .. }))));
    // None of these changed the fold.
    assert_eq!(indexes(&b.ask(1, 0).await.unwrap()), [0]);
}

#[tokio::test]
async fn an_envelope_of_another_round_is_refused() {
    let b = bench(LONG);
    b.open(1);
    b.open(2);
    assert_eq!(b.send(1, 0).await, Err(Refused::NotOpen(1)));
    // Ahead of every header, and none comes.
    assert_eq!(b.send(3, 0).await, Err(Refused::NotOpen(3)));
    // An older header does not come back.
    b.open(1);
    b.send(2, 0).await.unwrap();
}

#[tokio::test]
async fn an_envelope_that_is_ahead_of_the_header_waits_for_it() {
    let b = bench(LONG);
    let mut early = Box::pin(b.send(1, 0));
    assert!(poll!(&mut early).is_pending());
    b.open(1);
    early.await.unwrap();
    let mut early = Box::pin(b.send(2, 1));
    assert!(poll!(&mut early).is_pending());
    b.open(2);
    early.await.unwrap();
    assert_eq!(indexes(&b.ask(2, 0).await.unwrap()), [1]);
}

#[tokio::test]
async fn an_aggregate_of_the_whole_roster_comes_at_once() {
    let b = bench(LONG);
    b.open(1);
    for n in 1..CLIENTS {
        b.send(1, n).await.unwrap();
    }
    let mut all = Box::pin(b.ask(1, LONG));
    assert!(poll!(&mut all).is_pending(), "one is missing");
    b.send(1, 0).await.unwrap();
    let aggregate = all.await.unwrap();
    assert_eq!(indexes(&aggregate), [0, 1, 2, 3]);
    assert_eq!(aggregate.deployment, b.folding.deployment());
    assert_eq!((aggregate.round, aggregate.header_digest), (1, b.headers[0].header.digest()));
}

#[tokio::test]
async fn an_aggregate_at_the_deadline_has_who_was_there_and_nobody_comes_after() {
    let b = bench(1);
    b.open(1);
    b.send(1, 2).await.unwrap();
    b.send(1, 0).await.unwrap();
    assert_eq!(indexes(&b.ask(1, 5).await.unwrap()), [0, 2]);
    assert_eq!(b.send(1, 1).await, Err(Refused::Folded(1)));
    // Asked again, it says the same.
    assert_eq!(indexes(&b.ask(1, 0).await.unwrap()), [0, 2]);
    b.open(2);
    b.send(2, 1).await.unwrap();
}

#[tokio::test]
async fn a_server_that_asks_before_the_deadline_does_not_shrink_the_round() {
    let b = bench(LONG);
    b.open(1);
    b.send(1, 0).await.unwrap();
    assert_eq!(indexes(&b.ask(1, 0).await.unwrap()), [0]);
    for n in 1..CLIENTS {
        b.send(1, n).await.unwrap();
    }
    assert_eq!(indexes(&b.ask(1, LONG).await.unwrap()), [0, 1, 2, 3]);
}

#[tokio::test]
async fn entries_that_another_brought_are_left_out() {
    let b = bench(LONG);
    b.open(1);
    for n in 0..CLIENTS {
        b.send(1, n).await.unwrap();
    }
    let mut call = b.call(1, LONG);
    call.without.set(1);
    call.without.set(3);
    let signed = b.folding.aggregate(b.server, &call).await.unwrap();
    assert_eq!(indexes(signed.verify().unwrap()), [0, 2]);
    // A bitmap of another length, as only a stranger would send it.
    call.without = Bitmap::new(90);
    call.without.set(2);
    call.without.set(80);
    let signed = b.folding.aggregate(b.server, &call).await.unwrap();
    assert_eq!(indexes(signed.verify().unwrap()), [0, 1, 3]);
}

#[tokio::test]
async fn only_a_server_of_the_header_may_ask() {
    let b = bench(LONG);
    b.open(1);
    let third = b.folding.descriptor().servers[2];
    for stranger in [third, identity(9).peer_id(), PeerId([0; 32])] {
        let refused = b.folding.aggregate(stranger, &b.call(1, LONG)).await;
        assert_eq!(refused.err(), Some(Refused::NotServer(stranger)));
    }
}

#[tokio::test]
async fn an_unknown_header_is_waited_for_until_the_deadline() {
    let b = bench(LONG);
    assert_eq!(b.ask(1, 1).await.err(), Some(Refused::UnknownHeader));
    b.open(1);
    assert_eq!(b.ask(2, 1).await.err(), Some(Refused::UnknownHeader));
    let mut early = Box::pin(b.ask(2, LONG));
    assert!(poll!(&mut early).is_pending());
    b.open(2);
    assert!(poll!(&mut early).is_pending(), "nobody is in yet");
    for n in 0..CLIENTS {
        b.send(2, n).await.unwrap();
    }
    assert_eq!(indexes(&early.await.unwrap()), [0, 1, 2, 3]);
    // Asked for, and overtaken by the next.
    assert_eq!(b.ask(1, 0).await.err(), Some(Refused::UnknownHeader));
}

#[tokio::test]
async fn a_round_that_is_overtaken_ends_the_wait() {
    let b = bench(LONG);
    b.open(1);
    b.send(1, 0).await.unwrap();
    let mut waiting = Box::pin(b.ask(1, LONG));
    assert!(poll!(&mut waiting).is_pending());
    b.open(2);
    assert_eq!(waiting.await.err(), Some(Refused::UnknownHeader));
}
