//! The core's randomness: independent streams from one seed, each wiped behind itself.
//!
//! A stream moves on by hashing and forgets where it was. With a rewindable generator, whoever gets the memory of the
//! daemon could draw its ephemeral secrets and tokens again, and with them pads of finished rounds (forward secrecy)
//! and the slots it owned.
//!
//! One stream per purpose, so that having a message never shifts what covers draw (R5).

use std::num::NonZeroU32;

use zeroize::Zeroizing;
use zipnet_dcnet::hash::{Use, keyed32};
use zipnet_dcnet::reservation::Token;

const DRAW: Use = Use("zipnetd draw");

/// One stream.
pub(super) struct Stream(Zeroizing<[u8; 32]>);

impl Stream {
    fn new(seed: &[u8; 32], name: &str) -> Self {
        let mut state = Zeroizing::new([0; 32]);
        keyed32(DRAW, seed, &[b"stream", name.as_bytes()], &mut state);
        Self(state)
    }

    /// 32 fresh bytes.
    pub(super) fn bytes(&mut self) -> Zeroizing<[u8; 32]> {
        let (mut out, mut next) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        keyed32(DRAW, &*self.0, &[b"out"], &mut out);
        keyed32(DRAW, &*self.0, &[b"next"], &mut next);
        self.0 = next;
        out
    }

    fn word(&mut self) -> u64 {
        let bytes = self.bytes();
        u64::from_le_bytes(std::array::from_fn(|i| bytes[i]))
    }

    /// A number below `n`; 0 when `n` is 0. Off from uniform by less than n / 2^64.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(n)) >> 64) as u64
    }

    /// A fresh token, always from one draw.
    pub(super) fn token(&mut self) -> Token {
        let bytes = self.bytes();
        let mut words = bytes.chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
        words.find_map(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
    }

    /// 1, 2, 3, … with mean `mean`, at most 64 times that.
    pub(super) fn geometric(&mut self, mean: u32) -> u64 {
        let most = u64::from(mean) * 64;
        (1..most).find(|_| self.below(u64::from(mean)) == 0).unwrap_or(most)
    }
}

/// All streams of the core.
pub(super) struct Draw {
    /// Sessions and ephemeral secrets.
    pub(super) keys: Stream,
    /// How long to warm up and to linger.
    pub(super) warm_up: Stream,
    /// One token, one coin and one moment per sealed round.
    pub(super) cover: Stream,
    /// Which aggregator.
    pub(super) aggregator: Stream,
    /// When to call again.
    pub(super) backoff: Stream,
    /// Message ids.
    pub(super) ids: Stream,
    /// Rounds to wait after an absence.
    pub(super) waits: Stream,
}

impl Draw {
    pub(super) fn new(seed: &Zeroizing<[u8; 32]>) -> Self {
        let stream = |name| Stream::new(seed, name);
        Self {
            keys: stream("keys"),
            warm_up: stream("warm up"),
            cover: stream("cover"),
            aggregator: stream("aggregator"),
            backoff: stream("backoff"),
            ids: stream("ids"),
            waits: stream("waits"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_by_the_seed_and_differ() {
        let seed = Zeroizing::new([1; 32]);
        let (mut a, mut b) = (Draw::new(&seed), Draw::new(&seed));
        assert_eq!(a.keys.bytes(), b.keys.bytes());
        assert_ne!(a.keys.bytes(), b.cover.bytes());
        assert_ne!(a.keys.bytes(), a.keys.bytes());
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_it() {
        let mut s = Stream::new(&[2; 32], "test");
        let seen: std::collections::BTreeSet<u64> = (0..200).map(|_| s.below(5)).collect();
        assert_eq!(seen, (0..5).collect());
        assert_eq!(s.below(0), 0);
    }

    #[test]
    fn the_wait_has_mean_eight_and_is_at_least_one() {
        let mut s = Stream::new(&[3; 32], "test");
        let draws: Vec<u64> = (0..4_000).map(|_| s.geometric(8)).collect();
        let mean = draws.iter().sum::<u64>() as f64 / draws.len() as f64;
        assert!((7.3..8.7).contains(&mean), "mean {mean}");
        assert_eq!(draws.iter().min(), Some(&1));
    }
}
