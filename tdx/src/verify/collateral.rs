//! Collateral: what Intel says about families of platforms, for a month at a time. It comes from a file that the operator
//! renews, never from the network while something is verified.

use std::fmt::Display;

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::intel::{extract_cert_chain, parse_pck_extension};
use der::Decode;
use serde::Deserialize;
use x509_cert::Certificate;
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;
use x509_cert::name::Name;

use super::denied::{Denied, tame};

/// Longest collateral file, in bytes; one platform family needs about 20,000.
pub const MAX_COLLATERAL_BYTES: usize = 4 * 1024 * 1024;
/// Most platform families of a file.
const MAX_ITEMS: usize = 128;
/// Warn so long before the first part of the collateral ends, in seconds: 10 days of the 30 that Intel gives.
pub const WARN_BEFORE_SECS: u64 = 10 * 86_400;

/// Collateral of one or more families of platforms.
#[derive(Debug)]
pub struct Collateral {
    items: Vec<Item>,
}

/// Collateral of one family.
#[derive(Debug)]
pub(super) struct Item {
    inner: QuoteCollateralV3,
    fmspc: String,
    /// Whose certificates the revocation list is about.
    issuer: Name,
    from: u64,
    until: u64,
}

/// Collateral that will not hold for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// In so many seconds.
    Soon(u64),
    /// Since so many seconds: nothing can be verified.
    Over(u64),
}

/// Collateral that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CollateralError {
    /// Too long a file.
    #[error("the collateral has {0} bytes, at most {MAX_COLLATERAL_BYTES} are allowed")]
    TooLong(usize),
    /// Not what it should be.
    #[error("is no collateral: {0}")]
    Malformed(String),
    /// None, or too many.
    #[error("the collateral is of {0} platform families, must be 1 to {MAX_ITEMS}")]
    Items(usize),
    /// Something in one of them.
    #[error("collateral number {number}: its {what} cannot be read: {problem}")]
    Item {
        /// From 1.
        number: usize,
        /// Which part.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dated {
    issue_date: String,
    next_update: String,
    fmspc: Option<String>,
}

impl Collateral {
    /// Reads a collateral file: JSON, one object per platform family in the form that Intel's service and the usual tools
    /// hand out ("collateral version 3"), or an array of them. Nothing is verified here: that is done for each quote.
    ///
    /// # Errors
    /// [`CollateralError`] says what is wrong.
    pub fn parse(file: &[u8]) -> Result<Self, CollateralError> {
        if file.len() > MAX_COLLATERAL_BYTES {
            return Err(CollateralError::TooLong(file.len()));
        }
        // Told apart by hand, so that errors name what is wrong and where.
        let all = match file.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'[') => serde_json::from_slice(file),
            _ => serde_json::from_slice(file).map(|one| vec![one]),
        };
        let all: Vec<QuoteCollateralV3> = all.map_err(|e| CollateralError::Malformed(e.to_string()))?;
        if all.is_empty() || all.len() > MAX_ITEMS {
            return Err(CollateralError::Items(all.len()));
        }
        let items = all.into_iter().enumerate().map(|(i, inner)| {
            Item::new(inner).map_err(|(what, problem)| CollateralError::Item { number: i + 1, what, problem })
        });
        Ok(Self { items: items.collect::<Result<_, _>>()? })
    }

    /// When the first part of it ends, in seconds since 1970.
    pub fn until(&self) -> u64 {
        self.items.iter().map(|item| item.until).min().expect("invariant: there is an item")
    }

    /// Whether it is time to renew it.
    pub fn expiry(&self, now: u64) -> Option<Expiry> {
        Expiry::of(self.until(), now)
    }

    /// The collateral for the platform of a quote, and its family.
    pub(super) fn find(&self, quote: &[u8]) -> Result<(&Item, String), Denied> {
        let none = |problem: &dyn Display| Denied::not_genuine("no platform certificate", problem);
        let quote = dcap_qvl::quote::Quote::parse(quote).map_err(|e| none(&e))?;
        let chain = extract_cert_chain(&quote).map_err(|e| none(&e))?;
        let leaf = chain.first().ok_or_else(|| none(&"the chain is empty"))?;
        let fmspc = hex::encode(parse_pck_extension(leaf).map_err(|e| none(&e))?.fmspc);
        let leaf = Certificate::from_der(leaf).map_err(|e| none(&e))?;
        let issuer = leaf.tbs_certificate().issuer();
        // The longest lived, should there be two.
        let fitting = self.items.iter().filter(|item| item.fmspc == fmspc && item.issuer == *issuer);
        match fitting.max_by_key(|item| item.until) {
            Some(item) => Ok((item, fmspc)),
            None => Err(Denied::NoCollateral { fmspc, issuer: tame(&issuer.to_string()) }),
        }
    }
}

