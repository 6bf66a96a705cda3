//! An honest network, an honest value of every type that travels, and everything that is done with bytes from others. The
//! crate `fuzz/` uses it too.

use borsh::{BorshDeserialize, BorshSerialize};
use zipnet_dcnet::aggregate::{Aggregate, Bitmap, Fold};
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::header::{Header, SignedHeader};
use zipnet_dcnet::ids::Bundle;
use zipnet_dcnet::partial::{Commitment, Partial};
use zipnet_dcnet::receipt::Receipt;
use zipnet_dcnet::record::{SignedRecord, owned_slots};
use zipnet_dcnet::register::{Pending, answer};
use zipnet_dcnet::roster::{Roster, RosterDelta};
use zipnet_dcnet::seal::{Content, Envelope};
use zipnet_dcnet::signed::{Signed, Statement, encode};
use zipnet_dcnet::statement::{Disclosure, Lapse, Policy, Vouch};
use zipnet_dcnet::wire::{
    Abandoned, AggregateCall, Ended, Event, EventsCall, RecordsCall, RecordsReply, RegisterCall,
    RegisterReply, RosterCall, RosterUpdate,
};

use crate::common::{Dice, Network, small};

/// What the checks compare with: an honest network after a round, with the next one open.
pub(crate) struct World {
    pub(crate) net: Network,
    pub(crate) roster: Roster,
    pub(crate) header: Header,
    pub(crate) record: SignedRecord,
}

pub(crate) fn world() -> World {
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
    pub(crate) fn take_all(&self, bytes: &[u8]) {
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

    /// The receipt of the last record's message in this slot, and what it shows.
    pub(crate) fn receipt(&self, slot: u32) -> Receipt {
        let header = Some(self.net.sign_header(&self.header));
        let (descriptor, record) = (self.net.descriptor.clone(), self.record.clone());
        Receipt {
            version: zipnet_dcnet::receipt::VERSION,
            descriptor,
            slot,
            record,
            above: Vec::new(),
            header,
        }
    }

    /// A receipt from a stranger: what it shows of our deployment is in the record.
    pub(crate) fn take_receipt(&self, bytes: &[u8]) {
        let Some(receipt) = decode::<Receipt>(bytes) else { return };
        if let Ok(shown) = receipt.verify()
            && shown.deployment == self.net.id
        {
            let said = self.record.record.message(shown.slot);
            assert_eq!(said, Some(&shown.payload[..]), "a forged receipt convinces");
        }
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
    pub(crate) fn samples(&self) -> Vec<Vec<u8>> {
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
            encode(&RegisterCall::Boot([5; 32])),
            encode(&RegisterCall::Register(Box::new(request))),
            encode(&RegisterReply::Boot([1; 32], server.server_bundle(), true)),
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
                Lapse {
                    deployment,
                    server: name,
                    boot: [1; 32],
                    after: [0; 32],
                    bundle: server.server_bundle(),
                },
            )),
            encode(&Signed::new(server, disclosure)),
            encode(&Signed::new(server, Policy { deployment, server: name, aggregators: vec![name] })),
        ]
    }
}
