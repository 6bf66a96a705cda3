//! Exploring without coverage: honest values, altered again and again. What breaks is kept as a file of the corpus.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::Target;

/// Longest input that is made, in bytes.
pub const MAX_INPUT: usize = 1 << 16;
/// Most alterations of one input.
const MAX_CHANGES: u64 = 6;
/// Values at the edges of what programs count with.
const EDGES: [u64; 12] =
    [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX];

/// The folder of a target's corpus.
pub fn corpus(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// The files of a target's corpus, in the order of their names; none when there is no folder.
pub fn kept(target: &Target) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(corpus(target)).into_iter().flatten().flatten().map(|e| e.path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// How long to explore.
pub enum Until {
    /// So many inputs.
    Count(u64),
    /// So long.
    Time(Duration),
}

/// Runs the seeds, the corpus, and then altered ones. Gives how many inputs were tried. An input that breaks the target
/// is written into the corpus as `found-…`, and the panic goes on.
pub fn explore(target: &Target, until: &Until, seed: u64) -> u64 {
    let mut pool = (target.seeds)();
    pool.extend(kept(target));
    assert!(!pool.is_empty(), "{} has no seeds", target.name);
    for input in &pool {
        try_one(target, input);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let start = Instant::now();
    let mut tried = pool.len() as u64;
    loop {
        let done = match until {
            Until::Count(count) => tried >= *count,
            Until::Time(time) => start.elapsed() >= *time,
        };
        if done {
            return tried;
        }
        let mut input = pool[below(&mut rng, pool.len())].clone();
        for _ in 0..=rng.next_u64() % MAX_CHANGES {
            alter(&mut input, &pool, &mut rng);
        }
        input.truncate(MAX_INPUT);
        try_one(target, &input);
        tried += 1;
    }
}

fn try_one(target: &Target, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        let sum = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let file = corpus(target).join(format!("found-{sum:016x}"));
        let kept = fs::create_dir_all(corpus(target)).and_then(|()| fs::write(&file, input));
        eprintln!("target {} breaks; its input is in {} ({kept:?})", target.name, file.display());
        std::panic::resume_unwind(panic);
    }
}

fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    (rng.next_u64() % n.max(1) as u64) as usize
}

/// Changes something: at the start more often than elsewhere, because that is where lengths and kinds are.
fn alter(input: &mut Vec<u8>, pool: &[Vec<u8>], rng: &mut ChaCha8Rng) {
    let near = !rng.next_u64().is_multiple_of(3);
    let span = if near { input.len().min(200) } else { input.len() };
    let at = below(rng, span);
    let len = 1 + below(rng, 16);
    let end = (at + len).min(input.len());
    match rng.next_u64() % 10 {
        0 if at < input.len() => input[at] ^= 1 << (rng.next_u64() % 8),
        1 if at < input.len() => input[at] = rng.next_u64() as u8,
        2 => drop(input.drain(at..end)),
        3 => {
            let mut more = vec![0; len];
            rng.fill_bytes(&mut more);
            input.splice(at..at, more);
        }
        4 => {
            let again = input[at..end].to_vec();
            input.splice(at..at, again);
        }
        5 | 6 => {
            let edge = EDGES[below(rng, EDGES.len())].to_le_bytes();
            let width = [1, 2, 4, 8][below(rng, 4)];
            for (to, from) in input.iter_mut().skip(at).zip(&edge[..width]) {
                *to = *from;
            }
        }
        7 => {
            let other = &pool[below(rng, pool.len())];
            let from = below(rng, other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        8 => {
            let other = &pool[below(rng, pool.len())];
            let from = below(rng, other.len());
            let to = (from + 4 * len).min(other.len());
            let place = end.min(at + (to - from)).min(input.len());
            input.splice(at..place, other[from..to].iter().copied());
        }
        9 => input.truncate(at),
        _ => input.push(rng.next_u64() as u8),
    }
}
