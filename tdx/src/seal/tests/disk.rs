//! The file, and the key file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zeroize::Zeroizing;

use crate::quote::SourceError;
use crate::seal::{
    ENVELOPE_BYTES, EnvelopeError, Grant, Header, IN_PLACE_BYTES, Keeper, KekProvider, KeyFile, KeyFileError,
    KeyId, Provider, ProviderError, SealError, SealedIdentity,
};

fn seed(n: u8) -> Zeroizing<[u8; 32]> {
    Zeroizing::new([n; 32])
}

fn key_file(dir: &Path, n: u8) -> KeyFile {
    let path = dir.join(format!("key-{n}"));
    if !path.exists() {
        KeyFile::create(&path, &seed(n)).unwrap();
    }
    KeyFile::open(&path, true).unwrap()
}

#[test]
fn an_identity_survives_a_restart_and_changes_only_when_asked_to() {
    let dir = tempfile::tempdir().unwrap();
    let file = SealedIdentity::new(&dir.path().join("identity"));
    let mut key = key_file(dir.path(), 1);
    assert!(matches!(file.open(&mut key), Err(SealError::Missing(_))));
    assert!(matches!(file.rotate(&mut key, &seed(8), &[1; 24]), Err(SealError::Missing(_))));
    assert!(matches!(file.header(), Err(SealError::Missing(_))));

    let header = file.init(&mut key, &seed(7), &[1; 24]).unwrap();
    assert_eq!((header.provider, header.generation, file.header().unwrap()), (Provider::KeyFile, 1, header));
    let opened = file.open(&mut key_file(dir.path(), 1)).unwrap();
    assert_eq!((opened.seed, opened.header, opened.lease_secs), (seed(7), header, None));
    assert!(matches!(file.init(&mut key, &seed(8), &[2; 24]), Err(SealError::Exists(_))));

    assert_eq!(file.rotate(&mut key, &seed(8), &[2; 24]).unwrap().generation, 2);
    assert_eq!(file.open(&mut key).unwrap().seed, seed(8));
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "no temporary file stays: {names:?}");
    let mode = fs::metadata(dir.path().join("identity")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// As on a device: nothing is renamed, and what is behind the first sector is somebody else's.
#[test]
fn an_identity_may_be_in_the_first_sector_of_something_longer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("device");
    let mut blank = vec![0; 512];
    blank.resize(usize::try_from(IN_PLACE_BYTES).unwrap(), 7);
    fs::write(&path, &blank).unwrap();
    let file = SealedIdentity::new(&path);
    let mut key = key_file(dir.path(), 1);
    assert!(file.in_place().unwrap());
    assert!(matches!(file.open(&mut key), Err(SealError::Missing(_))));
    file.init(&mut key, &seed(7), &[1; 24]).unwrap();
    assert!(matches!(file.init(&mut key, &seed(8), &[2; 24]), Err(SealError::Exists(_))));
    let first = file.open(&mut key).unwrap();
    assert_eq!(file.rotate(&mut key, &seed(8), &[2; 24]).unwrap().generation, 2);
    let second = file.open(&mut key).unwrap();
    assert_eq!((&first.seed, &second.seed), (&seed(7), &seed(8)));
    assert_eq!(first.store_key, second.store_key, "what is stored stays readable");
    assert!(first.store_key != key_file(dir.path(), 2).create().unwrap().kek.store_key());

    let good = fs::read(&path).unwrap();
    assert_eq!((good.len(), &good[512..]), (blank.len(), &blank[512..]));
    // Each byte of the sector counts.
    for at in [0, 8, 30, 60, 104, 105, 511] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        assert!(file.open(&mut key).is_err(), "byte {at}");
        assert!(matches!(file.init(&mut key, &seed(9), &[3; 24]), Err(SealError::Exists(_))), "byte {at}");
        assert_eq!(fs::read(&path).unwrap(), bad);
    }
    assert!(!SealedIdentity::new(&dir.path().join("key-1")).in_place().unwrap_or(false));
}

