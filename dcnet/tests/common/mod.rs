//! A whole network as arithmetic: identities, registration, and one call per step of a round (section 4).

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;
use zipnet_dcnet::aggregate::{Aggregate, Bitmap, Fold};
use zipnet_dcnet::chain::Chain;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::header::{Header, SignedHeader};
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{ClientId, DeploymentId, PeerId, Session};
use zipnet_dcnet::pad;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::partial::{Commitment, Partial};
use zipnet_dcnet::record::{Record, SignedRecord, finalize, owned_slots};
use zipnet_dcnet::register::{Pending, answer};
use zipnet_dcnet::roster::{Entry, Roster};
use zipnet_dcnet::seal::{Content, Envelope, seal};
use zipnet_dcnet::signed::{Signed, encode};

/// Randomness of a test, from a seed.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        self.0.fill_bytes(&mut out);
        out
    }

    pub(crate) fn secret(&mut self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.bytes())
    }

    pub(crate) fn vec(&mut self, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        self.0.fill_bytes(&mut out);
        out
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n as u64) as usize
    }

    pub(crate) fn token(&mut self) -> std::num::NonZeroU32 {
        self.0.next_u32().try_into().unwrap_or(std::num::NonZeroU32::MIN)
    }
}

/// A small round: 256 cells and 64 slots of 64 bytes.
pub(crate) fn small(servers: u32) -> Params {
    Params { slot_bytes: 64, min_participants: 2, min_anonymity: 2, ..Params::standard(servers) }
}

/// A client with its chains, one per server in the descriptor's order.
pub(crate) struct Client {
    pub(crate) identity: Identity,
    pub(crate) id: ClientId,
    pub(crate) session: Session,
    pub(crate) chains: Vec<Chain>,
    pub(crate) vouches: Vec<[u8; 32]>,
}

/// A server with its chains, one per client.
pub(crate) struct Server {
    pub(crate) identity: Identity,
    pub(crate) chains: Vec<Chain>,
}

/// Everybody.
pub(crate) struct Network {
    pub(crate) descriptor: Descriptor,
    pub(crate) id: DeploymentId,
    pub(crate) servers: Vec<Server>,
    pub(crate) aggregators: Vec<Identity>,
    pub(crate) clients: Vec<Client>,
    pub(crate) round: u64,
    pub(crate) prev: Option<Record>,
    pub(crate) dice: Dice,
}

fn identities(count: usize, dice: &mut Dice) -> Vec<Identity> {
    let mut out: Vec<_> = (0..count).map(|_| Identity::from_seed(dice.secret())).collect();
    out.sort_by_key(Identity::peer_id);
    out
}

/// The registration of one client with one server, both sides.
pub(crate) fn register(
    client: &Identity,
    server: &Identity,
    id: DeploymentId,
    session: Session,
    start: u64,
    dice: &mut Dice,
) -> (Chain, Chain, [u8; 32]) {
    let boot = server.peer_id().0;
    let (pending, request) =
        Pending::new(client, id, server.peer_id(), boot, session, Vec::new(), &dice.secret());
    let (theirs, reply) = answer(server, id, boot, start, &request, &dice.secret()).unwrap();
    let (ours, vouch) = pending.finish(client, &reply).unwrap();
    (ours, theirs, vouch)
}

impl Network {
    /// Everybody registered with everybody, by the key agreement of R2.
    pub(crate) fn new(params: Params, servers: usize, clients: usize, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let committee = identities(servers, &mut dice);
        let aggregators = identities(2, &mut dice);
        let names = committee.iter().map(Identity::peer_id).collect();
        let descriptor = Descriptor::new("test", params, names).unwrap();
        let id = descriptor.id();
        let mut servers: Vec<_> =
            committee.into_iter().map(|identity| Server { identity, chains: Vec::new() }).collect();
        let clients = (0..clients)
            .map(|_| {
                let identity = Identity::from_seed(dice.secret());
                let session = dice.bytes();
                let (mut chains, mut vouches) = (Vec::new(), Vec::new());
                for server in &mut servers {
                    let (ours, theirs, vouch) =
                        register(&identity, &server.identity, id, session, 1, &mut dice);
                    chains.push(ours);
                    server.chains.push(theirs);
                    vouches.push(vouch);
                }
                let id = identity.client_bundle().client_id();
                Client { identity, id, session, chains, vouches }
            })
            .collect();
        Self { descriptor, id, servers, aggregators, clients, round: 0, prev: None, dice }
    }

