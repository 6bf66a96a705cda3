//! Malformed input never panics and never loops: every type that comes from others, decoded from arbitrary and from damaged
//! bytes and then put through everything that is done with it.

use borsh::{BorshDeserialize, BorshSerialize};
use proptest::prelude::*;
use zipnet_dcnet::aggregate::{Aggregate, Bitmap, Fold};
use zipnet_dcnet::chain::MAX_STEPS;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::header::{Header, SignedHeader};
use zipnet_dcnet::ids::Bundle;
use zipnet_dcnet::partial::{Commitment, Partial};
use zipnet_dcnet::record::{Record, SignedRecord, finalize, owned_slots};
use zipnet_dcnet::register::{Pending, answer};
use zipnet_dcnet::roster::{Roster, RosterDelta};
use zipnet_dcnet::seal::{Content, Envelope};
use zipnet_dcnet::signed::{Signed, Statement, encode};
use zipnet_dcnet::statement::{Disclosure, Lapse, Policy, Vouch};
use zipnet_dcnet::wire::{
    Abandoned, AggregateCall, Ended, Event, EventsCall, RecordsCall, RecordsReply, RegisterCall,
    RegisterReply, RosterCall, RosterUpdate,
};

use crate::common::{Dice, Network, register, small};

/// What the checks compare with: an honest network after a round, with the next one open.
struct World {
    net: Network,
    roster: Roster,
    header: Header,
    record: SignedRecord,
}

fn world() -> World {
    let mut net = Network::new(small(3), 3, 4, 21);
    let (roster, members) = net.roster(0..4);
    let contents = [1, 2, 3, 4].map(|t: u32| Some(Content { token: t.try_into().ok(), message: None }));
    net.play(&roster, &members, &contents, false);
    let said: [&[u8]; 4] = [b"a", b"b", b"c", b""];
    let contents: [_; 4] =
        std::array::from_fn(|i| Some(Content { token: None, message: Some((i as u32, said[i])) }));
    let record = net.play(&roster, &members, &contents, false);
    let (header, record) = (net.header(&roster), net.sign_record(&record));
    World { net, roster, header, record }
}

fn statement<T: Statement + BorshDeserialize + Clone>(bytes: &[u8]) {
    decode::<Signed<T>>(bytes).inspect(|v| drop(v.verify().cloned()));
}

/// Decodes; what decodes is encoded to the same bytes again.
fn decode<T: BorshDeserialize + BorshSerialize>(bytes: &[u8]) -> Option<T> {
    let value = borsh::from_slice::<T>(bytes).ok()?;
    assert_eq!(encode(&value), bytes, "two encodings of one value");
    Some(value)
}

impl World {
    fn header(&self, header: &SignedHeader) {
        let _ = header.verify(&self.net.descriptor, &self.net.id);
        let _ = header.header.is_quiet(Some(&self.record.record));
        let owned = owned_slots(
            self.net.params(),
            &header.header,
            Some((&self.record.record, &self.record.record.digest())),
        );
        assert!(owned <= self.net.params().slots);
        if header.header.check(&self.net.descriptor, &self.net.id).is_ok() {
            // The bitmap of a header that passes is small.
            assert!(Fold::new(self.net.params(), &header.header).participants.len() <= 1 << 17);
        }
    }

    fn record(&self, signed: &SignedRecord) {
        let record = &signed.record;
        let digest = record.digest();
        let owned = owned_slots(
            self.net.params(),
            &Header { prev: digest, ..self.header.clone() },
            Some((record, &digest)),
        );
        assert!(owned <= self.net.params().slots);
        let _ = self.header.is_quiet(Some(record));
        let _ = (record.message(0), record.message(u32::MAX), record.count());
        if let Ok((_, true)) = signed.verify(&self.net.descriptor, &self.net.id) {
            assert_eq!(*record, self.record.record, "a record with all signatures is the honest one");
        }
    }

    fn ended(&self, ended: &Ended) {
        let _ = ended.round();
        match ended {
            Ended::Final(record) => self.record(record),
            Ended::Abandoned(abandoned) => abandoned.disclosures.iter().for_each(|d| drop(d.verify())),
        }
    }

    fn roster(&self, roster: &Roster) {
        let _ = roster.digest();
        if roster.is_canonical() {
            let delta = self.roster.delta(roster);
            assert_eq!(roster.apply(&delta).as_ref(), Some(&self.roster));
        }
        for entry in roster.entries() {
            let _ = roster.index(&entry.client);
        }
    }

