//! A thousand clients hand their envelopes to one aggregator, round after round.
//!
//! `cargo bench -p zipnet-network`. The acceptor is a process of its own, so that its CPU time and memory can be told
//! from those of the clients, which share this one. Each client has its own endpoint, as in life. Linux only: reads /proc.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, StreamExt, stream};
use zeroize::Zeroizing;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::DeploymentId;
use zipnet_network::links::{
    FrameSink, Kind, Link, LinkAddr, Links, LinksConfig, Refusal, Remote, Role, Service,
};

const CLIENTS: u32 = 1_000;
const ROUNDS: usize = 40;
const WARM_UP: usize = 5;
/// Round vector of the default parameters, and what an envelope adds to it.
const ENVELOPE: usize = 18_432 + 48;
/// Clients that dial at the same time.
const DIALS: usize = 100;
const ROLE: &str = "ZIPNET_BENCH_ROLE";
const PATIENCE: Duration = Duration::from_mins(1);

/// Folds like an aggregator: XOR under a lock, one byte of receipt.
struct Fold(Mutex<Vec<u8>>);

impl Service for Fold {
    fn call(&self, _: &Remote, _: Kind, body: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, Refusal>> {
        let mut sum = self.0.lock().unwrap();
        for (sum, byte) in sum.iter_mut().zip(&body) {
            *sum ^= byte;
        }
        async { Ok(vec![1]) }.boxed()
    }

    fn stream(&self, _: &Remote, _: Kind, _: Vec<u8>, _: FrameSink) -> BoxFuture<'_, Result<(), Refusal>> {
        async { Ok(()) }.boxed()
    }
}

async fn bind(seed: u32, role: Role) -> Links {
    let mut bytes = Zeroizing::new([0; 32]);
    bytes[..4].copy_from_slice(&seed.to_le_bytes());
    let config = LinksConfig {
        identity: Arc::new(Identity::from_seed(bytes)),
        role,
        deployment: DeploymentId([1; 32]),
        listen: Some("127.0.0.1:0".parse().unwrap()),
        announce: Vec::new(),
    };
    Links::bind(config).await.unwrap()
}

/// The child: prints its address, serves until its input ends.
async fn acceptor() {
    let links = bind(u32::MAX, Role::Aggregator).await;
    links.serve(Arc::new(Fold(Mutex::new(vec![0; ENVELOPE]))));
    let addr = links.link_addr().unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "{}", addr.addrs[0]).unwrap();
    out.flush().unwrap();
    let end = tokio::task::spawn_blocking(|| std::io::stdin().lines().count());
    end.await.unwrap();
    links.close().await;
}

/// CPU time and resident memory of a process.
#[derive(Clone, Copy)]
struct Usage {
    cpu: Duration,
    bytes: u64,
}

fn usage(pid: u32) -> Usage {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    // Fields 14, 15 and 24 of proc(5), counted from the third; ticks of 10 ms and pages of 4 KiB.
    let number = |field: usize| fields[field - 3].parse::<u64>().unwrap();
    Usage { cpu: Duration::from_millis((number(14) + number(15)) * 10), bytes: number(24) * 4_096 }
}

fn start_acceptor() -> (Child, LinkAddr, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(ROLE, "acceptor")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let mut seed = Zeroizing::new([0; 32]);
    seed[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let bundle = Identity::from_seed(seed).server_bundle();
    let addrs = vec![line.trim().parse().unwrap()];
    (child, LinkAddr { peer_id: bundle.peer_id, link_pk: bundle.link_pk, addrs }, out)
}

/// All envelopes at once; how long until the last is answered.
async fn round(links: &[Link], envelope: &Bytes) -> Duration {
    let start = Instant::now();
    let calls = links.iter().map(|link| {
        let (link, envelope) = (link.clone(), envelope.clone());
        tokio::spawn(async move { link.call(Kind::Envelope, envelope, PATIENCE).await.unwrap() })
    });
    for answer in join_all(calls.collect::<Vec<_>>()).await {
        assert_eq!(answer.unwrap(), [1]);
    }
    start.elapsed()
}

async fn clients() {
    let (mut child, addr, _out) = start_acceptor();
    let mut clients = Vec::new();
    for seed in 0..CLIENTS {
        clients.push(bind(seed, Role::Client).await);
    }
    let links: Vec<Link> = clients.iter().map(|client| client.link(addr.clone())).collect();
    let (own, other) = (std::process::id(), child.id());
    let before = usage(other);
    let start = Instant::now();
    let dials = stream::iter(&links).map(|link| async { link.ready(PATIENCE).await.unwrap() });
    dials.buffer_unordered(DIALS).count().await;
    let linked = start.elapsed();
    let up = usage(other);

    let envelope = Bytes::from(vec![0x5a; ENVELOPE]);
    for _ in 0..WARM_UP {
        round(&links, &envelope).await;
    }
    let (own_before, other_before) = (usage(own), usage(other));
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(round(&links, &envelope).await);
    }
    let (own_after, other_after) = (usage(own), usage(other));
    rounds.sort();

    let per = |from: Usage, to: Usage| {
        to.cpu.saturating_sub(from.cpu).as_secs_f64() * 1e3 / (ROUNDS as f64 * f64::from(CLIENTS))
    };
    let kib = |from: Usage, to: Usage| to.bytes.saturating_sub(from.bytes) / 1_024 / u64::from(CLIENTS);
    println!("{CLIENTS} clients, {ENVELOPE} bytes each, {ROUNDS} rounds back to back, 2 processes");
    println!("| what | measured | target |");
    println!("| --- | --- | --- |");
    println!("| round, median | {:.0?} | |", rounds[ROUNDS / 2]);
    println!("| shortest stable round (the slowest of all) | {:.0?} | 250 ms |", rounds[ROUNDS - 1]);
    println!("| CPU per client and round, acceptor | {:.2} ms | 0.30 ms |", per(other_before, other_after));
    println!("| CPU per client and round, client | {:.2} ms | |", per(own_before, own_after));
    println!("| memory per client at the acceptor, linked | {} KiB | |", kib(before, up));
    println!("| memory per client at the acceptor, after the rounds | {} KiB | |", kib(before, other_after));
    println!("| all clients linked, {DIALS} at a time | {linked:.1?} | |");
    join_all(clients.iter().map(Links::close)).await;
    drop(child.stdin.take());
    child.wait().unwrap();
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if std::env::var(ROLE).is_ok() {
        runtime.block_on(acceptor());
    } else {
        runtime.block_on(clients());
    }
}
