//! Key chains: one per client and server, moved on before anything that was made with them leaves (R2, R3).

use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::hash::{Use, keyed32};
use crate::ids::HeaderDigest;

/// Nobody moves a chain further than this in one call: register again instead.
pub const MAX_STEPS: u64 = 1 << 20;

/// A secret key that is wiped on drop. Boxed, because moving a value leaves its bytes behind where it was.
pub(crate) type Key = Box<Zeroizing<[u8; 32]>>;

/// The key of one pad: of one client, one server, one header. Wiped on drop.
pub struct PadKey(pub(crate) Key);

impl ZeroizeOnDrop for PadKey {}

impl PadKey {
    /// The raw key, for known-answer tests and benchmarks.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A chain that cannot give what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The key of that round is erased already.
    #[error("the chain stands at round {at}: round {round} is behind it")]
    Behind {
        /// The round asked for.
        round: u64,
        /// The next round the chain can give.
        at: u64,
    },
    /// Too far ahead.
    #[error("the chain stands at round {at}: round {round} is more than {MAX_STEPS} steps ahead")]
    TooFar {
        /// The round asked for.
        round: u64,
        /// The next round the chain can give.
        at: u64,
    },
}

/// A chain. It can give the pad key of round `at()` and later ones, each at most once. No `Debug`, no `Clone`.
pub struct Chain {
    key: Key,
    at: u64,
}

impl Chain {
    pub(crate) fn new(key: Key, start: u64) -> Self {
        Self { key, at: start }
    }

    /// The first round whose pad key this chain can still give.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The pad key of `round` under `header`. The chain is past `round` when this returns: erase first (R3).
    ///
    /// # Errors
    /// [`ChainError`], and the chain is as before.
    pub fn take(&mut self, round: u64, header: &HeaderDigest) -> Result<PadKey, ChainError> {
        if round == u64::MAX {
            // No chain can be past the last round, so it cannot be given.
            return Err(ChainError::TooFar { round, at: self.at });
        }
        self.advance(round)?;
        let mut pad = PadKey(Key::default());
        keyed32(Use::PAD, &**self.key, &[b"pad", header], &mut pad.0);
        self.step();
        Ok(pad)
    }

    /// Moves the chain so that `round` is the first it can give; used with `round + 1` to pass a round unused.
    ///
    /// # Errors
    /// [`ChainError`], and the chain is as before.
    pub fn advance(&mut self, round: u64) -> Result<(), ChainError> {
        let at = self.at;
        let steps = round.checked_sub(at).ok_or(ChainError::Behind { round, at })?;
        if steps > MAX_STEPS {
            return Err(ChainError::TooFar { round, at });
        }
        for _ in 0..steps {
            self.step();
        }
        Ok(())
    }

    fn step(&mut self) {
        let mut next = Zeroizing::new([0; 32]);
        keyed32(Use::RATCHET, &**self.key, &[b"ratchet"], &mut next);
        // Over the old key, in place: nothing is left of it.
        self.key.copy_from_slice(&*next);
        self.at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(start: u64) -> Chain {
        Chain::new(Box::new(Zeroizing::new([5; 32])), start)
    }

    #[test]
    fn a_round_is_given_once_and_skipping_does_not_change_it() {
        let mut stepped = chain(3);
        let _ = stepped.take(3, &[0; 32]).unwrap();
        let _ = stepped.take(4, &[0; 32]).unwrap();
        let a = stepped.take(5, &[1; 32]).unwrap();
        let mut jumped = chain(3);
        let b = jumped.take(5, &[1; 32]).unwrap();
        assert_eq!(a.0, b.0);
        assert_eq!(jumped.take(5, &[1; 32]).err(), Some(ChainError::Behind { round: 5, at: 6 }));
    }

    #[test]
    fn a_chain_moves_at_most_two_to_the_twenty_steps() {
        let mut c = chain(0);
        let error = c.advance(MAX_STEPS + 1);
        assert_eq!(error, Err(ChainError::TooFar { round: MAX_STEPS + 1, at: 0 }));
        c.advance(MAX_STEPS).unwrap();
        assert_eq!(c.at(), MAX_STEPS);
    }
}
