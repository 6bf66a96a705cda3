//! Opening the sealed identity, or looking at it.

use std::sync::Arc;
use std::time::Duration;

use rand::TryRng;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};
use zeroize::Zeroizing;
use zipnet_dcnet::identity::Identity;
use zipnet_tdx::seal::{Header, Keeper, KekProvider, Opened, SealError, SealedIdentity};

use super::{IdentityError, Lease, described};
use crate::config::Sealed;

/// How long it may take to open, to make one included: less than the unit gives to a start. Two questions and a quote for each
/// take less unless somebody holds them up.
const PATIENCE: Duration = Duration::from_mins(2);

/// A sealed identity that was opened.
pub(crate) struct Unsealed {
    /// Who the daemon is.
    pub identity: Arc<Identity>,
    /// Of its envelope.
    pub header: Header,
    /// The key of the store beside it.
    pub store_key: Zeroizing<[u8; 32]>,
    /// Whether its file or device has room for that store.
    pub in_place: bool,
    /// On its key, if the keeper gives it for a while only.
    pub lease: Option<Lease>,
}

/// Opens the identity, and makes one if that was asked for and there is no file. Waits for disk and keeper, two minutes at
/// most.
///
/// # Errors
/// [`IdentityError`]; the file stays as it is.
pub(crate) async fn unseal(sealed: &Sealed) -> Result<Unsealed, IdentityError> {
    unseal_within(sealed, PATIENCE).await
}

async fn unseal_within(sealed: &Sealed, within: Duration) -> Result<Unsealed, IdentityError> {
    let what = sealed.clone();
    // The lease counts from before the question.
    let asked = Instant::now();
    let opening = spawn_blocking(move || open(&what));
    let late = |_| IdentityError::Late { path: sealed.path.clone(), within };
    let opened = timeout(within, opening).await.map_err(late)?;
    let (Opened { seed, header, store_key, lease_secs }, keeper) =
        opened.map_err(|error| IdentityError::Died(error.to_string()))??;
    let in_place = SealedIdentity::new(&sealed.path).in_place().unwrap_or(false);
    info!("identity: {}", described(Some(&header)));
    let lease = lease_secs.map(|secs| Lease::new(keeper, header, asked, secs));
    Ok(Unsealed { identity: Arc::new(Identity::from_seed(seed)), header, store_key, in_place, lease })
}

/// Looks at the identity without asking a broker, which would take that for another copy.
///
/// # Errors
/// [`IdentityError`] as far as can be told.
pub(crate) async fn check(sealed: &Sealed) -> Result<(), IdentityError> {
    let sealed = sealed.clone();
    let looked = spawn_blocking(move || look(&sealed)).await;
    Ok(looked.map_err(|error| IdentityError::Died(error.to_string()))??)
}

fn look(sealed: &Sealed) -> Result<(), SealError> {
    let file = SealedIdentity::new(&sealed.path);
    if sealed.init && is_missing(&file) {
        return Ok(());
    }
    file.sealed_by(sealed.keeper.kind())?;
    if let Keeper::KeyFile(_) = sealed.keeper {
        file.open(&mut *sealed.keeper.provider(UnwrapErr(SysRng))?)?;
    }
    Ok(())
}

fn is_missing(file: &SealedIdentity) -> bool {
    matches!(file.header(), Err(SealError::Missing(_)))
}

