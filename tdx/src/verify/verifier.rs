//! Whether a quote is genuine: Intel's certificates, revocation lists, the quoting enclave, the platform's state.

use dcap_qvl::QuotePolicy;
use dcap_qvl::configs::RingConfig;
use dcap_qvl::quote::Report;
use dcap_qvl::verify::QuoteVerifier;

use super::collateral::Collateral;
use super::denied::Denied;
use super::{Measurements, TcbStatus};
use crate::quote::{Contents, Digest, Quote};

/// A quote that was verified, and what is known about its platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genuine {
    /// What was signed.
    pub contents: Contents,
    /// State of the platform, the TDX module and the quoting enclave together.
    pub tcb: TcbStatus,
    /// Intel's advisories that apply.
    pub advisories: Vec<String>,
    /// Family of the platform, hexadecimal.
    pub fmspc: String,
    /// Until when the collateral holds that showed it, in seconds since 1970.
    pub collateral_until: u64,
}

impl Genuine {
    /// What policies pin.
    pub fn measurements(&self) -> Measurements {
        let [_, rtmr1, rtmr2, _] = self.contents.rtmr;
        Measurements { mrtd: self.contents.mrtd, rtmr1, rtmr2 }
    }
}

/// Says whether quotes are genuine. A trait, so that what is built on top can be tested without Intel's signature.
pub trait Authenticate: Send + Sync {
    /// Verifies a quote at this time, in seconds since 1970.
    ///
    /// # Errors
    /// [`Denied`] says why it is not genuine, or cannot be judged.
    fn authenticate(&self, quote: &[u8], now: u64) -> Result<Genuine, Denied>;
}

/// Verifies with Intel's root certificate, which is compiled in: there is no way to name another one.
pub struct Verifier {
    chain: QuoteVerifier<RingConfig>,
    collateral: Collateral,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("collateral", &self.collateral).finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier with this collateral.
    pub fn new(collateral: Collateral) -> Self {
        Self { chain: ours(QuoteVerifier::new_prod().with_config()), collateral }
    }

    /// With a root of the tests' own, which nobody else can have.
    #[cfg(test)]
    pub(crate) fn with_root(root: Vec<u8>, collateral: Collateral) -> Self {
        Self { chain: ours(QuoteVerifier::new_with_config(root)), collateral }
    }
}

/// Lets a TD under debug pass, because [`Authenticate::authenticate`] refuses it itself, by more bits and with its own words.
fn ours(chain: QuoteVerifier<RingConfig>) -> QuoteVerifier<RingConfig> {
    chain.allow_debug(true)
}

impl Authenticate for Verifier {
    fn authenticate(&self, quote: &[u8], now: u64) -> Result<Genuine, Denied> {
        let quote = Quote::parse(quote)?;
        let (item, fmspc) = self.collateral.find(quote.bytes())?;
        item.check_time(now)?;
        // The claims of the chain only; what we make of them is in `Policy`.
        let judge = QuotePolicy::claims_only(now);
        let claims = self
            .chain
            .verify_with_policy(quote.bytes(), item.inner().clone(), now, &judge)
            .map_err(|e| Denied::not_genuine("signatures, certificates or platform", &e))?;
        let contents = contents(claims.header.version, &claims.report)
            .ok_or_else(|| Denied::NotGenuine("the report is not of a TD".to_owned()))?;
        if contents.under_debug() {
            return Err(Denied::Debug { attributes: contents.attributes });
        }
        Ok(Genuine {
            contents,
            tcb: claims.tcb.status,
            advisories: claims.tcb.advisory_ids,
            fmspc,
            collateral_until: claims.earliest_expiration_date,
        })
    }
}

/// Of the report that was verified, not of our own look at the bytes.
fn contents(version: u16, report: &Report) -> Option<Contents> {
    let td = report.as_td10()?;
    Some(Contents {
        version,
        tee_tcb_svn: td.tee_tcb_svn,
        mr_seam: Digest(td.mr_seam),
        attributes: u64::from_le_bytes(td.td_attributes),
        mrtd: Digest(td.mr_td),
        rtmr: [td.rt_mr0, td.rt_mr1, td.rt_mr2, td.rt_mr3].map(Digest),
        report_data: td.report_data,
    })
}
