//! What every server does: says that it started, vouches, signs headers, unblinds, discloses, signs records.

use rand_core::Rng;
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::pad;
use zipnet_dcnet::partial::{Commitment, Partial};
use zipnet_dcnet::signed::Signed;
use zipnet_dcnet::statement::{Disclosure, Lapse, Policy, Vouch};
use zipnet_dcnet::wire::Ended;

use super::{Action, Core, Mark, Unblinded};
use crate::entry::{Alive, Entry, RoundSignature};
use crate::state::{Round, Stage, State, life_of};

impl Core {
    pub(super) fn follow(&mut self, now: u64, state: &State, out: &mut Vec<Action>) {
        let me = self.me();
        let Some(own) = state.server(&me) else { return };
        if own.boot.is_none_or(|(boot, _)| boot != self.boot) {
            if self.leaving {
                return;
            }
            if own.boot.is_some_and(|(boot, _)| life_of(&boot) != life_of(&self.boot)) {
                return out.push(Action::Forgot);
            }
            let bundle = self.identity.server_bundle();
            let after = own.boot.map_or([0; 32], |(boot, _)| boot);
            let lapse = Lapse { deployment: state.deployment(), server: me, boot: self.boot, after, bundle };
            let entry = Entry::Lapse(Box::new(Signed::new(&self.identity, lapse)));
            return self.propose(now, "lapse", 0, entry, out);
        }
        let aggregators = self.policy(now);
        if own.aggregators != aggregators {
            let policy = Policy { deployment: state.deployment(), server: me, aggregators };
            let entry = Entry::Policy(Signed::new(&self.identity, policy));
            self.propose(now, "policy", 0, entry, out);
        }
        if self.leaving {
            if !own.out {
                self.say_leave(now, state, out);
            }
        } else if own.out {
            let round = state.opened();
            let alive = Alive { deployment: state.deployment(), server: me, boot: self.boot, round };
            let entry = Entry::Alive(Signed::new(&self.identity, alive));
            self.propose(now, "alive", round, entry, out);
        }
        self.ended(now, state, me, out);
        // Final, abandoned, overtaken, or `round_deadline` after it opened: no pad of it is ever computed (R3).
        let deadline = u64::from(state.descriptor().params.round_deadline_ms);
        let over = state.round().is_none() || now.saturating_sub(self.seen.1) > deadline;
        self.chains.finish(state.opened().saturating_sub(u64::from(!over)));
        if let Some(round) = state.round().filter(|r| r.doomed.is_none() && r.has(&me)) {
            self.take_part(now, state, round, me, out);
        }
        self.chains.sweep(now, state, &me);
        if !self.leaving {
            self.vouch(now, state, me, out);
        }
    }

    fn vouch(&mut self, now: u64, state: &State, me: PeerId, out: &mut Vec<Action>) {
        if self.is_header_due(now, state) {
            return;
        }
        let (deployment, boot) = (state.deployment(), self.boot);
        for (client, session, digest) in self.chains.next_vouches(now, state, &me) {
            let vouch = Vouch { deployment, server: me, boot, client, session, digest };
            out.push(Action::Propose(Entry::Vouch(Box::new(Signed::new(&self.identity, vouch)))));
        }
    }

    /// Whether the next round is about to open. A vouch between the leader's look at the roster and its header voids the
    /// header, and so does one that is taken back: both wait from the end of a round until the next one opens, or until
    /// that is overdue.
    pub(super) fn is_header_due(&self, now: u64, state: &State) -> bool {
        let overdue = u64::from(state.descriptor().params.round_period_ms) + super::REPEAT_MS;
        state.round().is_none() && state.opened() > 0 && now.saturating_sub(self.seen.1) < overdue
    }

