//! The key broker: who gets a key, who does not, and how many copies at once.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zeroize::Zeroizing;
use zipnet_dcnet::ids::DeploymentId;
use zipnet_dcnet::signed::encode;

use crate::quote::{Digest, QuoteSource, ReportData, SourceError};
use crate::seal::broker::{
    Ask, Broker, BrokerClient, BrokerKey, BrokerSecret, CHALLENGE_SECS, Call, LEASE_SECS, MAX_KEYS,
    MAX_MESSAGE_BYTES, Message, Purpose, Refusal, Reply, State, Transport,
};
use crate::seal::{Header, KekProvider, KeyId, Provider, ProviderError, SealError, SealedIdentity};
use crate::testing::{ATTRIBUTES, NOW, Options, Platform, td};
use crate::verify::Policy;

const D: DeploymentId = DeploymentId([1; 32]);

fn secret(n: u8) -> BrokerSecret {
    BrokerSecret::new(&Zeroizing::new([n; 32]))
}

fn policy(releases: &[u8], withdrawn: &[u8]) -> Policy {
    let release = |n: &u8| {
        let m = Digest([*n; 48]);
        let gone = withdrawn.contains(n);
        format!(
            "[[release]]\nname = \"{n}\"\nmrtd = \"{m}\"\nrtmr1 = \"{m}\"\nrtmr2 = \"{m}\"\nwithdrawn = {gone}\n"
        )
    };
    let text: String = releases.iter().map(release).collect();
    Policy::parse(text.as_bytes()).unwrap()
}

/// A broker, its clock, and the platform that all guests of the test run on.
struct World {
    platform: Platform,
    broker: Mutex<Broker>,
    now: AtomicU64,
}

impl World {
    fn new(policy: Policy) -> Arc<Self> {
        let platform = Platform::new(&Options::default());
        let broker = Mutex::new(Broker::new(secret(1), platform.verifier(), policy, State::default()));
        Arc::new(Self { platform, broker, now: AtomicU64::new(NOW) })
    }

    fn later(&self, secs: u64) {
        self.now.fetch_add(secs, Ordering::SeqCst);
    }

    fn answer(&self, message: &[u8]) -> Reply {
        let now = self.now.load(Ordering::SeqCst);
        self.broker.lock().unwrap().answer(message, now, &Zeroizing::new([77; 32]))
    }
}

/// What happens to messages on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Good,
    Down,
    /// Answers are changed in this byte.
    Bent(usize),
    Garbage,
}

struct Wire(Arc<World>, Way);

impl Transport for Wire {
    fn call(&mut self, message: &[u8]) -> io::Result<Vec<u8>> {
        let mut answer = encode(&self.0.answer(message));
        match self.1 {
            Way::Down => return Err(io::ErrorKind::ConnectionRefused.into()),
            // Of keys only: a challenge is as good as another.
            Way::Bent(at) if answer[0] == 1 => answer[at] ^= 1,
            Way::Good | Way::Bent(_) => {}
            Way::Garbage => answer = vec![9; 40],
        }
        Ok(answer)
    }
}

/// A guest's quotes: of a release, with these attributes.
struct Guest(Arc<World>, u8, u64);

impl QuoteSource for Guest {
    fn quote(&self, data: &ReportData) -> Result<Vec<u8>, SourceError> {
        let td = crate::testing::Td { attributes: self.2, ..td(self.1, &data.bytes()) };
        Ok(self.0.platform.quote(&td))
    }
}

type Client = BrokerClient<Wire, Guest, ChaCha20Rng>;

/// A start of a guest of a release; `n` is its randomness.
fn guest(world: &Arc<World>, release: u8, n: u64) -> Client {
    client(world, release, n, Way::Good, D)
}

fn client(world: &Arc<World>, release: u8, n: u64, way: Way, deployment: DeploymentId) -> Client {
    let source = Guest(world.clone(), release, ATTRIBUTES);
    let random = ChaCha20Rng::seed_from_u64(n);
    BrokerClient::new(Wire(world.clone(), way), source, random, secret(1).public(), deployment)
}

fn seed(n: u8) -> Zeroizing<[u8; 32]> {
    Zeroizing::new([n; 32])
}