    fn delta(&self, delta: &RosterDelta) {
        if let Some(roster) = self.roster.apply(delta) {
            assert!(roster.is_canonical());
        }
    }

    fn bitmap(&self, bitmap: &Bitmap) {
        let _ = (bitmap.get(0), bitmap.get(u32::MAX), bitmap.is_empty());
        if bitmap.is_canonical() && bitmap.len() == self.roster.entries().len() as u32 {
            let mut union = Bitmap::new(bitmap.len());
            union.union(bitmap);
            assert_eq!(union.ones().count() as u32, bitmap.count());
            assert!(!union.overlaps(&Bitmap::new(bitmap.len())));
        }
    }

    fn aggregate(&self, aggregate: &Signed<Aggregate>) {
        let _ = aggregate.verify();
        let mut fold = Fold::new(self.net.params(), &self.header);
        let before = fold.clone();
        match fold.merge(&self.header, aggregate.trusted()) {
            Ok(()) => drop((fold.digest(), fold.check_count(self.net.params()))),
            Err(_) => assert_eq!(fold, before, "a refused aggregate changes nothing"),
        }
    }

    fn envelope(&self, envelope: &Envelope) {
        let mut fold = Fold::new(self.net.params(), &self.header);
        let before = fold.clone();
        if fold.add(envelope).is_err() {
            assert_eq!(fold, before, "a refused envelope changes nothing");
        } else {
            assert!(fold.add(envelope).is_err());
        }
    }

    fn register(&self, call: &RegisterCall) {
        if let RegisterCall::Register(request) = call {
            let server = &self.net.servers[0].identity;
            let _ = answer(server, self.net.id, server.peer_id().0, 1, request, &Dice::new(1).secret());
        }
    }

    fn registered(&self, reply: &RegisterReply) {
        if let RegisterReply::Answer(answer) = reply
            && let Ok((mut chain, _)) = self.pending().0.finish(&self.net.clients[0].identity, answer)
        {
            let at = chain.at();
            let _ = chain.advance(u64::MAX);
            let _ = chain.take(at.saturating_add(3), &[0; 32]);
        }
    }

    fn pending(&self) -> (Pending, Signed<zipnet_dcnet::register::Request>) {
        let server = self.net.servers[0].identity.peer_id();
        let random = Dice::new(2).secret();
        let client = &self.net.clients[0].identity;
        Pending::new(client, self.net.id, server, server.0, [1; 32], vec![1, 2, 3], &random)
    }

    /// Everything that is done with bytes from others, by the type they are taken for.
    fn take_all(&self, bytes: &[u8]) {
        self.take_wire(bytes);
        decode::<Envelope>(bytes).inspect(|v| self.envelope(v));
        decode::<SignedHeader>(bytes).inspect(|v| self.header(v));
        decode::<SignedRecord>(bytes).inspect(|v| self.record(v));
        decode::<Bitmap>(bytes).inspect(|v| self.bitmap(v));
        decode::<RosterDelta>(bytes).inspect(|v| self.delta(v));
        decode::<Descriptor>(bytes).inspect(|v| drop((v.check(), v.id())));
        decode::<Bundle>(bytes).inspect(|v| drop(v.client_id().to_string()));
        decode::<Signed<Commitment>>(bytes).inspect(|v| drop(v.verify().cloned()));
        decode::<Signed<Partial>>(bytes).inspect(|v| drop(v.verify().map(Partial::commitment)));
        statement::<Vouch>(bytes);
        statement::<Lapse>(bytes);
        statement::<Disclosure>(bytes);
        statement::<Policy>(bytes);
    }

    fn take_wire(&self, bytes: &[u8]) {
        decode::<RegisterCall>(bytes).inspect(|v| self.register(v));
        decode::<RegisterReply>(bytes).inspect(|v| self.registered(v));
        decode::<EventsCall>(bytes);
        decode::<RosterCall>(bytes);
        decode::<RecordsCall>(bytes);
        decode::<Roster>(bytes).inspect(|v| self.roster(v));
        decode::<RecordsReply>(bytes).inspect(|v| v.items.iter().for_each(|e| self.ended(e)));
        decode::<AggregateCall>(bytes).inspect(|v| self.bitmap(&v.without));
        decode::<Signed<Aggregate>>(bytes).inspect(|v| self.aggregate(v));
        decode::<Event>(bytes).inspect(|v| match v {
            Event::Open { header, roster } => {
                self.header(header);
                if let RosterUpdate::Delta(delta) = roster {
                    self.delta(delta);
                }
            }
            Event::Ended(ended) => self.ended(ended),
            Event::Boot(_) => {}
        });
    }

