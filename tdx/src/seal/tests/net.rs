//! The key broker over TCP, with its folder.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zeroize::Zeroizing;
use zipnet_dcnet::ids::DeploymentId;

use crate::quote::{QuoteSource, ReportData, SourceError};
use crate::seal::broker::{
    Broker, BrokerClient, BrokerKey, Folder, FolderError, LEASE_SECS, Outside, State, Tcp, serve,
};
use crate::seal::{KeyFileError, ProviderError, SealError, SealedIdentity};
use crate::testing::{NOW, Options, Platform, measurements, td};
use crate::verify::{Policy, Release, TcbStatus};

struct World(Arc<AtomicU64>);

impl Outside for World {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
    fn random(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new([77; 32])
    }
    fn log(&self, _: &str) {}
}

struct Guest(Arc<Platform>);

impl QuoteSource for Guest {
    fn quote(&self, data: &ReportData) -> Result<Vec<u8>, SourceError> {
        Ok(self.0.quote(&td(1, &data.bytes())))
    }
}

struct Running {
    address: SocketAddr,
    key: BrokerKey,
    failure: Receiver<FolderError>,
}

fn start(platform: &Platform, dir: &Path, clock: &Arc<AtomicU64>) -> Running {
    let (folder, secret, state) = Folder::open(dir).unwrap();
    let release = Release { name: "1".to_owned(), measurements: measurements(1), withdrawn: false };
    let policy = Policy { tcb: vec![TcbStatus::UpToDate], reattest_hours: 24, releases: vec![release] };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, key) = (listener.local_addr().unwrap(), secret.public());
    let broker = Broker::new(secret, platform.verifier(), policy, state);
    Running { address, key, failure: serve(listener, broker, folder, World(clock.clone())) }
}

fn client(running: &Running, platform: &Arc<Platform>, n: u64) -> BrokerClient<Tcp, Guest, ChaCha20Rng> {
    let (wire, random) = (Tcp(running.address.to_string()), ChaCha20Rng::seed_from_u64(n));
    BrokerClient::new(wire, Guest(platform.clone()), random, running.key, DeploymentId([1; 32]))
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    Folder::init(&dir.path().join("broker"), &Zeroizing::new([1; 32])).unwrap();
    dir
}

#[test]
fn an_identity_is_sealed_and_opened_over_a_network_past_callers_who_say_nothing() {
    let (platform, clock) = (Arc::new(Platform::new(&Options::default())), Arc::new(AtomicU64::new(NOW)));
    let dir = folder();
    let running = start(&platform, &dir.path().join("broker"), &clock);
    // Some who connect and say nothing, or too much.
    let silent: Vec<_> = (0..10).map(|_| TcpStream::connect(running.address).unwrap()).collect();
    TcpStream::connect(running.address).unwrap().write_all(&u32::MAX.to_le_bytes()).unwrap();

    let file = SealedIdentity::new(&dir.path().join("identity"));
    let (seed, mut first) = (Zeroizing::new([7; 32]), client(&running, &platform, 1));
    file.init(&mut first, &seed, &[1; 24]).unwrap();
    assert_eq!(file.open(&mut first).unwrap().seed, seed);
    let second = file.open(&mut client(&running, &platform, 2));
    assert!(matches!(second, Err(SealError::Provider(ProviderError::Leased { .. }))));
    clock.fetch_add(LEASE_SECS, Ordering::SeqCst);
    assert_eq!(file.open(&mut client(&running, &platform, 3)).unwrap().seed, seed);
    drop(silent);

    // What is on disk is what it knows: another process would go on from there.
    let copy = dir.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for name in ["secret", "state"] {
        fs::copy(dir.path().join("broker").join(name), copy.join(name)).unwrap();
    }
    let restarted = start(&platform, &copy, &clock);
    assert_eq!(restarted.key, running.key);
    let leased = file.open(&mut client(&restarted, &platform, 4));
    assert!(matches!(leased, Err(SealError::Provider(ProviderError::Leased { .. }))));
    assert_eq!(file.open(&mut client(&restarted, &platform, 3)).unwrap().seed, seed);

    let nobody = Tcp("127.0.0.1:1".to_owned());
    let random = ChaCha20Rng::seed_from_u64(5);
    let mut gone = BrokerClient::new(nobody, Guest(platform), random, running.key, DeploymentId([1; 32]));
    assert!(matches!(file.open(&mut gone), Err(SealError::Provider(ProviderError::Gone { .. }))));
}

#[test]
fn what_cannot_be_remembered_is_not_given() {
    let (platform, clock) = (Arc::new(Platform::new(&Options::default())), Arc::new(AtomicU64::new(NOW)));
    let dir = folder();
    let broker = dir.path().join("broker");
    let running = start(&platform, &broker, &clock);
    // In the way of the temporary file.
    fs::create_dir(broker.join("state.new")).unwrap();
    let file = SealedIdentity::new(&dir.path().join("identity"));
    let none = file.init(&mut client(&running, &platform, 1), &Zeroizing::new([7; 32]), &[1; 24]);
    assert!(matches!(none, Err(SealError::Provider(ProviderError::Gone { .. }))), "{none:?}");
    assert!(matches!(running.failure.recv().unwrap(), FolderError::Io { .. }));
    assert!(file.header().is_err());
}

#[test]
fn a_folder_is_one_brokers_and_never_starts_anew() {
    let dir = folder();
    let path = dir.path().join("broker");
    let error = |path: &Path| Folder::open(path).err().unwrap();
    let again = Folder::init(&path, &Zeroizing::new([2; 32]));
    assert!(matches!(again, Err(FolderError::Exists(_))));
    let (folder, secret, state) = Folder::open(&path).unwrap();
    assert!(matches!(error(&path), FolderError::Locked(_)));
    assert_eq!((secret.public(), &state), (Folder::secret(&path).unwrap().public(), &State::default()));
    drop(folder);

    let good = fs::read(path.join("state")).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(path.join("state"), bad).unwrap();
        assert!(matches!(error(&path), FolderError::Damaged(_)), "byte {at}");
    }
    for len in 0..good.len() {
        fs::write(path.join("state"), &good[..len]).unwrap();
        assert!(matches!(error(&path), FolderError::Damaged(_)), "{len} bytes");
    }
    fs::remove_file(path.join("state")).unwrap();
    assert!(matches!(error(&path), FolderError::NoState(_)));
    // Nor does `init` make a new one beside an old secret.
    let again = Folder::init(&path, &Zeroizing::new([2; 32]));
    assert!(matches!(again, Err(FolderError::Secret(KeyFileError::Exists(_)))));
    fs::write(path.join("state"), &good).unwrap();
    assert!(Folder::open(&path).is_ok());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    fs::set_permissions(path.join("secret"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(error(&path), FolderError::Secret(KeyFileError::Mode { .. })));
}
