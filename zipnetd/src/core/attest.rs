//! Evidence for the session, where the deployment asks for it (protocol.md section 19): one quote serves all servers while it
//! is fresh.

use zipnet_dcnet::ids::{RecordDigest, Session};

use super::draw::Draw;
use super::output::{Notice, Output};

/// Evidence is sent up to so many rounds after its record; servers take 100.
const FRESH_ROUNDS: u64 = 50;
/// The last record comes a moment after the first server. Without any for this long the evidence names the deployment
/// instead, in milliseconds.
const RECORD_MS: u64 = 2_000;
/// A quote that is not there after this is given up, in milliseconds: longer than the quote helper waits.
const QUOTE_MS: u64 = 45_000;
/// First pause after a failure, in milliseconds.
const FIRST_PAUSE_MS: u64 = 500;
/// Longest pause, in milliseconds.
const MAX_PAUSE_MS: u64 = 60_000;

/// See the module.
pub(super) struct Attest {
    /// The deployment asks for evidence.
    needed: bool,
    /// The last record that counts: its round and its digest.
    tip: Option<(u64, RecordDigest)>,
    /// Since when some is wanted that is not there.
    wanted: Option<u64>,
    /// Since when a quote is under way, and the round of its record.
    asked: Option<(u64, u64)>,
    /// The round of its record, and the evidence.
    have: Option<(u64, Vec<u8>)>,
    failures: u32,
    retry_at: u64,
}

impl Attest {
    pub(super) fn new(needed: bool) -> Self {
        Self { needed, tip: None, wanted: None, asked: None, have: None, failures: 0, retry_at: 0 }
    }

    /// What was made for the session before is of no use any more.
    pub(super) fn new_session(&mut self) {
        *self = Self { tip: self.tip, ..Self::new(self.needed) };
    }

    /// How far the log is.
    pub(super) fn note_tip(&mut self, tip: Option<(u64, RecordDigest)>) {
        self.tip = tip;
    }

    fn round(&self) -> u64 {
        self.tip.map_or(0, |(round, _)| round)
    }

    /// What to send with a registration, if it is there.
    pub(super) fn evidence(&self) -> Option<&[u8]> {
        if !self.needed {
            return Some(&[]);
        }
        let (round, evidence) = self.have.as_ref()?;
        (self.round().saturating_sub(*round) <= FRESH_ROUNDS).then_some(evidence)
    }

    /// A server did not take it. Another one helps only if the log went on since.
    pub(super) fn refused(&mut self) {
        let round = self.round();
        self.have.take_if(|(made, _)| *made < round);
    }

    /// Some is wanted now: asks for a quote when that is due.
    pub(super) fn want(
        &mut self,
        now: u64,
        session: Session,
        deployment: RecordDigest,
        draw: &mut Draw,
        out: &mut Vec<Output>,
    ) {
        if self.asked.is_some_and(|(since, _)| now >= since + QUOTE_MS) {
            self.fail(now, "the quote helper did not answer", draw, out);
        }
        let wanted = *self.wanted.get_or_insert(now);
        let early = self.tip.is_none() && now < wanted + RECORD_MS;
        if self.asked.is_some() || early || now < self.retry_at {
            return;
        }
        let (round, record) = self.tip.unwrap_or((0, deployment));
        self.asked = Some((now, round));
        out.push(Output::Attest { session, record });
    }

    /// When [`Attest::want`] is due next, while some is wanted.
    pub(super) fn next_wake(&self) -> Option<u64> {
        let wanted = self.wanted?;
        Some(match (self.asked, self.tip) {
            (Some((since, _)), _) => since + QUOTE_MS,
            (None, None) => self.retry_at.max(wanted + RECORD_MS),
            (None, Some(_)) => self.retry_at,
        })
    }

    /// The answer to [`Output::Attest`] for this session.
    pub(super) fn answered(
        &mut self,
        now: u64,
        result: Result<Vec<u8>, String>,
        draw: &mut Draw,
        out: &mut Vec<Output>,
    ) {
        // Given up, and asked for anew.
        let Some((_, round)) = self.asked else { return };
        match result {
            Ok(evidence) => {
                self.have = Some((round, evidence));
                (self.asked, self.wanted, self.failures, self.retry_at) = (None, None, 0, 0);
            }
            Err(text) => self.fail(now, &text, draw, out),
        }
    }

    fn fail(&mut self, now: u64, text: &str, draw: &mut Draw, out: &mut Vec<Output>) {
        self.asked = None;
        let pause = (FIRST_PAUSE_MS << self.failures.min(10)).min(MAX_PAUSE_MS);
        self.retry_at = now + pause / 2 + draw.backoff.below(pause / 2);
        self.failures = self.failures.saturating_add(1);
        if self.failures.is_power_of_two() {
            let (text, failures) = (text.to_owned(), self.failures);
            out.push(Output::Notice(Notice::NoQuote { text, failures }));
        }
    }
}
