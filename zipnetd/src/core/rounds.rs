//! Open rounds: the header in hand, its roster and the record it stands on (R4, R5).
//!
//! At most one header is in hand. It waits for its roster and its record while there is time to seal; what cannot be
//! sealed under is left out, and the chains move past it with the next round (R3).

use std::collections::{BTreeMap, BTreeSet};

use zipnet_dcnet::header::SignedHeader;
use zipnet_dcnet::ids::{HeaderDigest, PeerId, RecordDigest};
use zipnet_dcnet::params::MAX_ROUND;
use zipnet_dcnet::reservation::Token;
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::wire::RosterUpdate;

use super::Core;
use super::ledger::Known;
use super::message::SealedAt;
use super::output::{Notice, Output};
use super::roll::Roll;
use super::scan;
use super::settle::closed;
use super::status::{Skip, Why};

/// Records that are fetched to close a gap.
const GAP: u32 = 64;
/// Rounds that are asked about again, at most, and pauses between two askings, in rounds.
const MAX_ASKED: usize = 64;
const MAX_PAUSE: u64 = 64;

/// A header that was verified and not sealed under yet.
pub(super) struct InHand {
    pub(super) signed: SignedHeader,
    pub(super) digest: HeaderDigest,
    /// When it came, in Unix milliseconds: the best guess of when the round was opened.
    pub(super) received: u64,
    /// Servers that were asked for its roster.
    asked: BTreeSet<PeerId>,
}

/// What a header stands on.
pub(super) enum Below<'a> {
    /// It is the first one, or none was final yet.
    Nothing,
    /// The last final record.
    Record(&'a Known),
}

/// What was said in the last sealed round.
pub(super) struct LastSeal {
    pub(super) header_digest: HeaderDigest,
    pub(super) index: u32,
    pub(super) token: Option<Token>,
}

struct Asked {
    at: SealedAt,
    pause: u64,
    next: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Rounds {
    /// The last header that counts.
    pub(super) last: u64,
    /// The record it stands on.
    pub(super) prev: Option<RecordDigest>,
    /// Every round up to this one has ended.
    pub(super) ended: u64,
    pub(super) in_hand: Option<InHand>,
    pub(super) roster: Option<([u8; 32], Roster)>,
    pub(super) last_seal: Option<LastSeal>,
    /// Who the headers name.
    pub(super) roll: Roll,
    /// Why the last header carries no message; `None` when it may.
    pub(super) why: Option<Why>,
    pub(super) aggregator: Option<PeerId>,
    aggregators_down: BTreeSet<PeerId>,
    sent_to: Option<(u64, PeerId)>,
    /// Sealed rounds, talk and cover, for which R10 and R11 have no answer yet: asked about again, ever more rarely.
    asked: BTreeMap<u64, Asked>,
}

impl Rounds {
    pub(super) fn forget_reservation(&mut self) {
        self.last_seal = None;
    }

    pub(super) fn next_wake(&self, fold_ms: u64) -> Option<u64> {
        self.in_hand.as_ref().map(|h| h.received + window(fold_ms))
    }

    pub(super) fn aggregator_link(&mut self, peer: PeerId, up: bool) {
        if up {
            self.aggregators_down.remove(&peer);
        } else if self.aggregators_down.len() < 64 {
            self.aggregators_down.insert(peer);
        }
    }

    /// The aggregator did not take an envelope: another one for the next round, never for this one (R5).
    pub(super) fn envelope(&mut self, round: u64, taken: bool) {
        if !taken && self.sent_to.is_some_and(|sent| Some(sent.1) == self.aggregator && sent.0 == round) {
            self.aggregator = None;
        }
    }

    /// The aggregator to use among those of the header: the same as long as it works.
    pub(super) fn choose(&mut self, round: u64, among: &[PeerId], draw: &mut super::draw::Stream) -> PeerId {
        let kept = self.aggregator.filter(|a| among.contains(a) && !self.aggregators_down.contains(a));
        let chosen = kept.unwrap_or_else(|| {
            let failed = self.sent_to.map(|sent| sent.1);
            let fit = |a: &&PeerId| !self.aggregators_down.contains(a) && Some(**a) != failed;
            let mut fitting: Vec<PeerId> = among.iter().filter(fit).copied().collect();
            if fitting.is_empty() {
                fitting = among.to_vec();
            }
            fitting[draw.below(fitting.len() as u64) as usize]
        });
        self.aggregator = Some(chosen);
        self.sent_to = Some((round, chosen));
        chosen
    }