    /// An honest value of every type, as bytes.
    fn samples(&self) -> Vec<Vec<u8>> {
        let server = &self.net.servers[0].identity;
        let (deployment, name) = (self.net.id, server.peer_id());
        let header = self.net.sign_header(&self.header);
        let (header_digest, aggregate_digest) = (self.header.digest(), [1; 32]);
        let (_, request) = self.pending();
        let random = Dice::new(3).secret();
        let (_, reply) = answer(server, deployment, name.0, 9, &request, &random).unwrap();
        let fold = Fold::new(self.net.params(), &self.header);
        let aggregate = self.net.aggregate(&self.header, &self.net.aggregators[0], &fold);
        let vector = vec![3; self.net.params().vector_bytes()];
        let (other, _) = self.net.roster([0, 2].into_iter());
        let delta = self.roster.delta(&other);
        let disclosure = Disclosure { deployment, server: name, round: 3, header_digest, revealed: false };
        let abandoned =
            Abandoned { round: 3, header_digest, disclosures: vec![Signed::new(server, disclosure.clone())] };
        let ended = [Ended::Final(Box::new(self.record.clone())), Ended::Abandoned(abandoned)];
        let client = self.net.clients[0].identity.client_bundle();
        let round = self.header.round;
        let commitment = Commitment {
            deployment,
            round,
            server: name,
            header_digest,
            aggregate_digest,
            commitment: [2; 32],
        };
        let partial = Partial {
            deployment,
            round,
            server: name,
            header_digest,
            aggregate_digest,
            nonce: [4; 32],
            vector: vector.clone(),
        };
        let open = |roster| encode(&Event::Open { header: Box::new(header.clone()), roster });
        vec![
            encode(&RegisterCall::Boot),
            encode(&RegisterCall::Register(Box::new(request))),
            encode(&RegisterReply::Boot([1; 32], server.server_bundle())),
            encode(&RegisterReply::Answer(Box::new(reply))),
            encode(&EventsCall { roster: [0; 32] }),
            open(RosterUpdate::Same),
            open(RosterUpdate::Delta(delta.clone())),
            open(RosterUpdate::Fetch),
            encode(&Event::Ended(ended[0].clone())),
            encode(&Event::Ended(ended[1].clone())),
            encode(&Event::Boot([2; 32])),
            encode(&RosterCall { digest: self.roster.digest() }),
            encode(&self.roster),
            encode(&delta),
            encode(&RecordsCall { from: 1, limit: 10 }),
            encode(&RecordsReply { earliest: 1, latest: 3, items: ended.to_vec() }),
            encode(&AggregateCall { header_digest, within_ms: 5, without: fold.participants.clone() }),
            encode(&aggregate),
            encode(&Envelope { round, index: 2, vector }),
            encode(&header),
            encode(&self.record),
            encode(&self.net.descriptor),
            encode(&fold.participants),
            encode(&Signed::new(server, commitment)),
            encode(&Signed::new(server, partial)),
            encode(&Signed::new(
                server,
                Vouch { deployment, server: name, boot: [1; 32], client, session: [2; 32], digest: [3; 32] },
            )),
            encode(&Signed::new(
                server,
                Lapse { deployment, server: name, boot: [1; 32], bundle: server.server_bundle() },
            )),
            encode(&Signed::new(server, disclosure)),
            encode(&Signed::new(server, Policy { deployment, server: name, aggregators: vec![name] })),
        ]
    }
}

/// A way to damage bytes.
#[derive(Clone, Debug)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Extend(Vec<u8>),
    Length(prop::sample::Index, u32),
    Remove(prop::sample::Index),
    Max(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), 1..=255_u8).prop_map(|(i, b)| Damage::Flip(i, b)),
        at().prop_map(Damage::Cut),
        proptest::collection::vec(any::<u8>(), 1..9).prop_map(Damage::Extend),
        (at(), prop_oneof![any::<u32>(), Just(u32::MAX), 0..9_u32]).prop_map(|(i, n)| Damage::Length(i, n)),
        at().prop_map(Damage::Remove),
        at().prop_map(Damage::Max),
    ]
}