#[test]
fn what_does_not_open_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    let file = SealedIdentity::new(&path);
    let mut key = key_file(dir.path(), 1);
    file.init(&mut key, &seed(7), &[1; 24]).unwrap();
    let good = fs::read(&path).unwrap();

    let other = file.open(&mut key_file(dir.path(), 2));
    assert!(matches!(other, Err(SealError::Provider(ProviderError::UnknownKey { .. }))));
    // One bit in each field: provider, key id, generation, nonce, seed, tag.
    for at in [8, 9, 24, 25, 32, 33, 56, 57, 88, 89, ENVELOPE_BYTES - 1] {
        let mut bad = good.clone();
        bad[at] ^= 0x20;
        fs::write(&path, &bad).unwrap();
        assert!(file.open(&mut key).is_err(), "byte {at}");
        assert!(file.rotate(&mut key, &seed(8), &[2; 24]).is_err(), "byte {at}");
        assert!(matches!(file.init(&mut key, &seed(8), &[2; 24]), Err(SealError::Exists(_))), "byte {at}");
        assert_eq!(fs::read(&path).unwrap(), bad, "byte {at}");
    }
    for len in [0, 1, 57, ENVELOPE_BYTES - 1] {
        fs::write(&path, &good[..len]).unwrap();
        let cut = file.open(&mut key);
        assert!(matches!(cut, Err(SealError::Envelope { source: EnvelopeError::Length(n), .. }) if n == len));
    }
    fs::write(&path, vec![0; usize::try_from(IN_PLACE_BYTES).unwrap() - 1]).unwrap();
    let long = file.open(&mut key);
    assert!(
        matches!(long, Err(SealError::Envelope { source: EnvelopeError::Length(n), .. }) if n == ENVELOPE_BYTES + 1)
    );
    fs::write(&path, &good).unwrap();
    assert_eq!(file.open(&mut key).unwrap().seed, seed(7));
}

/// A provider of the other kind, which is never asked.
struct Elsewhere;

impl KekProvider for Elsewhere {
    fn provider(&self) -> Provider {
        Provider::Broker
    }
    fn create(&mut self) -> Result<Grant, ProviderError> {
        Err(ProviderError::Gone { provider: Provider::Broker, problem: "test".to_owned() })
    }
    fn open(&mut self, _: &Header) -> Result<Grant, ProviderError> {
        panic!("asked for a key of another provider");
    }
}

#[test]
fn a_provider_that_is_gone_or_of_another_kind_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    let file = SealedIdentity::new(&path);
    let gone = file.init(&mut Elsewhere, &seed(7), &[1; 24]);
    assert!(matches!(gone, Err(SealError::Provider(ProviderError::Gone { .. }))));
    assert!(!path.exists());
    file.init(&mut key_file(dir.path(), 1), &seed(7), &[1; 24]).unwrap();
    let found = |e| {
        matches!(
            e,
            Err(SealError::OtherProvider { found: Provider::KeyFile, configured: Provider::Broker, .. })
        )
    };
    assert!(found(file.open(&mut Elsewhere).map(|_| ())));
    assert!(found(file.sealed_by(Provider::Broker).map(|_| ())));
    assert!(file.sealed_by(Provider::KeyFile).is_ok());
}

#[test]
fn what_a_crash_left_half_written_is_not_taken_for_an_identity() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    let file = SealedIdentity::new(&path);
    let mut key = key_file(dir.path(), 1);
    fs::write(dir.path().join("identity.new"), b"half").unwrap();
    assert!(matches!(file.open(&mut key), Err(SealError::Missing(_))));
    file.init(&mut key, &seed(7), &[1; 24]).unwrap();
    assert_eq!(file.open(&mut key).unwrap().seed, seed(7));
    assert!(!dir.path().join("identity.new").exists());
    // A directory in the way of the temporary file: the old identity stays.
    fs::create_dir(dir.path().join("identity.new")).unwrap();
    assert!(matches!(file.rotate(&mut key, &seed(8), &[2; 24]), Err(SealError::Io { .. })));
    assert_eq!(file.open(&mut key).unwrap().seed, seed(7));
}