    /// Sealed rounds that are still asked about.
    pub(super) fn asked_about(&self) -> impl Iterator<Item = u64> + '_ {
        self.asked.keys().copied()
    }

    /// Asks about this sealed round again until it is closed.
    pub(super) fn ask_about(&mut self, at: SealedAt) {
        self.asked.insert(at.round, Asked { at, pause: 2, next: at.round + 2 });
        if self.asked.len() > MAX_ASKED {
            self.asked.pop_first();
        }
    }
}

/// How long after its coming a header may be sealed under: the envelope has to arrive before the fold.
pub(super) fn window(fold_ms: u64) -> u64 {
    fold_ms * 4 / 5
}

impl Core {
    /// A server says that a round is open.
    pub(super) fn open(&mut self, from: PeerId, signed: SignedHeader, update: &RosterUpdate) {
        let round = signed.header.round;
        if let Some(in_hand) = &self.rounds.in_hand
            && in_hand.signed.header == signed.header
        {
            self.update_roster(from, update);
            return self.try_seal();
        }
        if round <= self.rounds.last || round > MAX_ROUND {
            return;
        }
        let digest = match signed.verify(&self.cfg.descriptor, &self.deployment) {
            Ok(digest) => digest,
            Err(error) => return self.refused(from, error.to_string()),
        };
        self.leave_out();
        let before = std::mem::replace(&mut self.rounds.last, round);
        self.rounds.roll.header(&self.cfg.descriptor.servers, &signed.header, self.now);
        self.registrar.named(&signed.header.servers, self.now, &mut self.draw);
        self.ledger.header(&signed, digest);
        let prev = signed.header.prev;
        self.rounds.prev = Some(prev);
        let received = self.now;
        self.rounds.in_hand = Some(InHand { signed, digest, received, asked: BTreeSet::new() });
        self.update_roster(from, update);
        if self.stands_on(&prev).is_none() || (before > 0 && round > before + 1) {
            if before > 0 { self.fetch.want(before, GAP) } else { self.want_below(round) }
        }
        self.ask_again(round);
        self.scan_header(round, prev);
        self.absorb();
        self.try_seal();
    }

