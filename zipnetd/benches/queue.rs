//! What accepting costs: `cargo bench --workspace --bench queue`. A client whose deployment is known, without network: the
//! same runner, core and store on disk as in the daemon, and every answer is durable. Through its handle, and over the real
//! socket; beside it what one append and `fdatasync` cost on the same disk, in the same run, before and after.
//! docs/measurements.md says what the figures are here. `TMPDIR` chooses the disk.

#![allow(missing_docs, clippy::unwrap_used)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::signed::encode;
use zipnet_store::{Batch, SledStore, Store};
use zipnet_tdx::quote::NoTee;
use zipnetd::client::{Client, ClientConfig, Handle};
use zipnetd::config::Socket;
use zipnetd::control::backend::{Backend, Caller, NewMessage};
use zipnetd::control::{Control, Limits, Operator};
use zipnetd::telemetry;

const CALLERS: [usize; 3] = [1, 8, 64];
/// How long each measurement goes on.
const SPAN: Duration = Duration::from_secs(5);
/// Most messages of one measurement: less than the queue holds.
const MOST: usize = 9_000;
/// A payload, in bytes.
const BYTES: usize = 200;
/// Long enough that none expires.
const TTL: Duration = Duration::from_hours(1);
/// Messages in the store at the start.
const QUEUED: usize = 10_000;
/// In which the daemon should answer then.
const TARGET: Duration = Duration::from_millis(300);
const STARTS: usize = 7;

/// A store that knows its deployment, so that messages are taken without anybody being found.
async fn prepare(dir: &Path) -> Arc<SledStore> {
    let servers = (1..=3).map(|n| PeerId([n; 32])).collect();
    let descriptor = Descriptor::new("bench", Params::standard(3), servers).unwrap();
    std::fs::create_dir_all(dir).unwrap();
    let store = Arc::new(SledStore::open(dir).unwrap());
    let mut batch = Batch::new();
    batch.put("client", b"instance", "bench");
    batch.put("client", b"descriptor", encode(&descriptor));
    store.commit(batch).await.unwrap();
    store
}

async fn client(dir: &Path) -> Client {
    let config = ClientConfig {
        identity: Arc::new(Identity::from_seed(zeroize::Zeroizing::new([7; 32]))),
        sealed: None,
        instance: "bench".parse().unwrap(),
        universe: "bench".to_owned(),
        bootstrap: Vec::new(),
        // A closed port: no network.
        relay: "http://127.0.0.1:9".parse().unwrap(),
        listen: Some("127.0.0.1:0".parse().unwrap()),
        store: prepare(dir).await,
        state_dir: dir.to_owned(),
        standing: None,
        cadence: 1,
        uid: nix::unistd::geteuid().as_raw(),
        public: false,
        quotes: Arc::new(NoTee),
        judge: None,
    };
    Client::start(config).await.unwrap()
}

async fn end(mut client: Client) {
    client.end();
    client.ended().await.unwrap();
}

fn message() -> NewMessage {
    NewMessage { payload: vec![b'x'; BYTES], request_id: None, ttl: Some(TTL), receipt: false }
}

/// One caller of a measurement.
enum Way {
    Handle(Handle),
    Socket(Box<zipnet_proto::Client>),
}

impl Way {
    async fn send(&mut self) {
        match self {
            Self::Handle(handle) => {
                let uid = nix::unistd::geteuid().as_raw();
                let sent = handle.send(Caller { uid, sees_all: true }, message()).await;
                assert!(sent.is_ok(), "a message was refused");
            }
            Self::Socket(client) => {
                client.send(vec![b'x'; BYTES], None, Some(TTL)).await.unwrap();
            }
        }
    }
}

/// Median, 99th percentile and rate of what took `span` together.
fn line(name: &str, mut times: Vec<Duration>, span: Duration) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    let rate = times.len() as f64 / span.as_secs_f64();
    println!("{name:<36} p50 {:>9.2?}   p99 {:>9.2?}   {rate:>8.0} per second", at(50), at(99));
}

