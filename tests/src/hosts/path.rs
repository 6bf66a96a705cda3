//! What lies between two hosts, one way.

use std::time::Duration;

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Path {
    /// Of a thousand packets so many are lost; a thousand: it is cut.
    pub loss: u32,
    /// How long a packet takes.
    pub delay: Duration,
    /// Up to this is added to each packet's delay, by chance: packets overtake each other.
    pub jitter: Duration,
}

impl Path {
    /// Nothing gets through.
    pub const CUT: Self = Self { loss: 1_000, delay: Duration::ZERO, jitter: Duration::ZERO };

    /// How long a packet takes for these two random numbers; `None`: it is lost.
    pub(super) fn takes(&self, loss: u32, jitter: u32) -> Option<Duration> {
        let lost = loss % 1_000 < self.loss;
        (!lost).then(|| self.delay + self.jitter.mul_f64(f64::from(jitter) / f64::from(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_loses_and_delays_as_it_says() {
        assert_eq!(Path::default().takes(0, u32::MAX), Some(Duration::ZERO));
        assert_eq!(Path::CUT.takes(999, 0), None);
        let path = Path { loss: 50, delay: Duration::from_millis(300), jitter: Duration::from_millis(20) };
        assert_eq!(path.takes(49, 0), None);
        assert_eq!(path.takes(50, 0), Some(Duration::from_millis(300)));
        assert_eq!(path.takes(50, u32::MAX), Some(Duration::from_millis(320)));
    }
}