fn identity() -> (tempfile::TempDir, SealedIdentity) {
    let dir = tempfile::tempdir().unwrap();
    let file = SealedIdentity::new(&dir.path().join("identity"));
    (dir, file)
}

fn refused(error: &SealError, what: &str) -> bool {
    matches!(error, SealError::Provider(ProviderError::Refused { problem, .. }) if problem.contains(what))
}

#[test]
fn an_upgrade_keeps_the_identity_and_a_withdrawn_release_gets_nothing() {
    let world = World::new(policy(&[1], &[]));
    let (_dir, file) = identity();
    let header = file.init(&mut guest(&world, 1, 1), &seed(7), &[1; 24]).unwrap();
    assert_eq!((header.provider, header.generation), (Provider::Broker, 1));
    world.later(LEASE_SECS);
    let opened = file.open(&mut guest(&world, 1, 2)).unwrap();
    assert_eq!((opened.seed, opened.lease_secs), (seed(7), Some(LEASE_SECS)));

    // Release 2 is not known yet, then both are admitted, then 1 is withdrawn.
    world.later(LEASE_SECS);
    let unknown = file.open(&mut guest(&world, 2, 3)).err().unwrap();
    assert!(refused(&unknown, "MR_TD"), "{unknown}");
    let judge = |p| world.broker.lock().unwrap().judge_by(world.platform.verifier(), p);
    judge(policy(&[1, 2], &[]));
    assert_eq!(file.open(&mut guest(&world, 2, 4)).unwrap().seed, seed(7));
    judge(policy(&[1, 2], &[1]));
    world.later(LEASE_SECS);
    let withdrawn = file.open(&mut guest(&world, 1, 5)).err().unwrap();
    assert!(refused(&withdrawn, "release 1 was withdrawn"), "{withdrawn}");
    let (_dir, another) = identity();
    assert!(refused(&another.init(&mut guest(&world, 1, 6), &seed(9), &[1; 24]).unwrap_err(), "withdrawn"));
    assert_eq!(file.open(&mut guest(&world, 2, 7)).unwrap().seed, seed(7));
}

#[test]
fn two_copies_are_not_alive_at_once() {
    let world = World::new(policy(&[1], &[]));
    let (_dir, file) = identity();
    let mut first = guest(&world, 1, 1);
    file.init(&mut first, &seed(7), &[1; 24]).unwrap();
    let leased = |client: &mut Client| match file.open(client) {
        Err(SealError::Provider(ProviderError::Leased { secs })) => Some(secs),
        Ok(_) => None,
        Err(other) => panic!("{other}"),
    };
    let mut second = guest(&world, 1, 2);
    assert_eq!(leased(&mut second), Some(LEASE_SECS));
    // The first one renews, at the last moment.
    world.later(LEASE_SECS - 1);
    assert_eq!((leased(&mut second), leased(&mut first)), (Some(1), None));
    world.later(LEASE_SECS - 1);
    assert_eq!(leased(&mut second), Some(1));
    // It stops, the second one takes over, and the first, should it wake up, gets nothing.
    world.later(1);
    assert_eq!((leased(&mut second), leased(&mut first)), (None, Some(LEASE_SECS)));

    // It is done before its time, and says so; who has nothing any more gives nothing back.
    let header = file.header().unwrap();
    assert!(matches!(first.give_back(&header), Err(ProviderError::Leased { secs: LEASE_SECS })));
    second.give_back(&header).unwrap();
    assert_eq!((leased(&mut first), leased(&mut second)), (None, Some(LEASE_SECS)));
    world.later(LEASE_SECS);
    assert_eq!(leased(&mut second), None);
    world.later(LEASE_SECS);
    first.give_back(&header).unwrap();
    second.give_back(&header).unwrap();
    second.give_back(&header).unwrap();
    assert_eq!(leased(&mut second), None);

    // A broker that was restarted remembers.
    let state = encode(world.broker.lock().unwrap().state());
    let state: State = borsh::from_slice(&state).unwrap();
    assert_eq!(state.len(), 1);
    let restarted = Broker::new(secret(1), world.platform.verifier(), policy(&[1], &[]), state);
    *world.broker.lock().unwrap() = restarted;
    assert_eq!((leased(&mut first), leased(&mut second)), (Some(LEASE_SECS), None));
}