impl Damage {
    fn apply(self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        // Three of four go where the lengths, rounds and indexes are: at the start.
        let near = |i: prop::sample::Index| i.index(len.min(400));
        match self {
            Self::Flip(i, b) => bytes[near(i)] ^= b,
            Self::Cut(i) => bytes.truncate(i.index(len)),
            Self::Extend(more) => bytes.extend(more),
            Self::Length(i, n) => {
                let at = near(i);
                let end = (at + 4).min(len);
                bytes[at..end].copy_from_slice(&n.to_le_bytes()[..end - at]);
            }
            Self::Remove(i) => drop(bytes.remove(i.index(len))),
            Self::Max(i) => {
                let at = near(i);
                let end = (at + 8).min(len);
                bytes[at..end].fill(0xff);
            }
        }
    }
}

#[test]
fn honest_values_pass_their_own_checks() {
    let world = world();
    let samples = world.samples();
    for sample in &samples {
        world.take_all(sample);
        for at in [0, sample.len() / 2, sample.len() - 1] {
            world.take_all(&sample[..at]);
        }
    }
    world.net.sign_header(&world.header).verify(&world.net.descriptor, &world.net.id).unwrap();
    assert!(world.record.verify(&world.net.descriptor, &world.net.id).unwrap().1);
    assert_eq!(world.record.record.messages.len(), 4);
}

#[test]
fn the_last_round_there_is_does_not_overflow() {
    let world = world();
    let last = Record { round: u64::MAX, ..world.record.record.clone() };
    let digest = last.digest();
    let header = Header { round: 0, prev: digest, ..world.header.clone() };
    assert_eq!(owned_slots(world.net.params(), &header, Some((&last, &digest))), 0);
    assert!(header.is_quiet(Some(&last)));
}

#[test]
fn a_server_that_starts_a_chain_anywhere_costs_a_bounded_time() {
    let mut dice = Dice::new(4);
    let world = world();
    let (c, s) = (&world.net.clients[0].identity, &world.net.servers[0].identity);
    for start in [0, 1, u64::MAX - MAX_STEPS, u64::MAX] {
        let (mut chain, ..) = register(c, s, world.net.id, [8; 32], start, &mut dice);
        for round in [0, 5, 1 << 40, u64::MAX] {
            let _ = chain.advance(round);
            let _ = chain.take(round, &[0; 32]);
        }
    }
}

#[test]
fn arbitrary_and_damaged_bytes_never_panic() {
    let world = world();
    let samples = world.samples();
    let config = ProptestConfig { cases: 6_000, failure_persistence: None, ..ProptestConfig::default() };
    let damaged = (any::<prop::sample::Index>(), proptest::collection::vec(damage(), 1..4));
    let mut runner = proptest::test_runner::TestRunner::new(config.clone());
    let result = runner.run(&damaged, |(which, damages)| {
        let mut bytes = which.get(&samples).clone();
        for damage in damages {
            damage.apply(&mut bytes);
        }
        world.take_all(&bytes);
        Ok(())
    });
    result.unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let result = runner.run(&proptest::collection::vec(any::<u8>(), 0..600), |bytes| {
        world.take_all(&bytes);
        Ok(())
    });
    result.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever hostile clients put into the vector, the record that comes out is a well-formed one.
    #[test]
    fn any_vector_gives_a_record_that_passes_its_checks(
        seed: u64, owned in 0..=8_u32, zeros in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let net = Network::new(small(1), 1, 3, 1);
        let (roster, _) = net.roster(0..3);
        let header = net.header(&roster);
        let params = net.params();
        let mut fold = Fold::new(params, &header);
        fold.participants = crate::common::bits(3, 0..3);
        fold.vector = Dice::new(seed).vec(params.vector_bytes());
        for slot in zeros {
            let slot = slot.index(params.slots as usize) as u32;
            fold.vector[zipnet_dcnet::slot::range(params, slot)].fill(0);
        }
        let record = finalize(params, &header, owned, &fold, &[]);
        record.check(&net.descriptor, &net.id).unwrap();
        prop_assert!(record.messages.is_empty(), "random bytes carry no tag");
        prop_assert!(record.garbled.len() <= owned as usize);
    }
}
