//! Rounds as the log has them: headers, folds, records; and that everybody sees the same.

use std::collections::{BTreeMap, BTreeSet};

use zipnet_committee::entry::Entry;
use zipnet_committee::state::State;
use zipnet_dcnet::header::Header;
use zipnet_dcnet::ids::{ClientId, RecordDigest};
use zipnet_dcnet::params::Params;
use zipnet_dcnet::record::Record;
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::wire::Ended;

use super::messages::Messages;
use super::{Check, Violation};

const NAME: &str = "no fork";

/// One opened round.
pub(super) struct Round {
    pub(super) header: Header,
    pub(super) roster: Roster,
    /// The record that was the last one when it was opened.
    pub(super) before: Option<u64>,
    /// Whose envelopes the log's fold has, and the fold's digest.
    pub(super) fold: Option<(BTreeSet<ClientId>, [u8; 32])>,
    /// Commitments in the log.
    pub(super) committed: usize,
}

/// See the module.
#[derive(Default)]
pub(super) struct Rounds {
    pub(super) all: BTreeMap<u64, Round>,
    pub(super) records: BTreeMap<u64, (RecordDigest, Record)>,
    quiet: u64,
}

fn record_of(round: u64, state: &State) -> Option<&Record> {
    match state.recent().get(&round)? {
        Ended::Final(signed) => Some(&signed.record),
        Ended::Abandoned(_) => None,
    }
}

impl Rounds {
    pub(super) fn opened(&mut self, state: &State) {
        let Some(round) = state.round() else { return };
        let (header, roster) = (round.header.clone(), round.roster.clone());
        let before = self.records.last_key_value().map(|(round, _)| *round);
        let new = Round { header, roster, before, fold: None, committed: 0 };
        self.quiet += u64::from(self.is_quiet(&new));
        self.all.insert(round.header.round, new);
    }

    /// The fold of a round is in the log: taken apart here, by the parts of the entry.
    pub(super) fn folded(&mut self, round: u64, state: &State) {
        let fold = state.round().and_then(|r| r.fold.as_ref());
        if let (Some(known), Some((fold, _))) = (self.all.get_mut(&round), fold) {
            let entries = known.roster.entries();
            let who = fold.participants.ones().map(|i| entries[i as usize].client).collect();
            known.fold = Some((who, fold.digest()));
        }
    }

    /// A commitment is in the log.
    pub(super) fn committed(&mut self, round: u64) {
        if let Some(known) = self.all.get_mut(&round) {
            known.committed += 1;
        }
    }

    /// A partial was taken: the record, if it was the last one.
    pub(super) fn finished(&mut self, round: u64, state: &State) -> Option<&Record> {
        let record = record_of(round, state)?;
        self.records.insert(round, (record.digest(), record.clone()));
        self.records.get(&round).map(|(_, record)| record)
    }

    /// Another server applied an entry that was taken before: it has the same record.
    pub(super) fn same(&self, server: usize, entry: &Entry, state: &State) -> Check {
        let Entry::Partial(partial) = entry else { return Ok(()) };
        let round = partial.trusted().round;
        match record_of(round, state) {
            Some(record) => self.read(server, record),
            None => Ok(()),
        }
    }

    pub(super) fn read(&self, server: usize, record: &Record) -> Check {
        match self.records.get(&record.round) {
            Some((_, known)) if known == record => Ok(()),
            _ => {
                let text = format!("the record of round {} on s{server} is another one", record.round);
                Err(Violation::new(NAME, text))
            }
        }
    }

    pub(super) fn verified(&self, client: usize, round: u64, digest: &RecordDigest) -> Check {
        match self.records.get(&round) {
            Some((known, _)) if known == digest => Ok(()),
            _ => {
                let text = format!("c{client} takes a record for that of round {round} which it is not");
                Err(Violation::new(NAME, text))
            }
        }
    }

    /// R8, read anew: the header's record is not that of the round just before, or its servers differ.
    pub(super) fn is_quiet(&self, round: &Round) -> bool {
        let before = round.before.and_then(|r| self.all.get(&r));
        before.is_none_or(|b| {
            b.header.round + 1 != round.header.round || b.header.servers != round.header.servers
        })
    }

    /// An honest client's message is only in a round that is not quiet, of m servers, on top of a record with enough
    /// participants.
    pub(super) fn check_talk(&self, record: &Record, params: &Params, messages: &Messages) -> Check {
        if !record.messages.iter().any(|(_, payload)| messages.by_payload(payload).is_some()) {
            return Ok(());
        }
        let round = &self.all[&record.round];
        let before = round.before.and_then(|r| self.records.get(&r)).map_or(0, |(_, r)| r.count());
        let certain = before - before.div_ceil(16);
        let fail = |what: String| {
            Err(Violation::new("never too few", format!("round {} has a message: {what}", record.round)))
        };
        if self.is_quiet(round) {
            return fail("it is quiet".to_owned());
        }
        if (record.servers.len() as u32) < params.min_servers {
            return fail(format!("{} servers", record.servers.len()));
        }
        if certain < params.min_anonymity {
            return fail(format!("{certain} certain participants"));
        }
        Ok(())
    }

    pub(super) fn last_opened(&self) -> u64 {
        self.all.last_key_value().map_or(0, |(round, _)| *round)
    }

    pub(super) fn last_final(&self) -> Option<(&u64, &Record)> {
        self.records.last_key_value().map(|(round, (_, record))| (round, record))
    }

    pub(super) fn finals(&self) -> u64 {
        self.records.len() as u64
    }

    pub(super) fn quiet(&self) -> u64 {
        self.quiet
    }
}
