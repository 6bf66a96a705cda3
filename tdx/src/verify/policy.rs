//! What a server admits: which releases, on platforms in which state.

use serde::{Deserialize, Serialize};

use super::denied::{Denied, Register};
use super::{Genuine, TcbStatus};
use crate::quote::Digest;

/// Most releases of a policy.
pub const MAX_RELEASES: usize = 64;
/// Longest name of a release, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// Longest policy file, in bytes; 64 releases need about 30,000.
pub const MAX_POLICY_BYTES: usize = 65_536;
/// Longest interval between two quotes of one client, in hours: a month, as long as Intel's collateral lives.
const MAX_REATTEST_HOURS: u32 = 720;

/// What a build of the guest measures to. All three: `MR_TD` covers the firmware only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurements {
    /// `MR_TD`: the firmware.
    pub mrtd: Digest,
    /// RTMR1: the kernel, and how the firmware started it.
    pub rtmr1: Digest,
    /// RTMR2: the command line and the initramfs.
    pub rtmr2: Digest,
}

/// A release of the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Release {
    /// Its name, in logs and refusals.
    pub name: String,
    /// What it measures to.
    pub measurements: Measurements,
    /// Known, and no longer admitted: its clients are told so, and evicted.
    pub withdrawn: bool,
}

/// A release as it is in the file. Flat without serde's `flatten`, which would let a misspelt `withdrawn` pass.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    mrtd: Digest,
    rtmr1: Digest,
    rtmr2: Digest,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    withdrawn: bool,
}

impl From<Written> for Release {
    fn from(Written { name, mrtd, rtmr1, rtmr2, withdrawn }: Written) -> Self {
        Self { name, measurements: Measurements { mrtd, rtmr1, rtmr2 }, withdrawn }
    }
}

impl From<Release> for Written {
    fn from(release: Release) -> Self {
        let Measurements { mrtd, rtmr1, rtmr2 } = release.measurements;
        Self { name: release.name, mrtd, rtmr1, rtmr2, withdrawn: release.withdrawn }
    }
}

/// What a server admits by. A TOML file; docs/tdx/operators.md has an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// States of a platform's trusted computing base that are good enough.
    #[serde(default = "good_enough")]
    pub tcb: Vec<TcbStatus>,
    /// A client shows a new quote after so many hours.
    #[serde(default = "daily")]
    pub reattest_hours: u32,
    /// The releases, several at once for the time of an upgrade.
    #[serde(rename = "release")]
    pub releases: Vec<Release>,
}

/// Up to date; or up to date with advice for the software inside, which for a measured guest we give ourselves. What these
/// leave out is a platform with a known hole, or set up in a way that Intel advises against. docs/tdx/reviewers.md has why.
fn good_enough() -> Vec<TcbStatus> {
    vec![TcbStatus::UpToDate, TcbStatus::SWHardeningNeeded]
}

fn daily() -> u32 {
    24
}

/// A policy that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Too long a file.
    #[error("the policy has {0} bytes, at most {MAX_POLICY_BYTES} are allowed")]
    TooLong(usize),
    /// Not TOML, or not a policy.
    #[error("is no policy: {0}")]
    Malformed(String),
    /// Nobody, or too many.
    #[error("the policy has {0} releases, must be 1 to {MAX_RELEASES}")]
    Releases(usize),
    /// A name that cannot be used, or twice.
    #[error(
        "release name `{0}`: must be 1 to {MAX_NAME_BYTES} of a-z A-Z 0-9 . _ - and differ from the others"
    )]
    Name(String),
    /// Two releases that measure the same: which one is withdrawn could not be told.
    #[error("releases `{0}` and `{1}` have the same measurements")]
    Same(String, String),
    /// No state of a platform is good enough.
    #[error("tcb is empty: nobody could be admitted")]
    NoStatus,
    /// A state that never is.
    #[error("tcb names Revoked: keys of such a platform are known to be out, it cannot be allowed")]
    Revoked,
    /// Out of range.
    #[error("reattest_hours = {0}: must be 1 to {MAX_REATTEST_HOURS}")]
    Reattest(u32),
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// [`PolicyError`] says what is wrong.
    pub fn parse(file: &[u8]) -> Result<Self, PolicyError> {
        if file.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLong(file.len()));
        }
        let text = str::from_utf8(file).map_err(|e| PolicyError::Malformed(e.to_string()))?;
        let policy: Self = toml::from_str(text).map_err(|e| PolicyError::Malformed(e.to_string()))?;
        policy.check()?;
        Ok(policy)
    }

    fn check(&self) -> Result<(), PolicyError> {
        if self.releases.is_empty() || self.releases.len() > MAX_RELEASES {
            return Err(PolicyError::Releases(self.releases.len()));
        }
        for (i, release) in self.releases.iter().enumerate() {
            let others = &self.releases[..i];
            let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            let name = &release.name;
            let usable = !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(fits);
            if !usable || others.iter().any(|other| other.name == *name) {
                return Err(PolicyError::Name(name.chars().take(MAX_NAME_BYTES).collect()));
            }
            if let Some(other) = others.iter().find(|other| other.measurements == release.measurements) {
                return Err(PolicyError::Same(other.name.clone(), name.clone()));
            }
        }
        if self.tcb.is_empty() {
            return Err(PolicyError::NoStatus);
        }
        if self.tcb.contains(&TcbStatus::Revoked) {
            return Err(PolicyError::Revoked);
        }
        if self.reattest_hours == 0 || self.reattest_hours > MAX_REATTEST_HOURS {
            return Err(PolicyError::Reattest(self.reattest_hours));
        }
        Ok(())
    }

    /// Which release a genuine quote is of, if it is one that is admitted, on a platform that is good enough.
    ///
    /// # Errors
    /// [`Denied`] says why not.
    pub fn appraise(&self, quote: &Genuine) -> Result<&Release, Denied> {
        if !self.tcb.contains(&quote.tcb) {
            return Err(Denied::Tcb { status: quote.tcb, advisories: quote.advisories.clone() });
        }
        let found = quote.measurements();
        let release = self.releases.iter().find(|release| release.measurements == found);
        let release = release.ok_or_else(|| self.nearest(&found))?;
        if release.withdrawn {
            return Err(Denied::Withdrawn { release: release.name.clone() });
        }
        Ok(release)
    }

    /// The refusal that helps most: the register that differs from the release that differs in the fewest.
    fn nearest(&self, found: &Measurements) -> Denied {
        let registers = |m: &Measurements| {
            [(Register::MrTd, m.mrtd), (Register::Rtmr1, m.rtmr1), (Register::Rtmr2, m.rtmr2)]
        };
        let differences = |release: &Release| {
            let pairs = registers(found).into_iter().zip(registers(&release.measurements));
            pairs.filter(|(a, b)| a != b).collect::<Vec<_>>()
        };
        let nearest = self.releases.iter().map(|r| (differences(r), r)).min_by_key(|(d, _)| d.len());
        let (differences, release) = nearest.expect("invariant: a policy has a release");
        let ((register, found), (_, expected)) = differences[0];
        Denied::Measurement { register, found, expected, release: release.name.clone() }
    }
}
