//! The time that the core is told: Unix milliseconds that never go back.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Follows the wall clock forwards, and goes on steadily where that is set back. Timers therefore always run out, and
/// what is kept on disk with a time keeps its meaning after a restart.
pub(crate) struct Clock {
    last: u64,
    at: Instant,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The wall clock in Unix milliseconds.
pub(crate) fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { last: wall(), at: Instant::now() }
    }

    pub(crate) fn now(&mut self) -> u64 {
        self.advance(wall(), Instant::now())
    }

    fn advance(&mut self, wall: u64, at: Instant) -> u64 {
        let steady = self.last + millis(at.duration_since(self.at));
        // Less than a millisecond must not be lost at every reading.
        if steady > self.last || wall > self.last {
            self.last = steady.max(wall);
            self.at = at;
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_forwards_and_never_goes_back_or_stands_still() {
        let start = Instant::now();
        let mut clock = Clock { last: 1_000, at: start };
        let after = |ms| start + Duration::from_millis(ms);
        assert_eq!(clock.advance(1_010, after(10)), 1_010);
        assert_eq!(clock.advance(500, after(20)), 1_020, "set back");
        assert_eq!(clock.advance(510, after(30)), 1_030);
        assert_eq!(clock.advance(9_000, after(40)), 9_000, "set forward");
        let micros = |us| after(40) + Duration::from_micros(us);
        for us in (0..=1_000).step_by(100) {
            clock.advance(0, micros(us));
        }
        assert_eq!(clock.advance(0, micros(1_000)), 9_001, "short readings add up");
    }
}