#[test]
fn an_older_generation_is_refused_and_a_made_up_one_locks_nobody_out() {
    let world = World::new(policy(&[1], &[]));
    let (dir, file) = identity();
    let path = dir.path().join("identity");
    let mut client = guest(&world, 1, 1);
    let first = file.init(&mut client, &seed(7), &[1; 24]).unwrap();
    let old = std::fs::read(&path).unwrap();
    assert_eq!(file.rotate(&mut client, &seed(8), &[2; 24]).unwrap().generation, 2);
    let new = std::fs::read(&path).unwrap();

    std::fs::write(&path, &old).unwrap();
    let back = file.open(&mut client);
    assert!(matches!(back, Err(SealError::Provider(ProviderError::Old { found: 1, known: 2 }))));
    // The old one under a newer number does not open, and moves the broker by one at most.
    for generation in [u64::MAX, 4] {
        let made_up = client.open(&Header { generation, ..first });
        assert!(matches!(made_up, Err(ProviderError::Old { known: 2, .. })), "{generation}");
    }
    std::fs::write(&path, &new).unwrap();
    assert_eq!(file.open(&mut client).unwrap().seed, seed(8));
}

#[test]
fn another_deployment_platform_or_broker_gets_and_gives_nothing() {
    let world = World::new(policy(&[1], &[]));
    let (_dir, file) = identity();
    file.init(&mut guest(&world, 1, 1), &seed(7), &[1; 24]).unwrap();
    world.later(LEASE_SECS);
    let mut elsewhere = client(&world, 1, 2, Way::Good, DeploymentId([2; 32]));
    assert!(matches!(file.open(&mut elsewhere), Err(SealError::Provider(ProviderError::UnknownKey { .. }))));

    // A TD under debug, and quotes of a platform whose root is not trusted.
    let source = Guest(world.clone(), 1, ATTRIBUTES | 1);
    let random = ChaCha20Rng::seed_from_u64(3);
    let mut debug = BrokerClient::new(Wire(world.clone(), Way::Good), source, random, secret(1).public(), D);
    assert!(refused(&file.open(&mut debug).err().unwrap(), "under debug"));
    let forger = World::new(policy(&[1], &[]));
    let source = Guest(forger, 1, ATTRIBUTES);
    let random = ChaCha20Rng::seed_from_u64(4);
    let mut forged = BrokerClient::new(Wire(world.clone(), Way::Good), source, random, secret(1).public(), D);
    assert!(refused(&file.open(&mut forged).err().unwrap(), "not genuine"));

    // A guest that was built for another broker.
    let other = |key: BrokerKey| {
        let source = Guest(world.clone(), 1, ATTRIBUTES);
        BrokerClient::new(Wire(world.clone(), Way::Good), source, ChaCha20Rng::seed_from_u64(5), key, D)
    };
    assert!(refused(&file.open(&mut other(secret(2).public())).err().unwrap(), "not about this client"));
    assert_eq!(file.open(&mut guest(&world, 1, 6)).unwrap().seed, seed(7));
}

#[test]
fn who_carries_the_messages_can_only_stop_them() {
    let world = World::new(policy(&[1], &[]));
    let (_dir, file) = identity();
    file.init(&mut guest(&world, 1, 1), &seed(7), &[1; 24]).unwrap();
    world.later(LEASE_SECS);
    let open = |way| file.open(&mut client(&world, 1, 2, way, D)).map(|opened| opened.seed);
    assert!(matches!(open(Way::Down), Err(SealError::Provider(ProviderError::Gone { .. }))));
    assert!(matches!(open(Way::Garbage), Err(SealError::Provider(ProviderError::Gone { .. }))));
    // Ephemeral key, key, key id, lease, tag; the length is no longer borsh.
    for at in [1, 32, 37, 68, 69, 84, 85, 92, 93, 108] {
        let bent = open(Way::Bent(at)).unwrap_err();
        assert!(refused(&bent, "not by the broker"), "byte {at}: {bent}");
    }
    assert_eq!(open(Way::Good).unwrap(), seed(7));
}

/// What a guest of release 1 would send.
fn call(world: &World, nonce: [u8; 32], purpose: Purpose) -> Call {
    let ask = Ask { nonce, ephemeral: [9; 32], instance: [3; 32], deployment: D, purpose };
    let quote = world.platform.quote(&td(1, &ask.report_data(&secret(1).public().0).bytes()));
    Call { ask, quote }
}

