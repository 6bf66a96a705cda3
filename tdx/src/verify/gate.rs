//! Admission: everything that has to hold before a server vouches for a client.

use super::denied::Denied;
use super::policy::Policy;
use super::recent::Recent;
use super::verifier::{Authenticate, Verifier};
use crate::quote::{Evidence, Quote, ReportData, ServerKeys, Subject};

/// A client that was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The release that it runs.
    pub release: String,
    /// When it has to show a new quote, in seconds since 1970.
    pub until: u64,
}

/// Admits clients by their evidence. Policy and collateral are replaced by making a new gate.
#[derive(Debug)]
pub struct Gate<V = Verifier> {
    verifier: V,
    policy: Policy,
}

impl<V: Authenticate> Gate<V> {
    /// A gate with this policy.
    pub fn new(verifier: V, policy: Policy) -> Self {
        Self { verifier, policy }
    }

    /// Whether this evidence is of an admitted release and about this client, now (in seconds since 1970). The cheap
    /// questions come first: a registration costs a server some milliseconds only if the quote is about that client.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub fn admit(
        &self,
        evidence: &[u8],
        subject: &Subject,
        recent: &Recent,
        now: u64,
    ) -> Result<Admitted, Denied> {
        let evidence = Evidence::decode(evidence)?;
        if recent.age(&evidence.record).is_none() {
            return Err(Denied::Record);
        }
        let expected = ReportData::Client(*subject, evidence.record).bytes();
        if Quote::parse(&evidence.quote)?.contents().report_data != expected {
            return Err(Denied::ReportData);
        }
        let genuine = self.verifier.authenticate(&evidence.quote, now)?;
        // Again, of what was signed: what the cheap look saw is nobody's word.
        if genuine.contents.report_data != expected {
            return Err(Denied::ReportData);
        }
        let release = self.policy.appraise(&genuine)?;
        let span = u64::from(self.policy.reattest_hours) * 3600;
        // Up to a quarter earlier: clients that came together must not go together, which would cost a round (R9).
        let share = u64::from(u16::from_le_bytes([subject.session[0], subject.session[1]]));
        let earlier = (span / 4 * share) >> 16;
        Ok(Admitted { release: release.name.clone(), until: now.saturating_add(span - earlier) })
    }

    /// Whether this quote is of an admitted release and about this server, now (in seconds since 1970); the client's side of
    /// it. The release.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub fn vet(&self, quote: &[u8], keys: &ServerKeys, now: u64) -> Result<String, Denied> {
        let expected = ReportData::Server(*keys).bytes();
        if Quote::parse(quote)?.contents().report_data != expected {
            return Err(Denied::ReportData);
        }
        let genuine = self.verifier.authenticate(quote, now)?;
        if genuine.contents.report_data != expected {
            return Err(Denied::ReportData);
        }
        Ok(self.policy.appraise(&genuine)?.name.clone())
    }

    /// Whether a client that was admitted may stay: its release may have been withdrawn or dropped since (by a gate with
    /// an older policy), its quote may be too old.
    ///
    /// # Errors
    /// [`Denied`] says why it has to go.
    pub fn still(&self, admitted: &Admitted, now: u64) -> Result<(), Denied> {
        let release = self.policy.releases.iter().find(|release| release.name == admitted.release);
        if release.is_none_or(|release| release.withdrawn) {
            return Err(Denied::Withdrawn { release: admitted.release.clone() });
        }
        if now >= admitted.until { Err(Denied::Due) } else { Ok(()) }
    }
}
