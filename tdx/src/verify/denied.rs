//! Why a quote is refused.

use std::fmt;

use super::TcbStatus;
use super::recent::MAX_AGE_ROUNDS;
use crate::quote::{Digest, EvidenceError, ParseError};

/// A register that is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// The firmware.
    MrTd,
    /// The kernel.
    Rtmr1,
    /// The command line and the initramfs.
    Rtmr2,
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MrTd => "MR_TD (the firmware)",
            Self::Rtmr1 => "RTMR1 (the kernel)",
            Self::Rtmr2 => "RTMR2 (command line and initramfs)",
        })
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// What was sent is no evidence.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The quote has not the form of one.
    #[error(transparent)]
    Quote(#[from] ParseError),
    /// The signatures, certificates or the state of the platform do not hold.
    #[error("the quote is not genuine: {0}")]
    NotGenuine(String),
    /// The verifier lacks what it needs to judge this platform.
    #[error(
        "no collateral for the platform of this quote (FMSPC {fmspc}, {issuer}): add it to the verifier's collateral file"
    )]
    NoCollateral {
        /// Family of platforms, hexadecimal.
        fmspc: String,
        /// Who issued the platform's certificate.
        issuer: String,
    },
    /// The verifier's collateral is too old, or its clock is wrong.
    #[error(
        "the verifier's collateral holds from {from} to {until}, now is {now}: fetch it anew, or set the clock"
    )]
    CollateralTime {
        /// RFC 3339.
        from: String,
        /// RFC 3339.
        until: String,
        /// RFC 3339.
        now: String,
    },
    /// A TD that its host can look into.
    #[error("the TD is under debug (attributes {attributes:#018x}): its host reads its memory")]
    Debug {
        /// `TD_ATTRIBUTES`.
        attributes: u64,
    },
    /// A platform that is not good enough.
    #[error(
        "the platform's TCB is {status}, which the policy does not allow; advisories: {}",
        list(advisories)
    )]
    Tcb {
        /// Intel's word for it.
        status: TcbStatus,
        /// Why.
        advisories: Vec<String>,
    },
    /// No release measures to this.
    #[error("{register} is {found}, release {release}, which is nearest, has {expected}")]
    Measurement {
        /// The first register that differs.
        register: Register,
        /// What the quote has.
        found: Digest,
        /// What the nearest release has.
        expected: Digest,
        /// The nearest release.
        release: String,
    },
    /// A release of ours that is over.
    #[error("release {release} was withdrawn: install a newer one")]
    Withdrawn {
        /// Which.
        release: String,
    },
    /// A quote about something else.
    #[error(
        "the quote is not about this client, session and deployment after the record that it names, or not about this \
         server in this run of it"
    )]
    ReportData,
    /// A quote from another time.
    #[error(
        "the quote names a record that is older than {MAX_AGE_ROUNDS} rounds, or not known here: make a new quote"
    )]
    Record,
    /// Admitted too long ago.
    #[error("the last quote is too old: show a new one")]
    Due,
}

impl Denied {
    /// In the library's words, without the source paths that some of them carry, and not longer than a line or two.
    pub(super) fn not_genuine(what: &str, problem: &dyn fmt::Display) -> Self {
        let text = format!("{problem:#}");
        let text = text.split(" @").next().unwrap_or_default();
        Self::NotGenuine(format!("{what}: {}", tame(text)))
    }
}

/// Words that an unverified quote may have put into a text: no control of a terminal or a log, and no book.
pub(super) fn tame(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

fn list(advisories: &[String]) -> String {
    if advisories.is_empty() { "none".to_owned() } else { advisories.join(", ") }
}
