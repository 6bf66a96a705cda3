//! The real binary with a key broker: real but for the platform, whose quotes are a recorded one with other report data.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use nix::sys::signal::Signal;
use zeroize::Zeroizing;
use zipnet_tdx::quote::{Quote, QuoteSource, ReportData, SourceError, helper};
use zipnet_tdx::seal::broker::{Broker, BrokerAddress, Folder, LEASE_SECS, Outside, serve};
use zipnet_tdx::verify::{Authenticate, Denied, Genuine, Policy, Release, TcbStatus};

use super::daemon::{Daemon, until, zipnetd};

const RECORDED: &[u8] = include_bytes!("../../../tdx/tests/data/v4.quote");

/// The recorded quote over what is asked.
struct Bent;

impl QuoteSource for Bent {
    fn quote(&self, data: &ReportData) -> Result<Vec<u8>, SourceError> {
        let old = Quote::parse(RECORDED).unwrap().contents().report_data;
        let at = RECORDED.windows(64).position(|part| part == old).unwrap();
        let mut quote = RECORDED.to_vec();
        quote[at..at + 64].copy_from_slice(&data.bytes());
        Ok(quote)
    }
}

/// Believes every quote.
struct Gullible;

impl Authenticate for Gullible {
    fn authenticate(&self, quote: &[u8], now: u64) -> Result<Genuine, Denied> {
        let contents = Quote::parse(quote)?.contents();
        let (tcb, fmspc) = (TcbStatus::UpToDate, String::new());
        Ok(Genuine { contents, tcb, advisories: Vec::new(), fmspc, collateral_until: now })
    }
}

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

/// A broker and a quote helper, for as long as the test runs. The broker's clock, and how `key_broker` names it.
fn start(dir: &Path) -> (Arc<AtomicU64>, String) {
    let folder = dir.join("broker");
    Folder::init(&folder, &Zeroizing::new([1; 32])).unwrap();
    let (folder, secret, state) = Folder::open(&folder).unwrap();
    let genuine = Gullible.authenticate(RECORDED, 0).unwrap();
    let release = Release { name: "1".to_owned(), measurements: genuine.measurements(), withdrawn: false };
    let policy = Policy { tcb: vec![TcbStatus::UpToDate], reattest_hours: 24, releases: vec![release] };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let name = BrokerAddress { key: secret.public(), at }.to_string();
    let clock = Arc::new(AtomicU64::new(1_000_000));
    drop(serve(listener, Broker::new(secret, Gullible, policy, state), folder, World(clock.clone())));

    let socket = UnixListener::bind(dir.join("quote.sock")).unwrap();
    thread::spawn(move || {
        for mut stream in socket.incoming().flatten() {
            let _ = helper::serve(&mut stream, &Bent);
        }
    });
    (clock, name)
}

#[test]
fn a_guest_gets_its_identity_from_a_broker_and_a_second_copy_does_not() {
    let mut daemon = Daemon::new();
    let dir = daemon.dir.path().to_owned();
    let (clock, broker) = start(&dir);
    let settings = |dir: &Path| {
        let (dir, pin) = (dir.display(), "ab".repeat(32));
        [
            ("ZIPNET_INSTANCE", format!("acme#{pin}")),
            ("ZIPNET_SEALED_IDENTITY", format!("{dir}/identity")),
            ("ZIPNET_KEY_BROKER", broker.clone()),
            ("ZIPNET_QUOTE_SOCKET", format!("{dir}/quote.sock")),
            ("ZIPNET_INIT_IDENTITY", "true".to_owned()),
        ]
    };
    daemon.configure("");
    let begin = |daemon: &mut Daemon| {
        daemon.spawn(zipnetd().envs(settings(&dir)));
        daemon.logs("control socket");
        let status = super::daemon::status(&daemon.socket());
        assert_eq!(status.identity, "sealed, key broker, generation 1");
        status.peer_id
    };
    let peer = begin(&mut daemon);

    // A copy of the disk, while the first one runs.
    let mut copy = Daemon::new();
    copy.configure("");
    fs::copy(dir.join("identity"), copy.dir.path().join("identity")).unwrap();
    let mut its = settings(copy.dir.path());
    its[3].1 = dir.join("quote.sock").display().to_string();
    copy.spawn(zipnetd().envs(its.clone()));
    assert_eq!(copy.code(), Some(8), "{}", copy.log());
    assert!(copy.log().contains("another copy of this identity is running"), "{}", copy.log());

    // A check asks nobody, so it may run beside.
    let check =
        super::daemon::run(zipnetd().arg("--check").arg("--config").arg(copy.file()).envs(its.clone()));
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(check.status.code() == Some(3) && !said.contains("another copy"), "{said}");

    // Killed, it cannot say that it is gone: the broker waits for the end of its lease.
    daemon.signal(Signal::SIGKILL);
    daemon.code();
    daemon.spawn(zipnetd().envs(settings(&dir)));
    assert_eq!(daemon.code(), Some(8), "{}", daemon.log());
    clock.fetch_add(LEASE_SECS, Ordering::SeqCst);
    assert_eq!(begin(&mut daemon), peer);
    // Ended in good order, it gives the lease back.
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.code(), Some(0), "{}", daemon.log());
    assert_eq!(begin(&mut daemon), peer);
    until(|| daemon.log().contains("identity: sealed, key broker"), || daemon.log());
}
