//! A server that is about to stop, and says so first (section 7).

use zipnet_dcnet::signed::Signed;
use zipnet_dcnet::wire::Ended;

use super::{Action, Core};
use crate::entry::{Entry, Leave};
use crate::state::State;

impl Core {
    /// From now on this server gets itself out of headers: it says so in the log, takes part in the round under way to
    /// its end, opens none, and registers nobody.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    /// Whether it is leaving.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether no round needs this server any more: it is out of headers, the round under way does not name it, and it
    /// has signed the records and disclosed the rounds that it owes.
    pub fn may_go(&self, state: &State) -> bool {
        let me = self.me();
        let Some(own) = state.server(&me) else { return true };
        if own.boot.is_none_or(|(boot, _)| boot != self.boot) {
            // It has not said that it is there, so nobody waits for it.
            return true;
        }
        let owes = |ended: &Ended| match ended {
            Ended::Final(signed) => {
                let mine = signed.record.servers.binary_search(&me).is_ok();
                mine && signed.signatures.iter().all(|(server, _)| *server != me)
            }
            Ended::Abandoned(abandoned) => abandoned.disclosures.iter().all(|d| d.trusted().server != me),
        };
        own.out && state.round().is_none_or(|round| !round.has(&me)) && !state.recent().values().any(owes)
    }

    pub(super) fn say_leave(&mut self, now: u64, state: &State, out: &mut Vec<Action>) {
        let round = state.opened();
        let leave = Leave { deployment: state.deployment(), server: self.me(), boot: self.boot, round };
        let entry = Entry::Leave(Signed::new(&self.identity, leave));
        self.propose(now, "leave", round, entry, out);
    }
}
