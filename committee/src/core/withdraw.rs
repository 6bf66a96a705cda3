//! Vouches that are taken back: a client was admitted for a time that is over, or on terms that changed (section 19).

use zipnet_dcnet::descriptor;
use zipnet_dcnet::signed::Signed;
use zipnet_dcnet::statement::Withdrawal;

use super::{Admission, Core};
use crate::entry::Entry;
use crate::state::State;

/// How often it is looked at who is still admitted, in milliseconds. Each look takes back a bounded number of vouches.
pub const RECONSIDER_MS: u64 = 1_000;

impl Core {
    /// What to get into the log, and why, when some that were vouched for may not stay. What does not get into the log is
    /// said again.
    pub fn reconsider(&mut self, now: u64, state: &State, admission: &dyn Admission) -> Vec<(Entry, String)> {
        if admission.kind() == descriptor::Admission::Open {
            // Everybody may stay: no need to look at all chains.
            return Vec::new();
        }
        let me = self.me();
        let started = state.server(&me).and_then(|s| s.boot).is_some_and(|(boot, _)| boot == self.boot);
        let lately = now.saturating_sub(self.reconsidered) < RECONSIDER_MS;
        if !started || lately || self.is_header_due(now, state) {
            return Vec::new();
        }
        self.reconsidered = now;
        let withdrawn = self.chains.no_longer(state, &me, |admitted| admission.still(admitted));
        let entry = |(client, session, digest, why)| {
            let (deployment, boot) = (state.deployment(), self.boot);
            let withdrawal = Withdrawal { deployment, server: me, boot, client, session, digest };
            (Entry::Withdrawal(Signed::new(&self.identity, withdrawal)), why)
        };
        withdrawn.into_iter().map(entry).collect()
    }
}
