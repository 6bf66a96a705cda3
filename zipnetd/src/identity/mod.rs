//! Who the daemon is: somebody new in each run, or the same one every time, out of a sealed file; and the lease on the key of
//! that file, without which another copy may be the same one, too.

mod lease;
mod open;

pub(crate) use lease::{Kept, LEASE_GRACE, Lease};
pub(crate) use open::{check, unseal};

use std::path::PathBuf;
use std::time::Duration;

use zipnet_tdx::seal::{Header, SealError};

/// Why the daemon cannot be, or stay, who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Its keeper, or the disk, does not answer.
    #[error("the sealed identity {} was not opened within {} s", path.display(), within.as_secs())]
    Late {
        /// The file.
        path: PathBuf,
        /// What it had.
        within: Duration,
    },
    /// The lease is over, or about to be.
    #[error(
        "the lease on the key of the sealed identity is lost: {0}; another copy may have the key from now on"
    )]
    Lost(String),
    /// A task died: a bug.
    #[error("a task for the sealed identity died: {0}")]
    Died(String),
}

/// What `status` says about an identity; none: it is not sealed.
pub(crate) fn described(sealed: Option<&Header>) -> String {
    match sealed {
        None => "fresh".to_owned(),
        Some(header) => format!("sealed, {}, generation {}", header.provider, header.generation),
    }
}

#[cfg(test)]
mod tests {
    use zipnet_tdx::seal::{KeyId, Provider};

    use super::*;

    #[test]
    fn the_status_says_who_keeps_the_key() {
        assert_eq!(described(None), "fresh");
        let header = Header { provider: Provider::Broker, key_id: KeyId([1; 16]), generation: 3 };
        assert_eq!(described(Some(&header)), "sealed, key broker, generation 3");
        let header = Header { provider: Provider::KeyFile, generation: 1, ..header };
        assert_eq!(described(Some(&header)), "sealed, key file, generation 1");
    }
}
