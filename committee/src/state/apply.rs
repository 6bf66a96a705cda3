//! Applying an entry: the rules of sections 4 to 6, the same on every server.

use zipnet_dcnet::absence;
use zipnet_dcnet::aggregate::{Aggregate, Fold};
use zipnet_dcnet::header::{self, Header, HeaderError, MAX_AGGREGATORS, ascending};
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::partial::{Commitment, Partial, PartialError};
use zipnet_dcnet::record::{self, SignedRecord, finalize, owned_slots};
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::signed::{Signed, Statement};
use zipnet_dcnet::wire::{Abandoned, Ended};

use super::{RECENT, Refused, Round, Stage, State, life_of};
use crate::entry::{Entry, RoundSignature};

impl State {
    /// Applies an entry.
    ///
    /// # Errors
    /// [`Refused`] says why it is not allowed; then nothing changed, except that a refused fold dooms its round.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Refused> {
        match entry {
            Entry::Lapse(signed) => {
                let lapse = self.spoken(signed, |l| l.deployment)?;
                if lapse.bundle.peer_id != lapse.server {
                    return Err(Refused::NotServer(lapse.bundle.peer_id));
                }
                let (server, boot) = (lapse.server, (lapse.boot, lapse.bundle));
                if self.check_boot(server, &lapse.boot).is_ok() {
                    // Proposed twice: its vouches of this boot are good.
                    return Err(Refused::Twice(server));
                }
                let last = self.servers.get(&server).and_then(|s| s.boot);
                if last.is_some_and(|(last, _)| life_of(&last) != life_of(&lapse.boot)) {
                    // It has forgotten what it signed and revealed: it must never take part again.
                    return Err(Refused::Life(server));
                }
                if lapse.after != last.map_or([0; 32], |(last, _)| last) {
                    // Of an earlier restart, said again: its vouches since are good.
                    return Err(Refused::Boot(server));
                }
                self.registry.lapse(&server);
                let opened = self.opened;
                let known = self.known(server)?;
                (known.boot, known.returned, known.out) = (Some(boot), opened, false);
                let needed = |r: &&mut Round| r.has(&server) && !r.partials.contains_key(&server);
                if let Some(round) = self.round.as_mut().filter(needed) {
                    round.doomed = Some(format!("server {server} restarted"));
                }
                Ok(())
            }
            Entry::Alive(signed) => {
                let alive = self.spoken(signed, |a| a.deployment)?.clone();
                self.check_boot(alive.server, &alive.boot)?;
                let opened = self.opened;
                let known = self.known(alive.server)?;
                if known.out && alive.round < known.returned {
                    // Said before it failed.
                    return Err(Refused::Stage(alive.round));
                }
                if known.out {
                    (known.out, known.returned) = (false, opened);
                }
                Ok(())
            }
            Entry::Policy(signed) => {
                let policy = self.spoken(signed, |p| p.deployment)?.clone();
                if policy.aggregators.len() > MAX_AGGREGATORS || !ascending(&policy.aggregators) {
                    return Err(Refused::Policy(policy.server));
                }
                self.known(policy.server)?.aggregators = policy.aggregators;
                Ok(())
            }
            Entry::Vouch(signed) => {
                let vouch = self.spoken(signed, |v| v.deployment)?.clone();
                self.check_boot(vouch.server, &vouch.boot)?;
                self.registry.vouch(&vouch)
            }
            Entry::Withdrawal(signed) => {
                let withdrawal = self.spoken(signed, |w| w.deployment)?.clone();
                self.check_boot(withdrawal.server, &withdrawal.boot)?;
                self.registry.withdraw(&withdrawal)
            }
            Entry::Open(header) => self.open(header),
            Entry::HeaderSignature(signature) => self.header_signature(signature),
            Entry::Fold { round, parts } => self.fold(*round, parts),
            Entry::Commitment(signed) => self.commitment(signed),
            Entry::Partial(signed) => self.partial(signed),
            Entry::RecordSignature(signature) => self.record_signature(signature),
            Entry::Abandon { round } => self.abandon(*round),
            Entry::Disclosure(signed) => self.disclosure(signed),
            Entry::Leave(signed) => {
                let leave = self.spoken(signed, |l| l.deployment)?.clone();
                self.check_boot(leave.server, &leave.boot)?;
                let opened = self.opened;
                let known = self.known(leave.server)?;
                if known.out {
                    return Err(Refused::Twice(leave.server));
                }
                if leave.round < known.returned {
                    return Err(Refused::Stage(leave.round));
                }
                // The round under way is not doomed: who leaves waits for its end.
                (known.out, known.returned) = (true, opened);
                Ok(())
            }
        }
    }

    fn known(&mut self, server: PeerId) -> Result<&mut super::ServerState, Refused> {
        self.servers.get_mut(&server).ok_or(Refused::NotServer(server))
    }

    /// The body of a statement by a server of this committee about this deployment.
    fn spoken<'a, T: Statement>(
        &self,
        signed: &'a Signed<T>,
        deployment: impl Fn(&T) -> zipnet_dcnet::ids::DeploymentId,
    ) -> Result<&'a T, Refused> {
        let signer = signed.trusted().signer();
        if !self.servers.contains_key(&signer) {
            return Err(Refused::NotServer(signer));
        }
        let body = signed.verify()?;
        if deployment(body) != self.deployment {
            return Err(Refused::Deployment);
        }
        Ok(body)
    }

    fn check_boot(&self, server: PeerId, boot: &[u8; 32]) -> Result<(), Refused> {
        let current = self.servers.get(&server).and_then(|s| s.boot.as_ref());
        if current.is_some_and(|(b, _)| b == boot) { Ok(()) } else { Err(Refused::Boot(server)) }
    }

    /// R4: what a header has to agree with. Gives the roster that it names.
    ///
    /// # Errors
    /// [`Refused`] names what does not agree.
    pub fn check_open(&self, header: &Header) -> Result<Roster, Refused> {
        if let Some(round) = &self.round {
            return Err(Refused::Busy(round.header.round));
        }
        header.check(&self.descriptor, &self.deployment)?;
        let mut named = self.eligible();
        if named.len() < self.descriptor.majority() {
            named = self.up();
        }
        if let Some(server) = header.servers.iter().find(|s| !named.contains(s)) {
            return Err(Refused::NotEligible(*server));
        }
        let (own, roster) = self.next_header(header.servers.clone());
        if header.round != own.round {
            return Err(HeaderError::Round { round: header.round, expected: own.round }.into());
        }
        if header.prev != own.prev {
            return Err(HeaderError::Prev(header.round).into());
        }
        if header.aggregators != own.aggregators {
            return Err(HeaderError::Aggregators(header.aggregators.len()).into());
        }
        if header.roster != own.roster || header.roster_len != own.roster_len {
            return Err(HeaderError::Roster(header.round).into());
        }
        Ok(roster)
    }

    fn open(&mut self, header: &Header) -> Result<(), Refused> {
        let roster = self.check_open(header)?;
        let prev = self.last.as_ref().map(|record| (record, &self.last_digest));
        self.round = Some(Round {
            digest: header.digest(),
            quiet: header.is_quiet(self.last.as_ref()),
            owned: owned_slots(&self.descriptor.params, header, prev),
            header: header.clone(),
            roster: roster.clone(),
            signatures: std::collections::BTreeMap::new(),
            fold: None,
            doomed: None,
            commitments: std::collections::BTreeMap::new(),
            partials: std::collections::BTreeMap::new(),
        });
        self.opened = header.round;
        self.last_roster = roster;
        Ok(())
    }

    /// The round under way, if it is this one and at this stage.
    fn at(&mut self, round: u64, stage: Stage) -> Result<&mut Round, Refused> {
        let fits = |r: &&mut Round| r.header.round == round && r.stage() == stage && r.doomed.is_none();
        self.round.as_mut().filter(fits).ok_or(Refused::Stage(round))
    }

    fn header_signature(&mut self, s: &RoundSignature) -> Result<(), Refused> {
        let round = self.at(s.round, Stage::Signing)?;
        if !round.has(&s.server) {
            return Err(PartialError::NotInHeader(s.server).into());
        }
        s.server.verify(header::DOMAIN, &round.digest, &s.signature)?;
        if round.signatures.contains_key(&s.server) {
            return Err(Refused::Twice(s.server));
        }
        round.signatures.insert(s.server, s.signature);
        Ok(())
    }

    fn fold(&mut self, round: u64, parts: &[Signed<Aggregate>]) -> Result<(), Refused> {
        let result = self.check_fold(round, parts);
        if let (Err(refused), Ok(round)) = (&result, self.at(round, Stage::Folding)) {
            round.doomed = Some(refused.to_string());
        }
        let fold = result?;
        let digest = fold.digest();
        self.at(round, Stage::Folding)?.fold = Some((fold, digest));
        Ok(())
    }

    fn check_fold(&mut self, round: u64, parts: &[Signed<Aggregate>]) -> Result<Fold, Refused> {
        let params = self.descriptor.params.clone();
        let before = self.last_participants.clone();
        let round = self.at(round, Stage::Folding)?;
        let mut fold = Fold::new(&params, &round.header);
        for part in parts {
            fold.merge(&round.header, part.verify()?)?;
        }
        fold.check_count(&params)?;
        if !round.quiet {
            absence::check(&before, &round.participants(&fold))?;
        }
        Ok(fold)
    }

    fn commitment(&mut self, signed: &Signed<Commitment>) -> Result<(), Refused> {
        let c = self.spoken(signed, |c| c.deployment)?;
        let round = self.at(c.round, Stage::Committing)?;
        if !round.has(&c.server) {
            return Err(PartialError::NotInHeader(c.server).into());
        }
        let fold = round.fold.as_ref().map(|f| f.1);
        if c.header_digest != round.digest || Some(c.aggregate_digest) != fold {
            return Err(PartialError::Round(c.round).into());
        }
        if round.commitments.contains_key(&c.server) {
            return Err(PartialError::Twice(c.server).into());
        }
        round.commitments.insert(c.server, c.commitment);
        Ok(())
    }

    fn partial(&mut self, signed: &Signed<Partial>) -> Result<(), Refused> {
        let p = self.spoken(signed, |p| p.deployment)?;
        let expected = self.descriptor.params.vector_bytes();
        if self.round.as_ref().is_some_and(|r| r.header.round == p.round && r.stage() < Stage::Revealing) {
            return Err(PartialError::TooEarly.into());
        }
        let round = self.at(p.round, Stage::Revealing)?;
        if !round.has(&p.server) {
            return Err(PartialError::NotInHeader(p.server).into());
        }
        let fold = round.fold.as_ref().map(|f| f.1);
        if p.header_digest != round.digest || Some(p.aggregate_digest) != fold {
            return Err(PartialError::Round(p.round).into());
        }
        if p.vector.len() != expected {
            return Err(PartialError::Length { given: p.vector.len(), expected }.into());
        }
        if round.partials.contains_key(&p.server) {
            return Err(PartialError::Twice(p.server).into());
        }
        if round.commitments.get(&p.server) != Some(&p.commitment()) {
            return Err(PartialError::Mismatch(p.server).into());
        }
        round.partials.insert(p.server, p.vector.clone());
        if round.partials.len() == round.header.servers.len() {
            self.finish();
        }
        Ok(())
    }

    /// R11: the last partial entered before any abandon, so the round is final.
    fn finish(&mut self) {
        let round = self.round.take().expect("invariant: called with a round whose partials are all there");
        let (fold, _) = round.fold.as_ref().expect("invariant: partials come after the fold");
        let partials: Vec<&[u8]> = round.partials.values().map(Vec::as_slice).collect();
        let record = finalize(&self.descriptor.params, &round.header, round.owned, fold, &partials);
        self.last_participants = round.participants(fold);
        self.registry.settle(&round.roster, &self.last_participants, self.descriptor.params.absence_limit);
        self.last_digest = record.digest();
        self.last = Some(record.clone());
        self.end(Ended::Final(Box::new(SignedRecord { record, signatures: Vec::new() })));
    }

    fn end(&mut self, ended: Ended) {
        self.recent.insert(ended.round(), ended);
        while self.recent.len() > RECENT {
            self.recent.pop_first();
        }
    }

    fn record_signature(&mut self, s: &RoundSignature) -> Result<(), Refused> {
        let Some(Ended::Final(signed)) = self.recent.get_mut(&s.round) else {
            return Err(Refused::Stage(s.round));
        };
        if signed.record.servers.binary_search(&s.server).is_err() {
            return Err(PartialError::NotInHeader(s.server).into());
        }
        s.server.verify(record::DOMAIN, &signed.record.digest(), &s.signature)?;
        match signed.signatures.binary_search_by_key(&s.server, |(server, _)| *server) {
            Ok(_) => Err(Refused::Twice(s.server)),
            Err(at) => {
                signed.signatures.insert(at, (s.server, s.signature));
                Ok(())
            }
        }
    }

    /// The round's number is never used again. Servers that kept it from being signed or committed are left out of
    /// headers until they say that they are back; one that lacks only its partial is not, because an innocent crash
    /// looks the same (R7), and nobody is for a round that could not become final anyway.
    fn abandon(&mut self, number: u64) -> Result<(), Refused> {
        let round = match self.round.take() {
            Some(round) if round.header.round == number => round,
            other => {
                self.round = other;
                return Err(Refused::Stage(number));
            }
        };
        if round.stage() < Stage::Revealing && round.doomed.is_none() {
            for server in round.missing() {
                let known = self.known(server)?;
                (known.out, known.returned) = (true, number);
            }
        }
        let abandoned = Abandoned { round: number, header_digest: round.digest, disclosures: Vec::new() };
        self.end(Ended::Abandoned(abandoned));
        Ok(())
    }

    fn disclosure(&mut self, signed: &Signed<zipnet_dcnet::statement::Disclosure>) -> Result<(), Refused> {
        let d = self.spoken(signed, |d| d.deployment)?;
        let Some(Ended::Abandoned(abandoned)) = self.recent.get_mut(&d.round) else {
            return Err(Refused::Stage(d.round));
        };
        if d.header_digest != abandoned.header_digest {
            return Err(PartialError::Round(d.round).into());
        }
        if abandoned.disclosures.iter().any(|other| other.trusted().server == d.server) {
            return Err(Refused::Twice(d.server));
        }
        abandoned.disclosures.push(signed.clone());
        Ok(())
    }
}