    pub(crate) fn params(&self) -> &Params {
        &self.descriptor.params
    }

    fn entry(&self, client: usize) -> Entry {
        let c = &self.clients[client];
        Entry { client: c.id, session: c.session, vouches: c.vouches.clone() }
    }

    /// The roster of these clients, and at each roster index which client it is.
    pub(crate) fn roster(&self, clients: impl Iterator<Item = usize>) -> (Roster, Vec<usize>) {
        let mut sorted: Vec<_> = clients.map(|c| (self.clients[c].id, c)).collect();
        sorted.sort_unstable();
        let members: Vec<_> = sorted.into_iter().map(|(_, c)| c).collect();
        let roster = Roster::new(members.iter().map(|c| self.entry(*c)).collect()).unwrap();
        (roster, members)
    }

    /// The header of the next round.
    pub(crate) fn header(&self, roster: &Roster) -> Header {
        Header {
            deployment: self.id,
            round: self.round + 1,
            prev: self.prev.as_ref().map_or(self.id.0, Record::digest),
            servers: self.descriptor.servers.clone(),
            aggregators: self.aggregators.iter().map(Identity::peer_id).collect(),
            roster: roster.digest(),
            roster_len: roster.entries().len() as u32,
        }
    }

    pub(crate) fn sign_header(&self, header: &Header) -> SignedHeader {
        let signatures = self.servers.iter().map(|s| header.sign(&s.identity)).collect();
        SignedHeader { header: header.clone(), signatures }
    }

    pub(crate) fn sign_record(&self, record: &Record) -> SignedRecord {
        let sign = |s: &Server| (s.identity.peer_id(), record.sign(&s.identity));
        SignedRecord { record: record.clone(), signatures: self.servers.iter().map(sign).collect() }
    }

    /// A client's envelope; `index` is its place in the roster.
    pub(crate) fn seal(
        &mut self,
        header: &Header,
        index: u32,
        client: usize,
        content: &Content<'_>,
    ) -> Envelope {
        let digest = header.digest();
        let keys = self.clients[client]
            .chains
            .iter_mut()
            .map(|chain| chain.take(header.round, &digest).unwrap())
            .collect();
        let vector = seal(self.params(), &digest, keys, content).unwrap();
        Envelope { round: header.round, index, vector }
    }

    /// Folds the envelopes through both aggregators, in turn, as signed aggregates.
    pub(crate) fn fold(&self, header: &Header, envelopes: &[Envelope]) -> Fold {
        let mut fold = Fold::new(self.params(), header);
        for (i, aggregator) in self.aggregators.iter().enumerate() {
            let mut part = Fold::new(self.params(), header);
            envelopes.iter().skip(i).step_by(2).for_each(|e| part.add(e).unwrap());
            let aggregate = self.aggregate(header, aggregator, &part);
            fold.merge(header, aggregate.verify().unwrap()).unwrap();
        }
        fold
    }

    pub(crate) fn aggregate(&self, header: &Header, aggregator: &Identity, part: &Fold) -> Signed<Aggregate> {
        let aggregate = Aggregate {
            deployment: self.id,
            round: header.round,
            header_digest: header.digest(),
            aggregator: aggregator.peer_id(),
            participants: part.participants.clone(),
            vector: part.vector.clone(),
        };
        Signed::new(aggregator, aggregate)
    }

