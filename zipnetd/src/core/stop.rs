//! Ending: at once, or after covering on for a fresh draw of `warm_up`, so that the end of a message's wait and the end
//! of the daemon's presence are not seen together (protocol.md, `warm_up`).

use super::pace::draw_rounds;
use super::{Core, Notice, Output};

/// Writes under way may take this long when everything else is done, in milliseconds.
const FLUSH_MS: u64 = 5_000;

/// Round deadlines that lingering may take beyond its rounds: they may fail too.
pub const PATIENCE: u64 = 2;

/// See the module.
pub(super) struct Stopping {
    /// Final records that are still to list this session.
    left: u32,
    /// By then it is over, whatever came, in Unix milliseconds.
    deadline: u64,
    /// Set once nothing is left but writes.
    flush_until: Option<u64>,
    over: bool,
}

impl Stopping {
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn record(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    pub(super) fn next_wake(&self) -> u64 {
        self.flush_until.unwrap_or(self.deadline)
    }
}

impl Core {
    pub(super) fn stop(&mut self, linger: bool) {
        let params = &self.cfg.descriptor.params;
        if let Some(stopping) = &mut self.stopping {
            if !linger {
                stopping.left = 0;
            }
            return;
        }
        let drawn = draw_rounds(params.warm_up, &mut self.draw);
        let left = if linger { drawn } else { 0 };
        // Who is on no roster waits only for a round that may list it yet: there is nobody to cover for.
        let expected = if self.pace.registered { left } else { 0 };
        let rounds = u64::from(expected) * u64::from(params.round_period_ms);
        let deadline = self.now + rounds + PATIENCE * u64::from(params.round_deadline_ms);
        self.stopping = Some(Stopping { left, deadline, flush_until: None, over: false });
        if left > 0 {
            self.out.push(Output::Notice(Notice::Lingering { rounds: left }));
        }
    }

    pub(super) fn stop_if_done(&mut self) {
        let now = self.now;
        let Some(stopping) = &self.stopping else { return };
        if stopping.over || (stopping.left > 0 && now < stopping.deadline) {
            return;
        }
        if stopping.flush_until.is_none() {
            self.write_rest();
        }
        let idle = self.writes.is_idle();
        let Some(stopping) = &mut self.stopping else { return };
        let flush_until = *stopping.flush_until.get_or_insert(now + FLUSH_MS);
        if idle || now >= flush_until {
            stopping.over = true;
            self.out.push(Output::Stopped);
        }
    }
}
