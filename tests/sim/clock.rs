//! Time: the world's, and each node's own, which runs a little fast or slow and starts anywhere.

/// Milliseconds.
pub(crate) type Ms = u64;

/// A node's clock. It never goes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// What it shows at the beginning of the world.
    offset: Ms,
    /// Parts per million that it runs faster than the world; negative for slower.
    ppm: i64,
}

impl Clock {
    pub(crate) fn new(offset: Ms, ppm: i64) -> Self {
        Self { offset, ppm }
    }

    /// What it shows.
    pub(crate) fn at(&self, world: Ms) -> Ms {
        let drift = i128::from(world) * i128::from(self.ppm) / 1_000_000;
        ms(i128::from(self.offset) + i128::from(world) + drift)
    }

    /// When it shows `local` at the earliest; in the past when it has been.
    pub(crate) fn when(&self, local: Ms) -> Ms {
        let since = i128::from(local.saturating_sub(self.offset));
        // One more: both divisions round down.
        ms(since * 1_000_000 / (1_000_000 + i128::from(self.ppm))) + 1
    }

    /// Somebody sets it forward.
    pub(crate) fn jump(&mut self, ms: Ms) {
        self.offset += ms;
    }
}

fn ms(exact: i128) -> Ms {
    Ms::try_from(exact).expect("invariant: clocks begin at 0 and last for years")
}

#[test]
fn when_is_not_before_and_hardly_after() {
    for ppm in [-20_000, -1, 0, 7, 20_000] {
        let clock = Clock::new(1_000, ppm);
        for local in [1_001, 5_000, 999_999] {
            let when = clock.when(local);
            assert!(clock.at(when) >= local && clock.at(when.saturating_sub(2)) <= local, "{ppm} {local}");
        }
    }
}