impl Expiry {
    /// Of collateral that ends at this moment, in seconds since 1970.
    pub fn of(until: u64, now: u64) -> Option<Self> {
        if now >= until {
            return Some(Self::Over(now - until));
        }
        (until - now <= WARN_BEFORE_SECS).then_some(Self::Soon(until - now))
    }
}

impl Display for Expiry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // To the hour: nobody renews by the second.
        let span =
            |secs: &u64| humantime::format_duration(std::time::Duration::from_secs(secs / 3600 * 3600));
        match self {
            Self::Soon(secs) => write!(f, "the collateral ends in {}: fetch it anew", span(secs)),
            Self::Over(secs) => {
                write!(f, "the collateral (or a part of it) ended {} ago: fetch it anew", span(secs))
            }
        }
    }
}

impl Item {
    fn new(mut inner: QuoteCollateralV3) -> Result<Self, (&'static str, String)> {
        // The chain of the quote itself is the one to verify.
        inner.pck_certificate_chain = None;
        let tcb = dated(&inner.tcb_info).map_err(|e| ("TCB info", e))?;
        let qe = dated(&inner.qe_identity).map_err(|e| ("QE identity", e))?;
        let fmspc = tcb.2.ok_or(("TCB info", "it names no FMSPC".to_owned()))?.to_lowercase();
        let (root_crl, _) = crl(&inner.root_ca_crl).map_err(|e| ("root CRL", e))?;
        let (pck_crl, issuer) = crl(&inner.pck_crl).map_err(|e| ("PCK CRL", e))?;
        let mut spans = vec![(tcb.0, tcb.1), (qe.0, qe.1), root_crl, pck_crl];
        for (what, text) in [
            ("PCK CRL issuer chain", &inner.pck_crl_issuer_chain),
            ("TCB info issuer chain", &inner.tcb_info_issuer_chain),
            ("QE identity issuer chain", &inner.qe_identity_issuer_chain),
        ] {
            spans.extend(chain(text).map_err(|e| (what, e))?);
        }
        let from = spans.iter().map(|(from, _)| *from).max().expect("invariant: there are four at least");
        let until = spans.iter().map(|(_, until)| *until).min().expect("invariant: there are four at least");
        Ok(Self { inner, fmspc, issuer, from, until })
    }

    pub(super) fn inner(&self) -> &QuoteCollateralV3 {
        &self.inner
    }

    pub(super) fn check_time(&self, now: u64) -> Result<(), Denied> {
        if (self.from..self.until).contains(&now) {
            return Ok(());
        }
        let (from, until, now) = (time(self.from), time(self.until), time(now));
        Err(Denied::CollateralTime { from, until, now })
    }
}

/// From, until, and the family, of a signed JSON text.
fn dated(text: &str) -> Result<(u64, u64, Option<String>), String> {
    let parsed: Dated = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let secs = |text: &str| {
        let time = humantime::parse_rfc3339(text).map_err(|e| format!("`{text}`: {e}"))?;
        let since = time.duration_since(std::time::UNIX_EPOCH).map_err(|e| format!("`{text}`: {e}"))?;
        Ok::<_, String>(since.as_secs())
    };
    Ok((secs(&parsed.issue_date)?, secs(&parsed.next_update)?, parsed.fmspc))
}

fn crl(der: &[u8]) -> Result<((u64, u64), Name), String> {
    let list = CertificateList::<Rfc5280>::from_der(der).map_err(|e| e.to_string())?.tbs_cert_list;
    let until = list.next_update.ok_or("it has no next update")?.to_unix_duration().as_secs();
    Ok(((list.this_update.to_unix_duration().as_secs(), until), list.issuer))
}

fn chain(text: &str) -> Result<Vec<(u64, u64)>, String> {
    let parts = pem::parse_many(text).map_err(|e| e.to_string())?;
    let span = |part: &pem::Pem| {
        let certificate = Certificate::from_der(part.contents()).map_err(|e| e.to_string())?;
        let validity = certificate.tbs_certificate().validity();
        let secs = |time: &x509_cert::time::Time| time.to_unix_duration().as_secs();
        Ok((secs(&validity.not_before), secs(&validity.not_after)))
    };
    parts.iter().map(span).collect()
}

/// RFC 3339, to the second.
fn time(secs: u64) -> String {
    // The formatter ends with the year 9999.
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(secs.min(253_402_300_799));
    humantime::format_rfc3339_seconds(time).to_string()
}