#[test]
fn challenges_age_questions_are_bound_and_limits_hold() {
    let world = World::new(policy(&[1], &[]));
    let Reply::Challenge(nonce) = world.answer(&encode(&Message::Challenge)) else { panic!() };
    let release = |call: &Call| world.answer(&encode(&Message::Release(call.clone())));
    let good = call(&world, nonce, Purpose::Create);
    assert!(matches!(release(&good), Reply::Key { .. }));
    // The same question again is answered again, by the same key: nothing is made twice.
    assert!(matches!(release(&good), Reply::Key { .. }));
    assert_eq!(world.broker.lock().unwrap().state().len(), 1);

    // What was asked cannot be exchanged under the quote.
    for change in [
        |ask: &mut Ask| ask.ephemeral = [8; 32],
        |ask: &mut Ask| ask.instance = [8; 32],
        |ask: &mut Ask| ask.deployment = DeploymentId([8; 32]),
        |ask: &mut Ask| ask.purpose = Purpose::Open { key_id: KeyId([8; 16]), generation: 1 },
    ] {
        let mut other = good.clone();
        change(&mut other.ask);
        assert!(matches!(release(&other), Reply::Refused(Refusal::Denied(_))));
    }
    let unknown = call(&world, nonce, Purpose::Open { key_id: KeyId([8; 16]), generation: 1 });
    assert_eq!(release(&unknown), Reply::Refused(Refusal::UnknownKey));
    let mut weak = Ask { ephemeral: [0; 32], ..good.ask.clone() };
    weak.instance = [4; 32];
    let quote = world.platform.quote(&td(1, &weak.report_data(&secret(1).public().0).bytes()));
    assert_eq!(release(&Call { ask: weak, quote }), Reply::Refused(Refusal::Malformed));
    assert_eq!(world.broker.lock().unwrap().state().len(), 1);

    world.later(CHALLENGE_SECS);
    assert!(matches!(release(&good), Reply::Key { .. }));
    world.later(1);
    assert_eq!(release(&good), Reply::Refused(Refusal::Challenge));
    let mut made_up = nonce;
    made_up[0] ^= 1;
    assert_eq!(release(&call(&world, made_up, Purpose::Create)), Reply::Refused(Refusal::Challenge));
    let mut future = nonce;
    future[7] = 0x7f;
    assert_eq!(release(&call(&world, future, Purpose::Create)), Reply::Refused(Refusal::Challenge));

    assert_eq!(world.answer(&[7]), Reply::Refused(Refusal::Malformed));
    assert_eq!(world.answer(&vec![0; MAX_MESSAGE_BYTES + 1]), Reply::Refused(Refusal::Malformed));
    let largest = Message::Release(Call { quote: vec![4; crate::quote::MAX_QUOTE_BYTES], ..good });
    assert!(encode(&largest).len() <= MAX_MESSAGE_BYTES);
}

#[test]
fn a_full_broker_makes_no_more_keys_and_keeps_the_old_ones() {
    let world = World::new(policy(&[1], &[]));
    let mut client = guest(&world, 1, 1);
    let grant = client.create().unwrap();
    // As if others had the rest: the state's bytes are a count and entries of 16 + 32 + 8 + 32 + 8.
    let one = encode(world.broker.lock().unwrap().state());
    let mut many = (MAX_KEYS as u32).to_le_bytes().to_vec();
    let mut ids: Vec<[u8; 16]> = (0..MAX_KEYS as u128 - 1).map(u128::to_be_bytes).collect();
    ids.push(grant.key_id.0);
    ids.sort_unstable();
    for id in ids {
        many.extend(id);
        many.extend(&one[4 + 16..]);
    }
    let state: State = borsh::from_slice(&many).unwrap();
    assert_eq!((state.len(), state.is_empty()), (MAX_KEYS, false));
    *world.broker.lock().unwrap() =
        Broker::new(secret(1), world.platform.verifier(), policy(&[1], &[]), state);
    let full = client.create();
    assert!(
        matches!(full, Err(ProviderError::Refused { ref problem, .. }) if problem.contains("as many keys"))
    );
    let header = Header { provider: Provider::Broker, key_id: grant.key_id, generation: 1 };
    assert!(client.open(&header).is_ok());
}
