//! What a round costs: `cargo bench -p zipnet-dcnet`. The raw keystream of the `chacha20` crate on the same bytes is measured
//! in turn with each partial, and the ratio printed; docs/protocol.md, section 17, says what the figures are here.

#![allow(missing_docs, clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "the clock is what a benchmark is for")]

#[path = "../tests/common/mod.rs"]
#[allow(dead_code)]
mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use common::{Dice, Network, register};
use zipnet_dcnet::aggregate::Fold;
use zipnet_dcnet::chain::PadKey;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::pad;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::reservation::peel;
use zipnet_dcnet::seal::{Content, Envelope, seal};

const SIZES: [usize; 2] = [18_432, 184_320];
const CLIENTS: [usize; 2] = [100, 1_000];
/// The share of the raw keystream's speed that a partial on one core has to reach, by size.
const TARGETS: [f64; 2] = [0.90, 0.95];

fn params(bytes: usize) -> Params {
    let slot_bytes = if bytes == SIZES[0] { 256 } else { 2_848 };
    let params = Params { slot_bytes, ..Params::standard(3) };
    assert_eq!(params.vector_bytes(), bytes);
    params
}

fn pad_keys(count: usize) -> Vec<PadKey> {
    let mut dice = Dice::new(1);
    let (c, s) = (Identity::from_seed(dice.secret()), Identity::from_seed(dice.secret()));
    let (mut chain, ..) = register(&c, &s, zipnet_dcnet::ids::DeploymentId([1; 32]), [1; 32], 1, &mut dice);
    (0..count).map(|_| chain.take(chain.at(), &[1; 32]).unwrap()).collect()
}

/// What the partial of `keys` costs at least: the keystreams, XORed into one buffer, by the crate alone.
fn raw(keys: &[[u8; 32]], out: &mut [u8]) {
    for key in keys {
        ChaCha20::new(key.into(), &[0; 12].into()).apply_keystream(out);
    }
}

/// Median and best of runs that take about a second together; each run is `inner` repetitions on fresh input from `setup`.
/// No bench framework: the ones there are turn on features of shared dependencies, and all of mosaik would be compiled
/// once more for it.
fn bench<I, O>(name: &str, inner: u32, mut setup: impl FnMut() -> I, mut run: impl FnMut(I) -> O) {
    let mut times = Vec::new();
    let begin = Instant::now();
    while times.len() < 5 || begin.elapsed() < Duration::from_secs(1) {
        let inputs: Vec<I> = (0..inner).map(|_| setup()).collect();
        let start = Instant::now();
        for input in inputs {
            black_box(run(black_box(input)));
        }
        times.push(start.elapsed() / inner);
    }
    times.sort_unstable();
    println!("{name:<50} median {:>10.2?}   best {:>10.2?}", times[times.len() / 2], times[0]);
}

fn partial() {
    for bytes in SIZES {
        for clients in CLIENTS {
            let keys = pad_keys(clients);
            let plain: Vec<[u8; 32]> = keys.iter().map(|k| *k.expose()).collect();
            let name = |what| format!("{clients} clients, {bytes} bytes, {what}");
            bench(&name("one core"), 1, || (), |()| pad::sum(&keys, bytes));
            bench(&name("all cores"), 1, || (), |()| pad::sum_parallel(&keys, bytes));
            let mut out = vec![0; bytes];
            bench(&name("raw keystream"), 1, || (), |()| raw(&plain, black_box(&mut out)));
        }
    }
}

fn client() {
    let params = params(SIZES[0]);
    for servers in [3, 5, 10] {
        let content = || Content { token: std::num::NonZeroU32::new(7), message: Some((3, b"hello")) };
        let seal = |keys| seal(&params, &[1; 32], keys, &content()).unwrap();
        bench(&format!("seal for {servers} servers"), 10, || pad_keys(servers), seal);
    }
    let mut dice = Dice::new(1);
    let (id, server) = (Identity::from_seed(dice.secret()), Identity::from_seed(dice.secret()));
    let deployment = zipnet_dcnet::ids::DeploymentId([1; 32]);
    let (mut chain, ..) = register(&id, &server, deployment, [1; 32], 1, &mut dice);
    bench("pad key and next chain", 100, || (), |()| chain.take(chain.at(), &[1; 32]).unwrap());
    bench(
        "registration, both sides",
        1,
        || (),
        |()| register(&id, &server, deployment, [1; 32], 1, &mut dice),
    );
}

fn fold_and_peel() {
    for bytes in SIZES {
        let params = params(bytes);
        let net = Network::new(params.clone(), 3, 3, 1);
        let (roster, _) = net.roster(0..3);
        let mut header = net.header(&roster);
        header.roster_len = 1 << 17;
        let empty = Fold::new(&params, &header);
        let mut fold = empty.clone();
        let mut envelope = Envelope { round: header.round, index: 0, vector: vec![5; bytes] };
        bench(
            &format!("fold an envelope of {bytes} bytes"),
            100,
            || (),
            |()| {
                if envelope.index == header.roster_len {
                    envelope.index = 0;
                    fold = empty.clone();
                }
                fold.add(black_box(&envelope)).unwrap();
                envelope.index += 1;
            },
        );
    }
    let params = params(SIZES[0]);
    let mut dice = Dice::new(3);
    for tokens in [0, 64, 200] {
        let mut cells = vec![0; params.vector_bytes()];
        for _ in 0..tokens {
            let content = Content { token: Some(dice.token()), message: None };
            pad::xor(&mut cells, &seal(&params, &[1; 32], Vec::new(), &content).unwrap());
        }
        cells.truncate(params.cell_bytes());
        bench(&format!("peel {tokens} tokens from 256 cells"), 10, || (), |()| peel(&[1; 32], &cells));
    }
    let junk = dice.vec(params.cell_bytes());
    bench("peel 256 hostile cells", 10, || (), |()| peel(&[1; 32], &junk));
}

/// Best of many short runs, taken in turn, so that what else the machine does hits both alike.
fn ratios() {
    println!("\npartial on one core, share of the raw keystream's speed (best of 200 each, in turn):");
    for (bytes, target) in SIZES.into_iter().zip(TARGETS) {
        for clients in CLIENTS {
            let keys = pad_keys(clients);
            let plain: Vec<[u8; 32]> = keys.iter().map(|k| *k.expose()).collect();
            let mut out = vec![0; bytes];
            let mut best = [Duration::MAX; 2];
            for _ in 0..200 {
                let start = Instant::now();
                raw(&plain, black_box(&mut out));
                best[0] = best[0].min(start.elapsed());
                let start = Instant::now();
                black_box(pad::sum(&keys, bytes));
                best[1] = best[1].min(start.elapsed());
            }
            let ratio = best[0].as_secs_f64() / best[1].as_secs_f64();
            let speed = |d: Duration| (clients * bytes) as f64 / d.as_secs_f64() / 1e9;
            let verdict = if ratio >= target { "ok" } else { "BELOW" };
            println!(
                "  {clients:>5} clients, {bytes:>7} bytes: {ratio:.3} (raw {:.2} GB/s, partial {:.2} GB/s; target {target:.2}: {verdict})",
                speed(best[0]),
                speed(best[1]),
            );
        }
    }
}

fn main() {
    partial();
    client();
    fold_and_peel();
    ratios();
}