/// What the disk does by itself: a small append, and `fdatasync`, one after the other.
fn disk(dir: &Path) {
    let mut file = File::create(dir.join("probe")).unwrap();
    let (begin, mut times) = (Instant::now(), Vec::new());
    while begin.elapsed() < Duration::from_secs(2) {
        let start = Instant::now();
        file.write_all(&[0; 512]).unwrap();
        file.sync_data().unwrap();
        times.push(start.elapsed());
    }
    line("append of 512 bytes and fdatasync", times, begin.elapsed());
}

async fn accepts(name: &str, callers: Vec<Way>) {
    let each = MOST / callers.len();
    let count = callers.len();
    let begin = Instant::now();
    let tasks = callers.into_iter().map(|mut way| {
        tokio::spawn(async move {
            let mut times = Vec::new();
            while times.len() < each && begin.elapsed() < SPAN {
                let start = Instant::now();
                way.send().await;
                times.push(start.elapsed());
            }
            times
        })
    });
    let times = futures::future::join_all(tasks).await;
    let span = begin.elapsed();
    line(&format!("{name}, {count} callers"), times.into_iter().flat_map(Result::unwrap).collect(), span);
}

async fn measure(dir: &Path) {
    for count in CALLERS {
        let client = client(&dir.join(format!("handle-{count}"))).await;
        accepts("handle", (0..count).map(|_| Way::Handle(client.handle())).collect()).await;
        end(client).await;
    }
    for count in CALLERS {
        let folder = dir.join(format!("socket-{count}"));
        let client = client(&folder).await;
        let socket = Socket { path: folder.join("s"), own_folder: false };
        let uid = nix::unistd::geteuid().as_raw();
        let (operator, _) = Operator::new(telemetry::start("error", false), Duration::ZERO);
        let control = Control::serve(&socket, uid, Arc::new(client.handle()), operator, Limits::default())
            .await
            .unwrap();
        let mut callers = Vec::new();
        for _ in 0..count {
            let client = zipnet_proto::Client::connect(&socket.path).await.unwrap();
            callers.push(Way::Socket(Box::new(client)));
        }
        accepts("socket", callers).await;
        control.stop(Duration::from_secs(2)).await;
        end(client).await;
    }
}

/// A full queue on disk.
async fn fill(dir: &Path) {
    let client = client(dir).await;
    let handle = client.handle();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..QUEUED {
        if tasks.len() == 200 {
            tasks.join_next().await.unwrap().unwrap();
        }
        let mut way = Way::Handle(handle.clone());
        tasks.spawn(async move { way.send().await });
    }
    tasks.join_all().await;
    end(client).await;
}

/// From the start of the process until it has answered `status`; and the messages it says are queued.
async fn start_once(dir: &Path) -> (Duration, u32) {
    let socket = dir.join("zipnetd.sock");
    let mut command = Command::new(env!("CARGO_BIN_EXE_zipnetd"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.args(["--instance=bench", "--relay=http://127.0.0.1:9", "--listen=127.0.0.1:0"]);
    command.arg("--socket").arg(&socket).arg("--state-dir").arg(dir);
    let begin = Instant::now();
    let mut child = command.spawn().unwrap();
    let queued = loop {
        if let Ok(mut client) = zipnet_proto::Client::connect(&socket).await
            && let Ok(status) = client.status().await
        {
            break status.queue.unwrap_or_default().queued;
        }
        assert!(begin.elapsed() < Duration::from_mins(1), "the daemon does not answer");
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    let took = begin.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    (took, queued)
}

async fn starts(dir: &Path) {
    let state = dir.join("start");
    for queued in [0, QUEUED] {
        if queued == 0 {
            let client = client(&state.join("client")).await;
            end(client).await;
        } else {
            fill(&state.join("client")).await;
        }
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let (took, found) = start_once(&state).await;
            assert_eq!(found as usize, queued, "all of them are there");
            times.push(took);
        }
        times.sort_unstable();
        let median = times[times.len() / 2];
        let verdict = if median <= TARGET { "ok" } else { "ABOVE" };
        println!(
            "start with {queued:>6} messages, to the first answer: median {median:>9.2?}, worst {:>9.2?} (target {TARGET:?}: {verdict})",
            times[times.len() - 1],
        );
    }
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    println!("in {}; messages of {BYTES} bytes", dir.path().display());
    let runtime = Runtime::new().unwrap();
    disk(dir.path());
    runtime.block_on(measure(dir.path()));
    disk(dir.path());
    runtime.block_on(starts(dir.path()));
}
