//! Admission by TDX quote: a server vouches for whom it has verified itself.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::Signal;
use tracing::{error, info, warn};
use zipnet_dcnet::descriptor;
use zipnet_dcnet::ids::{DeploymentId, RecordDigest};
use zipnet_dcnet::record::Record;
use zipnet_dcnet::register::Request;
use zipnet_tdx::quote::Subject;
use zipnet_tdx::verify::{
    Admitted, Authenticate, Collateral, Expiry, FileError, Gate, Policy, Recent, Verifier,
};

use crate::core::Admission;

/// How often the end of the collateral is looked at.
const LOOK: Duration = Duration::from_hours(6);

/// What a server admits by; read at the start, and again when it is told to.
#[derive(Clone, Debug)]
pub struct Files {
    /// Which releases, TOML.
    pub policy: PathBuf,
    /// What Intel says about platforms, JSON.
    pub collateral: PathBuf,
}

/// See the module.
pub struct Attested<V = Verifier> {
    gate: RwLock<Gate<V>>,
    recent: Mutex<Recent>,
}

/// Admission that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum AttestedError {
    /// The policy.
    #[error("the policy {0}")]
    Policy(#[source] FileError),
    /// The collateral.
    #[error("the collateral {0}")]
    Collateral(#[source] FileError),
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Files {
    /// Also until when the collateral holds, in seconds since 1970.
    fn load(&self) -> Result<(Gate, u64), AttestedError> {
        let policy = Policy::load(&self.policy).map_err(AttestedError::Policy)?;
        let collateral = Collateral::load(&self.collateral).map_err(AttestedError::Collateral)?;
        for release in &policy.releases {
            let name = &release.name;
            info!(release = name, withdrawn = release.withdrawn, "admission by TDX quote");
        }
        let until = collateral.until();
        Ok((Gate::new(Verifier::new(collateral), policy), until))
    }
}

impl Attested {
    /// By these files; also until when the collateral holds, in seconds since 1970.
    ///
    /// # Errors
    /// [`AttestedError`] says which file is wrong.
    pub fn load(deployment: DeploymentId, files: &Files) -> Result<(Self, u64), AttestedError> {
        let (gate, until) = files.load()?;
        Ok((Self::new(deployment, gate), until))
    }

    /// Reads the files again: whom they no longer admit goes. Gives what [`Attested::load`] gives.
    ///
    /// # Errors
    /// [`AttestedError`] says which file is wrong; then both stay as they were.
    pub fn reload(&self, files: &Files) -> Result<u64, AttestedError> {
        let (gate, until) = files.load()?;
        self.replace(gate);
        Ok(until)
    }
}

impl<V> Attested<V> {
    /// By this gate.
    pub fn new(deployment: DeploymentId, gate: Gate<V>) -> Self {
        Self { gate: RwLock::new(gate), recent: Mutex::new(Recent::new(deployment)) }
    }

    /// By this gate from now on, also for those who were admitted by another.
    pub fn replace(&self, gate: Gate<V>) {
        *self.gate.write().unwrap_or_else(PoisonError::into_inner) = gate;
    }

    fn note(&self, round: u64, digest: RecordDigest) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).note(round, digest);
    }
}

impl<V: Authenticate + 'static> Admission for Attested<V> {
    fn kind(&self) -> descriptor::Admission {
        descriptor::Admission::Tdx
    }

    fn record(&self, record: &Record) {
        self.note(record.round, record.digest());
    }

    fn admit(&self, request: &Request) -> Result<Admitted, String> {
        let (deployment, client) = (request.deployment, request.client.client_id());
        let subject = Subject { deployment, client, session: request.session };
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        gate.admit(&request.evidence, &subject, &recent, now()).map_err(|denied| denied.to_string())
    }

    fn still(&self, admitted: &Admitted) -> Result<(), String> {
        let gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        gate.still(admitted, now()).map_err(|denied| denied.to_string())
    }
}