fn open(sealed: &Sealed) -> Result<(Opened, Box<dyn KekProvider + Send>), SealError> {
    let file = SealedIdentity::new(&sealed.path);
    let mut keeper = if sealed.init && is_missing(&file) {
        let mut keeper = sealed.keeper.new_provider(UnwrapErr(SysRng))?;
        let (mut seed, mut nonce) = (Zeroizing::new([0; 32]), [0; 24]);
        for bytes in [&mut seed[..], &mut nonce[..]] {
            SysRng.try_fill_bytes(bytes).expect("invariant: the system gives randomness");
        }
        file.init(&mut *keeper, &seed, &nonce)?;
        // Where one should have been, somebody took it away.
        warn!("there was no sealed identity: a new one was made, as init_identity says");
        keeper
    } else {
        // What can be said without a key is said first.
        file.sealed_by(sealed.keeper.kind())?;
        sealed.keeper.provider(UnwrapErr(SysRng))?
    };
    Ok((file.open(&mut *keeper)?, keeper))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::net::TcpListener;
    use std::path::Path;

    use zipnet_dcnet::ids::DeploymentId;
    use zipnet_tdx::seal::Provider;
    use zipnet_tdx::seal::broker::{BrokerAddress, BrokerKey};

    use super::*;

    fn sealed(dir: &Path, init: bool) -> Sealed {
        Sealed { path: dir.join("identity"), keeper: Keeper::KeyFile(dir.join("key")), init }
    }

    fn at_broker(dir: &Path, at: String, init: bool) -> Sealed {
        let keeper = Keeper::Broker {
            broker: BrokerAddress { key: BrokerKey([1; 32]), at },
            deployment: DeploymentId([2; 32]),
            quote_socket: dir.join("no.sock"),
        };
        Sealed { keeper, ..sealed(dir, init) }
    }

    #[tokio::test]
    async fn one_is_made_when_asked_for_and_only_if_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let missing = |error| matches!(error, IdentityError::Seal(SealError::Missing(_)));
        assert!(missing(unseal(&sealed(dir, false)).await.err().unwrap()));
        assert!(missing(check(&sealed(dir, false)).await.unwrap_err()));
        check(&sealed(dir, true)).await.unwrap();
        assert_eq!(fs::read_dir(dir).unwrap().count(), 0, "nothing was made");

        let first = unseal(&sealed(dir, true)).await.unwrap();
        assert_eq!((first.header.provider, first.header.generation), (Provider::KeyFile, 1));
        assert!(first.lease.is_none());
        for init in [true, false] {
            let again = unseal(&sealed(dir, init)).await.unwrap();
            assert_eq!(again.identity.peer_id(), first.identity.peer_id());
            check(&sealed(dir, init)).await.unwrap();
        }
        // Damaged, or without its key: no new one, whatever is asked for, and nothing changes.
        let good = fs::read(dir.join("identity")).unwrap();
        fs::remove_file(dir.join("key")).unwrap();
        assert!(matches!(unseal(&sealed(dir, true)).await, Err(IdentityError::Seal(SealError::KeyFile(_)))));
        assert!(!dir.join("key").exists());
        fs::write(dir.join("identity"), &good[1..]).unwrap();
        for init in [true, false] {
            for error in [unseal(&sealed(dir, init)).await.err(), check(&sealed(dir, init)).await.err()] {
                assert!(matches!(error, Some(IdentityError::Seal(SealError::Envelope { .. }))));
            }
        }
        assert_eq!(fs::read(dir.join("identity")).unwrap(), &good[1..]);
    }

    #[tokio::test]
    async fn a_broker_that_says_nothing_does_not_hold_up_the_start_for_ever_and_a_check_does_not_ask_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let broker = |init| at_broker(dir, listener.local_addr().unwrap().to_string(), init);
        let late = unseal_within(&broker(true), Duration::from_millis(1)).await.err().unwrap();
        assert!(matches!(late, IdentityError::Late { .. }), "{late}");
        // It hangs up instead.
        drop(listener.accept().unwrap());
        check(&broker(true)).await.unwrap();
        unseal(&sealed(dir, true)).await.unwrap();
        let other = check(&broker(false)).await.unwrap_err();
        assert!(matches!(other, IdentityError::Seal(SealError::OtherProvider { .. })), "{other}");
        // As if the broker had sealed it: that is all that can be said without asking it.
        let mut file = fs::read(dir.join("identity")).unwrap();
        file[8] = Provider::Broker as u8;
        fs::write(dir.join("identity"), file).unwrap();
        check(&broker(false)).await.unwrap();
        let nobody = || {
            listener.set_nonblocking(true).unwrap();
            listener.accept().is_err()
        };
        assert!(nobody(), "a check is no question");
    }
}
