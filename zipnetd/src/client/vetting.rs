//! Which servers this client registers with, in deployments whose servers show what they run (`admission = mutual`): those that show a
//! TDX quote over their keys and the run of theirs that the registration is for, of a release that this client's own policy
//! admits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tracing::info;
use zipnet_dcnet::ids::{Bundle, DeploymentId, PeerId};
use zipnet_dcnet::wire::QuoteReply;
use zipnet_network::links::{Kind, Link};
use zipnet_tdx::quote::ServerKeys;
use zipnet_tdx::verify::{Collateral, Gate, Policy, Verifier};

use super::execute::of_link;
use crate::core::input::RegisterFailure;

/// Judges the quotes of servers.
pub trait Judge: Send + Sync {
    /// The release that the quote shows, if it is an admitted one and the quote is about this server.
    ///
    /// # Errors
    /// Why not.
    fn judge(&self, quote: &[u8], keys: &ServerKeys) -> Result<String, String>;
}

/// By files: which releases of the servers are admitted, and what Intel says about their platforms. Read at each quote, of which there are few,
/// so that renewing them takes no restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// Which releases, TOML.
    pub policy: PathBuf,
    /// What Intel says, JSON.
    pub collateral: PathBuf,
}

impl ServerFiles {
    fn gate(&self) -> Result<Gate, String> {
        let policy = Policy::load(&self.policy).map_err(|error| format!("server_policy: {error}"))?;
        let collateral =
            Collateral::load(&self.collateral).map_err(|error| format!("server_collateral: {error}"))?;
        Ok(Gate::new(Verifier::new(collateral), policy))
    }

    /// Whether they can be used.
    ///
    /// # Errors
    /// Which cannot, and why.
    pub fn check(&self) -> Result<(), String> {
        self.gate().map(drop)
    }
}

impl Judge for ServerFiles {
    fn judge(&self, quote: &[u8], keys: &ServerKeys) -> Result<String, String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.gate()?.vet(quote, keys, now).map_err(|denied| denied.to_string())
    }
}

/// See the module.
pub(super) struct Vetting {
    judge: Arc<dyn Judge>,
    deployment: DeploymentId,
    /// Of each server the run that was found good, and its keys.
    good: Mutex<BTreeMap<PeerId, ([u8; 32], Bundle)>>,
}

impl Vetting {
    pub(super) fn new(judge: Arc<dyn Judge>, deployment: DeploymentId) -> Arc<Self> {
        Arc::new(Self { judge, deployment, good: Mutex::default() })
    }

    /// Looks at the quote of the server behind this link, unless it was good in this run of it before.
    ///
    /// # Errors
    /// [`RegisterFailure`]; then nobody registers there.
    pub(super) async fn vet(
        &self,
        link: &Link,
        boot: [u8; 32],
        within: Duration,
    ) -> Result<(), RegisterFailure> {
        let server = link.peer_id();
        if self.good().get(&server).is_some_and(|(run, _)| *run == boot) {
            return Ok(());
        }
        let reply = link.call(Kind::Quote, Vec::new(), within).await.map_err(of_link)?;
        let QuoteReply { server: bundle, quote } = borsh::from_slice(&reply)
            .map_err(|error| RegisterFailure::Refused(format!("malformed answer: {error}")))?;
        let release = self.judged(server, bundle, quote, boot).await.map_err(RegisterFailure::Refused)?;
        info!(server = %server.short(), release, "this server's quote is good");
        Ok(())
    }

    async fn judged(
        &self,
        server: PeerId,
        bundle: Bundle,
        quote: Vec<u8>,
        boot: [u8; 32],
    ) -> Result<String, String> {
        if bundle.peer_id != server {
            return Err("it shows another's quote".to_owned());
        }
        let keys = ServerKeys { deployment: self.deployment, bundle: bundle.client_id().0, boot };
        let judge = self.judge.clone();
        let judged = spawn_blocking(move || judge.judge(&quote, &keys)).await;
        let release = judged.map_err(|_| "judging its quote broke off".to_owned())?;
        let release = release.map_err(|why| format!("its quote is refused: {why}"))?;
        self.good().insert(server, (boot, bundle));
        Ok(release)
    }