/// Reads the files again at each `hangup`, and says again and again that the collateral has to be renewed, from well before
/// its end, `until`, on. Never ends.
pub async fn keep_up(attested: Arc<Attested>, files: Files, mut until: u64, mut hangup: Signal) {
    loop {
        match Expiry::of(until, now()) {
            None => {}
            Some(expiry @ Expiry::Soon(_)) => {
                warn!("{expiry}, and reload this server (docs/tdx/operators.md)");
            }
            Some(expiry @ Expiry::Over(_)) => {
                error!("no client can register: {expiry}, and reload this server (docs/tdx/operators.md)");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = hangup.recv() => match attested.reload(&files) {
                Ok(end) => {
                    until = end;
                    info!("policy and collateral were read again");
                }
                Err(e) => error!("{e}; the server goes on with what it had"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use zeroize::Zeroizing;
    use zipnet_dcnet::identity::Identity;
    use zipnet_dcnet::register::Pending;
    use zipnet_tdx::quote::{Evidence, Quote, ReportData};
    use zipnet_tdx::verify::{Denied, Genuine, MAX_AGE_ROUNDS, Release, TcbStatus};

    use super::*;

    const D: DeploymentId = DeploymentId([7; 32]);
    /// A real quote of version 4; its report data are at byte 568.
    const QUOTE: &[u8] = include_bytes!("../../../tdx/tests/data/v4.quote");

    /// Believes every quote: what Intel's signatures are worth is tested with the verifier.
    struct Believes;

    impl Authenticate for Believes {
        fn authenticate(&self, quote: &[u8], _: u64) -> Result<Genuine, Denied> {
            let contents = Quote::parse(quote)?.contents();
            let (advisories, fmspc) = (Vec::new(), String::new());
            Ok(Genuine { contents, tcb: TcbStatus::UpToDate, advisories, fmspc, collateral_until: u64::MAX })
        }
    }

    fn attested(withdrawn: bool) -> Attested<Believes> {
        let measurements = Believes.authenticate(QUOTE, 0).unwrap().measurements();
        let release = Release { name: "a".to_owned(), measurements, withdrawn };
        let tcb = vec![TcbStatus::UpToDate];
        Attested::new(D, Gate::new(Believes, Policy { tcb, reattest_hours: 24, releases: vec![release] }))
    }

    /// A registration of this session, with a quote that was made for `quoted` after `record`.
    fn request(session: u8, quoted: u8, record: RecordDigest) -> Request {
        let identity = Identity::from_seed(Zeroizing::new([1; 32]));
        let client = identity.client_bundle().client_id();
        let data = ReportData::Client(Subject { deployment: D, client, session: [quoted; 32] }, record);
        let mut quote = QUOTE.to_vec();
        quote[568..632].copy_from_slice(&data.bytes());
        let evidence = Evidence::new(record, quote).encode();
        let server = Identity::from_seed(Zeroizing::new([2; 32])).peer_id();
        let random = Zeroizing::new([3; 32]);
        let (_, request) = Pending::new(&identity, D, server, [4; 32], [session; 32], evidence, &random);
        request.trusted().clone()
    }

    #[test]
    fn who_shows_a_quote_about_itself_of_an_admitted_release_made_lately_is_admitted() {
        let attested = attested(false);
        attested.admit(&request(5, 5, D.0)).unwrap();
        attested.note(1, [1; 32]);
        attested.admit(&request(5, 5, [1; 32])).unwrap();
        let no = |request: &Request| attested.admit(request).map(|_| ()).unwrap_err();
        assert!(no(&request(5, 6, D.0)).contains("not about this client, session"), "of another session");
        assert!(no(&request(5, 5, [9; 32])).contains("record"), "of a record that never was");
        let nothing = Request { evidence: Vec::new(), ..request(5, 5, D.0) };
        assert!(no(&nothing).contains("no evidence"), "{}", no(&nothing));
        attested.note(1 + MAX_AGE_ROUNDS, [2; 32]);
        attested.admit(&request(5, 5, [1; 32])).unwrap();
        attested.note(2 + MAX_AGE_ROUNDS, [3; 32]);
        assert!(no(&request(5, 5, [1; 32])).contains("record"), "too old");
    }

    #[test]
    fn who_was_admitted_goes_when_its_release_or_its_time_does() {
        let attested = self::attested(false);
        let admitted = attested.admit(&request(5, 5, D.0)).unwrap();
        attested.still(&admitted).unwrap();
        let over = Admitted { until: now(), ..admitted.clone() };
        assert!(attested.still(&over).unwrap_err().contains("too old"), "{:?}", attested.still(&over));
        let other = self::attested(true).gate.into_inner().unwrap();
        attested.replace(other);
        assert!(attested.still(&admitted).unwrap_err().contains("withdrawn"));
    }

    #[test]
    fn a_withdrawn_release_is_refused() {
        let no = attested(true).admit(&request(5, 5, D.0)).map(|_| ()).unwrap_err();
        assert!(no.contains("withdrawn"), "{no}");
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (policy, collateral) = (dir.path().join("policy.toml"), dir.path().join("collateral.json"));
        let files = Files { policy: policy.clone(), collateral: collateral.clone() };
        let load = || Attested::load(D, &files).map(|_| ()).unwrap_err().to_string();
        assert!(load().contains("policy.toml"), "{}", load());
        fs::write(&policy, "tcb = []").unwrap();
        assert!(load().starts_with("the policy "), "{}", load());
        let digits = "ab".repeat(48);
        let release = format!(
            "[[release]]\nname = \"a\"\nmrtd = \"{digits}\"\nrtmr1 = \"{digits}\"\nrtmr2 = \"{digits}\"\n"
        );
        fs::write(&policy, &release).unwrap();
        assert!(load().contains("collateral.json"), "{}", load());
        fs::write(&collateral, "[]").unwrap();
        assert!(load().starts_with("the collateral "), "{}", load());
        fs::write(&collateral, include_bytes!("../../../tdx/tests/data/v4.collateral.json")).unwrap();
        let (attested, until) = Attested::load(D, &files).unwrap();
        assert!(until > 1_700_000_000, "{until}");
        // Read again: what is wrong changes nothing, what is right counts for those who are in.
        let admitted = Admitted { release: "a".to_owned(), until: u64::MAX };
        fs::write(&policy, "tcb = []").unwrap();
        assert!(attested.reload(&files).unwrap_err().to_string().contains("policy.toml"));
        attested.still(&admitted).unwrap();
        fs::write(&policy, release + "withdrawn = true\n").unwrap();
        assert_eq!(attested.reload(&files).unwrap(), until);
        assert!(attested.still(&admitted).unwrap_err().contains("withdrawn"));
    }
}