    /// R4, R3, R7, R10: the server's part in the round under way.
    fn take_part(&mut self, now: u64, state: &State, round: &Round, me: PeerId, out: &mut Vec<Action>) {
        let number = round.header.round;
        match round.stage() {
            Stage::Signing if !round.signatures.contains_key(&me) => {
                // A policy of this server is in the log, but it may be an old one, proposed again by another.
                let trusted = round.header.aggregators.iter().all(|a| self.aggregators.contains(a));
                if !trusted || !self.marks.may_sign(number, &round.digest) {
                    return;
                }
                if !self.marks.has_signed(number, &round.digest) {
                    self.mark(Mark::Signed(number, round.digest), out);
                }
                let signature = round.header.sign(&self.identity);
                let entry = Entry::HeaderSignature(RoundSignature { round: number, server: me, signature });
                self.propose(now, "header", number, entry, out);
            }
            Stage::Committing if !round.commitments.contains_key(&me) => {
                let Some(partial) = self.unblind(state, round, me) else { return };
                let commitment = Commitment {
                    deployment: partial.deployment,
                    round: number,
                    server: me,
                    header_digest: partial.header_digest,
                    aggregate_digest: partial.aggregate_digest,
                    commitment: partial.commitment(),
                };
                let entry = Entry::Commitment(Signed::new(&self.identity, commitment));
                self.propose(now, "commitment", number, entry, out);
            }
            Stage::Revealing if !round.partials.contains_key(&me) => {
                let Some(partial) = self.unblind(state, round, me).cloned() else { return };
                if !self.marks.revealed(number) {
                    self.mark(Mark::Revealed(number, round.digest), out);
                }
                let entry = Entry::Partial(Box::new(Signed::new(&self.identity, partial)));
                self.propose(now, "partial", number, entry, out);
            }
            _ => {}
        }
    }

    /// The partial for the committed fold: computed once, then the cached one. `None` when the chains are not there.
    fn unblind(&mut self, state: &State, round: &Round, me: PeerId) -> Option<&Partial> {
        let (fold, aggregate_digest) = round.fold.as_ref()?;
        if self.unblinded.as_ref().is_some_and(|u| u.0.aggregate_digest == *aggregate_digest) {
            return self.unblinded.as_ref().map(|u| &u.0);
        }
        let number = round.header.round;
        let keys = self.chains.take(number, &round.digest, &round.roster, fold.participants.ones())?;
        let mut nonce = [0; 32];
        self.rng.fill_bytes(&mut nonce);
        let partial = Partial {
            deployment: state.deployment(),
            round: number,
            server: me,
            header_digest: round.digest,
            aggregate_digest: *aggregate_digest,
            nonce,
            vector: pad::sum_parallel(&keys, fold.vector.len()).to_vec(),
        };
        Some(&self.unblinded.insert(Unblinded(partial)).0)
    }

    /// Signs final records, discloses abandoned rounds (R10, R11); one of each at a time, the oldest first.
    fn ended(&mut self, now: u64, state: &State, me: PeerId, out: &mut Vec<Action>) {
        let under_way = state.round().map(|r| r.header.round);
        self.unblinded.take_if(|u| Some(u.0.round) != under_way);
        let unsigned = state.recent().values().find_map(|ended| match ended {
            Ended::Final(s) => {
                let mine = s.record.servers.binary_search(&me).is_ok();
                let signed = s.signatures.iter().any(|(server, _)| *server == me);
                (mine && !signed && self.may_sign_record(&s.record)).then_some(&s.record)
            }
            Ended::Abandoned(_) => None,
        });
        if let Some(record) = unsigned {
            if self.marks.record(record.round).is_none() {
                self.mark(Mark::Record(record.round, record.digest()), out);
            }
            let signature = record.sign(&self.identity);
            let entry = Entry::RecordSignature(RoundSignature { round: record.round, server: me, signature });
            self.propose(now, "record", record.round, entry, out);
        }
        let silent = state.recent().values().find_map(|ended| match ended {
            Ended::Abandoned(a) if a.disclosures.iter().all(|d| d.trusted().server != me) => Some(a),
            _ => None,
        });
        if let Some(abandoned) = silent {
            let round = abandoned.round;
            self.chains.finish(round);
            let disclosure = Disclosure {
                deployment: state.deployment(),
                server: me,
                round,
                header_digest: abandoned.header_digest,
                revealed: self.marks.revealed(round),
            };
            let entry = Entry::Disclosure(Signed::new(&self.identity, disclosure));
            self.propose(now, "disclosure", round, entry, out);
        }
    }

    fn may_sign_record(&self, record: &zipnet_dcnet::record::Record) -> bool {
        self.marks.record(record.round).is_none_or(|digest| *digest == record.digest())
    }

    fn mark(&mut self, mark: Mark, out: &mut Vec<Action>) {
        self.marks.note(&mark);
        out.push(Action::Mark(mark));
    }
}
