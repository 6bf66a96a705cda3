//! Verification: is a quote genuine, of a release that we admit, and about this client, now?

mod collateral;
mod denied;
mod file;
mod gate;
mod policy;
mod recent;
#[cfg(test)]
mod tests;
mod verifier;

pub use collateral::{Collateral, CollateralError, Expiry, MAX_COLLATERAL_BYTES, WARN_BEFORE_SECS};
pub use dcap_qvl::TcbStatus;
pub use denied::{Denied, Register};
pub use file::FileError;
pub use gate::{Admitted, Gate};
pub use policy::{MAX_POLICY_BYTES, MAX_RELEASES, Measurements, Policy, PolicyError, Release};
pub use recent::{MAX_AGE_ROUNDS, Recent};
pub use verifier::{Authenticate, Genuine, Verifier};