    /// Whether these are the keys that the server's quote was over.
    ///
    /// # Errors
    /// They are others.
    pub(super) fn same(&self, bundle: &Bundle) -> Result<(), RegisterFailure> {
        match self.good().get(&bundle.peer_id) {
            Some((_, good)) if good == bundle => Ok(()),
            _ => {
                Err(RegisterFailure::Refused("it answers with other keys than its quote is over".to_owned()))
            }
        }
    }

    fn good(&self) -> std::sync::MutexGuard<'_, BTreeMap<PeerId, ([u8; 32], Bundle)>> {
        // No panic can leave the map half changed.
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use zipnet_dcnet::signed::encode;

    use super::*;

    /// Finds a quote good that is the keys themselves.
    struct Plain;

    impl Judge for Plain {
        fn judge(&self, quote: &[u8], keys: &ServerKeys) -> Result<String, String> {
            if quote == encode(keys) { Ok("1".to_owned()) } else { Err("other keys".to_owned()) }
        }
    }

    const SERVER: PeerId = PeerId([1; 32]);
    const BUNDLE: Bundle = Bundle { peer_id: SERVER, identity_pk: [2; 32], link_pk: [3; 32] };
    const DEPLOYMENT: DeploymentId = DeploymentId([4; 32]);

    fn quote(bundle: &Bundle, boot: u8) -> Vec<u8> {
        encode(&ServerKeys { deployment: DEPLOYMENT, bundle: bundle.client_id().0, boot: [boot; 32] })
    }

    #[tokio::test]
    async fn a_quote_is_for_one_server_with_these_keys_in_one_run_of_it() {
        let vetting = Vetting::new(Arc::new(Plain), DEPLOYMENT);
        let other = Bundle { identity_pk: [9; 32], ..BUNDLE };
        assert!(vetting.same(&BUNDLE).is_err(), "nothing is known of it");
        for (server, bundle, quote) in [
            (PeerId([9; 32]), BUNDLE, quote(&BUNDLE, 5)),
            (SERVER, other, quote(&BUNDLE, 5)),
            (SERVER, BUNDLE, quote(&BUNDLE, 6)),
        ] {
            vetting.judged(server, bundle, quote, [5; 32]).await.unwrap_err();
            assert!(vetting.same(&BUNDLE).is_err());
        }
        assert_eq!(vetting.judged(SERVER, BUNDLE, quote(&BUNDLE, 5), [5; 32]).await, Ok("1".to_owned()));
        assert!(vetting.same(&BUNDLE).is_ok() && vetting.same(&other).is_err());
        assert_eq!(vetting.good().get(&SERVER).unwrap().0, [5; 32], "of another run it shows another quote");
    }

    #[test]
    fn files_are_read_each_time_and_the_one_that_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let files = ServerFiles {
            policy: dir.path().join("policy.toml"),
            collateral: dir.path().join("collateral.json"),
        };
        assert!(files.check().unwrap_err().starts_with("server_policy: "));
        let m = "ab".repeat(48);
        let policy = format!("[[release]]\nname = \"1\"\nmrtd = \"{m}\"\nrtmr1 = \"{m}\"\nrtmr2 = \"{m}\"\n");
        std::fs::write(&files.policy, policy).unwrap();
        assert!(files.check().unwrap_err().starts_with("server_collateral: "));
        std::fs::write(&files.collateral, include_str!("../../../tdx/tests/data/v4.collateral.json"))
            .unwrap();
        files.check().unwrap();
        let keys = ServerKeys { deployment: DEPLOYMENT, bundle: [2; 32], boot: [5; 32] };
        // A real one, about something else.
        let refused = files.judge(include_bytes!("../../../tdx/tests/data/v4.quote"), &keys).unwrap_err();
        assert!(refused.contains("not about"), "{refused}");
    }
}