    /// The record that a header names, if it is known and counts.
    pub(super) fn stands_on(&self, prev: &RecordDigest) -> Option<Below<'_>> {
        if *prev == self.deployment.0 {
            return Some(Below::Nothing);
        }
        self.ledger.get(prev).map(Below::Record)
    }

    /// Fetches what is just below a round.
    pub(super) fn want_below(&mut self, round: u64) {
        self.fetch.want(round.saturating_sub(u64::from(GAP)).max(1), GAP);
    }

    fn ask_again(&mut self, round: u64) {
        let ledger = &self.ledger;
        self.rounds.asked.retain(|_, asked| !closed(ledger, &asked.at));
        for asked in self.rounds.asked.values_mut().filter(|a| a.next <= round) {
            self.fetch.want(asked.at.round, GAP);
            asked.pause = (asked.pause * 2).min(MAX_PAUSE);
            asked.next = round + asked.pause;
        }
    }

    fn update_roster(&mut self, from: PeerId, update: &RosterUpdate) {
        let Some(in_hand) = &mut self.rounds.in_hand else { return };
        let wanted = in_hand.signed.header.roster;
        if self.rounds.roster.as_ref().is_some_and(|(digest, _)| *digest == wanted) {
            return;
        }
        if let (RosterUpdate::Delta(delta), Some((digest, roster))) = (update, &self.rounds.roster)
            && delta.base == *digest
            && let Some(changed) = roster.apply(delta).filter(|changed| changed.is_of(&in_hand.signed.header))
        {
            self.rounds.roster = Some((wanted, changed));
            return;
        }
        if in_hand.asked.is_empty() {
            in_hand.asked.insert(from);
            self.out.push(Output::FetchRoster { from, digest: wanted });
        }
    }

    /// A roster came, or not: then the next server of the header is asked.
    pub(super) fn roster(&mut self, digest: [u8; 32], roster: Option<Box<Roster>>) {
        let Some(in_hand) = &mut self.rounds.in_hand else { return };
        let known = self.rounds.roster.as_ref().is_some_and(|(known, _)| *known == digest);
        if in_hand.signed.header.roster != digest || known {
            return;
        }
        match roster {
            Some(roster) if roster.is_of(&in_hand.signed.header) => {
                self.rounds.roster = Some((digest, *roster));
                self.try_seal();
            }
            _ => {
                let next = in_hand.signed.header.servers.iter().find(|s| !in_hand.asked.contains(s)).copied();
                if let Some(from) = next {
                    in_hand.asked.insert(from);
                    self.out.push(Output::FetchRoster { from, digest });
                }
            }
        }
    }

    /// The header in hand is too old to be sealed under, or another one came: it is left out.
    pub(super) fn close_window(&mut self) {
        let fold = u64::from(self.cfg.descriptor.params.fold_deadline_ms);
        if self.rounds.in_hand.as_ref().is_some_and(|h| self.now >= h.received + window(fold)) {
            self.leave_out();
        }
    }

    fn leave_out(&mut self) {
        let Some(in_hand) = self.rounds.in_hand.take() else { return };
        let header = &in_hand.signed.header;
        let has_roster = self.rounds.roster.as_ref().is_some_and(|(digest, _)| *digest == header.roster);
        self.skip(if has_roster { Skip::NoRecord } else { Skip::NoRoster });
    }

    pub(super) fn skip(&mut self, skip: Skip) {
        self.rounds.why = Some(Why::NotSealed(skip));
        self.rounds.last_seal = None;
    }

    /// R4: this session's index in the roster, with the vouches that the servers gave.
    pub(super) fn listing(&self, in_hand: &InHand) -> Result<u32, Skip> {
        let header = &in_hand.signed.header;
        let (digest, roster) = self.rounds.roster.as_ref().ok_or(Skip::NoRoster)?;
        if *digest != header.roster || roster.entries().len() != header.roster_len as usize {
            return Err(Skip::NoRoster);
        }
        let index = roster.index(&self.client).ok_or(Skip::NotListed)?;
        let entry = &roster.entries()[index as usize];
        if entry.session != *self.registrar.session() {
            return Err(Skip::NotListed);
        }
        let given = header.servers.iter().map(|server| self.registrar.vouch(server));
        let same = entry.vouches.len() == header.servers.len()
            && given.zip(&entry.vouches).all(|(given, listed)| given == Some(listed));
        if same { Ok(index) } else { Err(Skip::WrongVouch) }
    }

    /// Keeps track of being in the roster; a session that is left out for good is replaced (R2).
    pub(super) fn note_listing(&mut self, in_hand: &InHand, listing: Result<u32, Skip>) {
        let header = &in_hand.signed.header;
        let round = header.round;
        match listing {
            Ok(_) => {
                self.pace.listed();
                if !std::mem::replace(&mut self.pace.registered, true) {
                    self.out.push(Output::Notice(Notice::Registered { round, roster: header.roster_len }));
                }
                if self.pace.newly_warm() {
                    self.out.push(Output::Notice(Notice::WarmedUp));
                }
            }
            Err(skip) => {
                if std::mem::replace(&mut self.pace.registered, false) {
                    self.out.push(Output::Notice(Notice::Unregistered { round }));
                }
                let vouched = header.servers.iter().all(|s| self.registrar.vouch(s).is_some());
                if vouched && skip != Skip::NoRoster {
                    self.registrar.doubt(self.now);
                    if self.pace.unlisted() {
                        self.new_session();
                    }
                }
            }
        }
    }

    /// A header came: reading the log after a restart starts, goes on, or is complete.
    pub(super) fn scan_header(&mut self, round: u64, prev: RecordDigest) {
        if self.scan.stage == scan::Stage::Waiting {
            self.start_scan(round);
        }
        if self.scan.stage == scan::Stage::Reading {
            let first_kept = self.scan.next;
            let below = match self.stands_on(&prev) {
                Some(Below::Record(known)) => known.record.round < first_kept,
                Some(Below::Nothing) => true,
                None => false,
            };
            match self.scan.leads_to(round, &prev, below) {
                None => self.fetch.want(self.scan.next, scan::PAGE),
                Some(true) => self.finish_scan(),
                Some(false) => {
                    self.scan.restart();
                    self.fetch.back_off(self.now, &mut self.draw);
                    self.fetch.want(self.scan.next, scan::PAGE);
                }
            }
        }
    }
}