    /// What server number `server` reveals for this fold; moves its chains of all `members` past the round.
    pub(crate) fn partial(
        &mut self,
        header: &Header,
        members: &[usize],
        fold: &Fold,
        server: usize,
    ) -> Partial {
        let digest = header.digest();
        let (bytes, nonce) = (self.params().vector_bytes(), self.dice.bytes());
        let server = &mut self.servers[server];
        let mut keys = Vec::new();
        for (index, client) in members.iter().enumerate() {
            let key = server.chains[*client].take(header.round, &digest).unwrap();
            if fold.participants.get(index as u32) {
                keys.push(key);
            }
        }
        Partial {
            deployment: self.id,
            round: header.round,
            server: server.identity.peer_id(),
            header_digest: fold.header_digest,
            aggregate_digest: fold.digest(),
            nonce,
            vector: pad::sum(&keys, bytes).to_vec(),
        }
    }

    /// A whole round: who is in the roster, who of them takes part with what. With `signed`, every signature is made and
    /// checked on the way.
    pub(crate) fn play(
        &mut self,
        roster: &Roster,
        members: &[usize],
        contents: &[Option<Content<'_>>],
        signed: bool,
    ) -> Record {
        let header = self.header(roster);
        if signed {
            let digest = self.sign_header(&header).verify(&self.descriptor, &self.id).unwrap();
            assert_eq!(digest, header.digest());
        }
        let envelopes: Vec<_> = (0..members.len())
            .filter_map(|i| Some((i, contents[i].as_ref()?)))
            .map(|(i, content)| self.seal(&header, i as u32, members[i], content))
            .collect();
        let fold = self.fold(&header, &envelopes);
        let partials: Vec<_> =
            (0..self.servers.len()).map(|s| self.partial(&header, members, &fold, s)).collect();
        if signed {
            self.check_partials(&partials);
        }
        let record = self.finalize(&header, &fold, &partials);
        if signed && fold.check_count(self.params()).is_ok() {
            let (digest, counts) = self.sign_record(&record).verify(&self.descriptor, &self.id).unwrap();
            assert!(counts && digest == record.digest());
        }
        self.round = header.round;
        self.prev = Some(record.clone());
        record
    }

    pub(crate) fn finalize(&self, header: &Header, fold: &Fold, partials: &[Partial]) -> Record {
        let digest = self.prev.as_ref().map(Record::digest);
        let owned = owned_slots(self.params(), header, self.prev.as_ref().zip(digest.as_ref()));
        let vectors: Vec<&[u8]> = partials.iter().map(|p| &p.vector[..]).collect();
        finalize(self.params(), header, owned, fold, &vectors)
    }

    fn check_partials(&self, partials: &[Partial]) {
        for (partial, server) in partials.iter().zip(&self.servers) {
            let commitment = Commitment {
                deployment: partial.deployment,
                round: partial.round,
                server: partial.server,
                header_digest: partial.header_digest,
                aggregate_digest: partial.aggregate_digest,
                commitment: partial.commitment(),
            };
            let committed = Signed::new(&server.identity, commitment);
            let revealed = Signed::new(&server.identity, partial.clone());
            let revealed = borsh::from_slice::<Signed<Partial>>(&encode(&revealed)).unwrap();
            assert_eq!(revealed.verify().unwrap().commitment(), committed.verify().unwrap().commitment);
        }
    }
}

/// `count` different numbers below `n`.
pub(crate) fn choose(dice: &mut Dice, count: usize, n: usize) -> BTreeSet<usize> {
    let mut out = BTreeSet::new();
    while out.len() < count {
        out.insert(dice.below(n));
    }
    out
}

/// A bitmap with these bits.
pub(crate) fn bits(len: u32, ones: impl Iterator<Item = u32>) -> Bitmap {
    let mut out = Bitmap::new(len);
    ones.for_each(|i| out.set(i));
    out
}

/// A peer id that nobody has the key of.
pub(crate) fn stranger() -> PeerId {
    PeerId([0xee; 32])
}