#[test]
fn a_key_file_is_used_only_when_called_insecure_and_if_nobody_else_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    KeyFile::create(&path, &seed(1)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(KeyFile::create(&path, &seed(2)), Err(KeyFileError::Exists(_))));
    assert_eq!(fs::read(&path).unwrap(), [1; 32]);
    assert!(matches!(KeyFile::open(&path, false), Err(KeyFileError::NotAskedFor)));
    assert!(KeyFile::open(&path, true).is_ok());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(KeyFile::open(&path, true), Err(KeyFileError::Mode { mode: 0o640, .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for len in [0, 31, 33] {
        fs::write(&path, vec![1; len]).unwrap();
        assert!(matches!(KeyFile::open(&path, true), Err(KeyFileError::Length(_))), "{len}");
    }
    assert!(matches!(KeyFile::open(&dir.path().join("none"), true), Err(KeyFileError::Io { .. })));
}

#[test]
fn a_keeper_makes_a_key_file_for_a_new_identity_and_never_another() {
    let dir = tempfile::tempdir().unwrap();
    let (path, random) = (dir.path().join("key"), ChaCha20Rng::seed_from_u64);
    let keeper = Keeper::KeyFile(path.clone());
    assert_eq!(keeper.kind(), Provider::KeyFile);
    assert!(matches!(keeper.provider(random(1)), Err(KeyFileError::Io { .. })));
    assert!(!path.exists());
    let file = SealedIdentity::new(&dir.path().join("identity"));
    file.init(&mut *keeper.new_provider(random(1)).unwrap(), &seed(7), &[1; 24]).unwrap();
    let key = fs::read(&path).unwrap();
    assert_eq!(file.open(&mut *keeper.new_provider(random(2)).unwrap()).unwrap().seed, seed(7));
    assert_eq!(file.open(&mut *keeper.provider(random(3)).unwrap()).unwrap().seed, seed(7));
    assert_eq!(fs::read(&path).unwrap(), key);
    fs::write(&path, [1; 31]).unwrap();
    assert!(matches!(keeper.new_provider(random(4)), Err(KeyFileError::Length(_))));
}

#[test]
fn advice_goes_by_the_kind_of_error() {
    let gone = |provider| ProviderError::Gone { provider, problem: String::new() };
    let provider = Provider::Broker;
    let key_id = KeyId([1; 16]);
    let refused = ProviderError::Refused { provider, problem: String::new() };
    let quote = ProviderError::Quote(SourceError::Empty);
    let path = || "/x".into();
    let no_file = || std::io::Error::from(std::io::ErrorKind::NotFound);
    for (error, advice) in [
        (SealError::Missing(path()), "identity init"),
        (SealError::Envelope { path: path(), source: EnvelopeError::Key }, "from a copy"),
        (
            SealError::OtherProvider { path: path(), found: provider, configured: Provider::KeyFile },
            "configure the keeper",
        ),
        (SealError::KeyFile(KeyFileError::Io { path: path(), source: no_file() }), "the key file back"),
        (SealError::Provider(gone(provider)), "can be reached"),
        (SealError::Provider(ProviderError::UnknownKey { provider, key_id }), "another key file"),
        (SealError::Provider(ProviderError::Old { found: 1, known: 2 }), "newest copy"),
        (SealError::Provider(ProviderError::Leased { secs: 1 }), "former lease"),
        (SealError::Provider(refused), "policy"),
        (SealError::Provider(quote), "zipnet-quote.socket"),
    ] {
        assert!(error.hint().is_some_and(|hint| hint.contains(advice)), "{error}: {:?}", error.hint());
    }
    for error in [
        SealError::Exists(path()),
        SealError::Io { path: path(), source: no_file() },
        SealError::KeyFile(KeyFileError::Length(path())),
    ] {
        assert_eq!(error.hint(), None, "{error} says all there is to say");
    }
}
