//! The lease on the key of the sealed identity. A keeper that keeps an account of copies gives the key for a while; when
//! that is over, it may give it to another copy. So it is asked again well before, and again; and if it does not say yes in
//! time, this copy ends.
//!
//! No answer but the key counts: whoever carries the messages can make up a refusal, and must not be able to end the daemon
//! by that before its time.
//!
//! The time is the monotonic clock's. In a TDX guest that is the processor's own counter, which goes on while a host
//! holds the guest back.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::{debug, warn};
use zipnet_tdx::seal::{Header, KekProvider};

use super::IdentityError;

/// Longest time that is relied on without asking again, whatever the keeper says.
const LONGEST: Duration = Duration::from_hours(24);
/// What ending takes: it begins so long before the end of the lease. Of a short lease a quarter.
const MARGIN: Duration = Duration::from_secs(20);
/// Between the first failure and the next question; doubled each time.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What giving a lease back may take when the daemon ends: a question to the keeper, with a quote.
pub(crate) const LEASE_GRACE: Duration = Duration::from_secs(10);

/// A lease, and whom to ask for the next.
pub(crate) struct Lease {
    /// None while it is asked: who gives up waiting for it has none.
    keeper: Option<Box<dyn KekProvider + Send>>,
    header: Header,
    /// When to ask.
    renew: Instant,
    /// When to end.
    end: Instant,
}

/// The moments of a lease that was asked for at `asked`.
fn moments(asked: Instant, secs: u64) -> (Instant, Instant) {
    let lease = Duration::from_secs(secs).min(LONGEST);
    (asked + lease / 2, asked + lease - MARGIN.min(lease / 4))
}

impl Lease {
    /// `keeper` gave the key of this envelope for so many seconds from `asked` on.
    pub(crate) fn new(
        keeper: Box<dyn KekProvider + Send>,
        header: Header,
        asked: Instant,
        secs: u64,
    ) -> Self {
        let (renew, end) = moments(asked, secs);
        Self { keeper: Some(keeper), header, renew, end }
    }

    /// Renews it until that fails: then the time to end has come.
    pub(crate) async fn keep(&mut self) -> IdentityError {
        loop {
            sleep_until(self.renew).await;
            if let Err(lost) = self.renewed().await {
                return lost;
            }
        }
    }

    async fn renewed(&mut self) -> Result<(), IdentityError> {
        let mut last = "it was not renewed in time".to_owned();
        let mut pause = PAUSE;
        loop {
            let asked = Instant::now();
            let (Some(mut keeper), true) = (self.keeper.take(), asked < self.end) else {
                return Err(IdentityError::Lost(last));
            };
            let header = self.header;
            let asking = spawn_blocking(move || (keeper.open(&header), keeper));
            let Ok(answer) = timeout_at(self.end, asking).await else {
                return Err(IdentityError::Lost("no answer in time".to_owned()));
            };
            let (answer, keeper) = answer.map_err(|error| IdentityError::Died(error.to_string()))?;
            self.keeper = Some(keeper);
            match answer {
                Ok(grant) => {
                    debug!("the lease on the key of the sealed identity is renewed");
                    (self.renew, self.end) = moments(asked, grant.lease_secs.unwrap_or(u64::MAX));
                    return Ok(());
                }
                Err(error) => {
                    let left = self.end.saturating_duration_since(Instant::now()).as_secs();
                    warn!(left, "the lease on the key of the sealed identity is not renewed yet: {error}");
                    last = error.to_string();
                }
            }
            sleep_until((Instant::now() + pause).min(self.end)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Lets another copy have the key at once, instead of when the time is over. For whoever does not use the identity any more.
    pub(crate) async fn give_back(mut self) {
        let Some(mut keeper) = self.keeper.take() else { return };
        let header = self.header;
        let asking = spawn_blocking(move || keeper.give_back(&header));
        match timeout(LEASE_GRACE, asking).await {
            Ok(Ok(Ok(()))) => debug!("the lease on the key of the sealed identity is given back"),
            Ok(Ok(Err(error))) => warn!("the lease on the key of the sealed identity goes on: {error}"),
            Ok(Err(_)) | Err(_) => warn!("the lease on the key of the sealed identity goes on: no answer"),
        }
    }
}

/// A lease that is kept in the background, or none.
pub(crate) struct Kept {
    task: Option<JoinHandle<IdentityError>>,
    /// Tells the task that the lease is not needed any more.
    done: Option<oneshot::Sender<()>>,
}

impl Kept {
    /// No lease: nothing is lost.
    pub(crate) fn none() -> Self {
        Self { task: None, done: None }
    }

    /// This one, from now on, until it is lost or this is dropped.
    pub(crate) fn lease(mut lease: Lease) -> Self {
        let (done, over) = oneshot::channel();
        Self::by(done, async move {
            tokio::select! {
                lost = lease.keep() => lost,
                Ok(()) = over => {
                    lease.give_back().await;
                    IdentityError::Lost("it was given back".to_owned())
                }
            }
        })
    }

    /// Kept by this, until it resolves; `done` tells it to end.
    pub(crate) fn by(
        done: oneshot::Sender<()>,
        keeping: impl Future<Output = IdentityError> + Send + 'static,
    ) -> Self {
        Self { task: Some(tokio::spawn(keeping)), done: Some(done) }
    }

    /// Resolves, once, when the daemon has to end: never, without a lease.
    pub(crate) async fn lost(&mut self) -> IdentityError {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let lost = task.await;
        self.task = None;
        lost.unwrap_or_else(|error| IdentityError::Died(error.to_string()))
    }

    /// Nothing uses the identity any more: the lease, unless it is lost, is given back. Waits for that, [`LEASE_GRACE`] at most.
    pub(crate) async fn end(&mut self) {
        let done = self.done.take().is_some_and(|done| done.send(()).is_ok());
        if done && self.task.is_some() {
            self.lost().await;
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};

    use zipnet_tdx::seal::{Grant, Kek, KeyId, Provider, ProviderError};

    use super::*;

    const HEADER: Header = Header { provider: Provider::Broker, key_id: KeyId([1; 16]), generation: 3 };

    type Asked = Arc<Mutex<Vec<u64>>>;

    /// Answers as a script says; notes when it was asked, in seconds from the start.
    struct Fake {
        /// Hears when the lease is given back.
        back: Sender<Header>,
        start: Instant,
        script: Receiver<Option<u64>>,
        asked: Asked,
    }

    impl KekProvider for Fake {
        fn provider(&self) -> Provider {
            Provider::Broker
        }
        fn create(&mut self) -> Result<Grant, ProviderError> {
            panic!("a renewal makes no key");
        }
        fn open(&mut self, header: &Header) -> Result<Grant, ProviderError> {
            assert_eq!(*header, HEADER);
            self.asked.lock().unwrap().push(self.start.elapsed().as_secs());
            // Waits for its next answer; without any, there is nobody.
            match self.script.recv() {
                Ok(Some(secs)) => {
                    Ok(Grant { kek: Kek::new(&[2; 32]), key_id: HEADER.key_id, lease_secs: Some(secs) })
                }
                Ok(None) => Err(ProviderError::Leased { secs: 7 }),
                Err(_) => Err(ProviderError::Gone { provider: Provider::Broker, problem: "gone".to_owned() }),
            }
        }
        fn give_back(&mut self, header: &Header) -> Result<(), ProviderError> {
            let _ = self.back.send(*header);
            Ok(())
        }
    }

    fn lease(secs: u64) -> (Lease, Sender<Option<u64>>, Asked) {
        let (lease, answers, asked, _) = lease_and_back(secs);
        (lease, answers, asked)
    }

    fn lease_and_back(secs: u64) -> (Lease, Sender<Option<u64>>, Asked, Receiver<Header>) {
        let ((answers, script), (back, given)) = (channel(), channel());
        let (start, asked) = (Instant::now(), Asked::default());
        let fake = Fake { back, start, script, asked: asked.clone() };
        (Lease::new(Box::new(fake), HEADER, start, secs), answers, asked, given)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_used_any_more_is_given_back_once_and_what_is_lost_is_not() {
        let (lease, _answers, asked, given) = lease_and_back(600);
        let mut kept = Kept::lease(lease);
        kept.end().await;
        kept.end().await;
        assert_eq!((given.try_iter().collect::<Vec<_>>(), asked.lock().unwrap().len()), (vec![HEADER], 0));
        let (lease, _answers, _, given) = lease_and_back(0);
        let mut kept = Kept::lease(lease);
        kept.lost().await;
        kept.end().await;
        Kept::none().end().await;
        assert_eq!(given.try_iter().count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_renewed_at_half_time_and_when_that_fails_again_and_again_until_its_end() {
        let start = Instant::now();
        let (lease, answers, asked) = lease(600);
        // Twice at once; then a refusal, which anybody can make up, and the key all the same; then nobody.
        for answer in [Some(600), Some(400), None, None, Some(100)] {
            answers.send(answer).unwrap();
        }
        drop(answers);
        let lost = Kept::lease(lease).lost().await;
        assert!(lost.to_string().contains("gone"), "{lost}");
        let asked = asked.lock().unwrap().clone();
        assert_eq!(asked, [300, 600, 800, 802, 806, 856, 858, 862, 870]);
        // Of 100 s from second 806 on, the last 20 are for ending.
        assert_eq!(start.elapsed().as_secs(), 886);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_are_bounded_and_so_is_what_a_keeper_promises() {
        let (mut lease, answers, asked) = lease(u64::MAX);
        drop(answers);
        let start = Instant::now();
        lease.keep().await;
        assert_eq!(start.elapsed().as_secs(), LONGEST.as_secs() - MARGIN.as_secs());
        let asked = asked.lock().unwrap().clone();
        assert_eq!(asked[0], LONGEST.as_secs() / 2);
        let pauses: Vec<u64> = asked.windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(pauses[..4], [2, 4, 8, 16]);
        assert!(pauses[4..].iter().all(|pause| *pause == LONGEST_PAUSE.as_secs()), "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_of_nothing_is_lost_at_once_and_without_one_nothing_is() {
        let (mut lease, _answers, asked) = lease(0);
        let lost = lease.keep().await;
        assert!(matches!(lost, IdentityError::Lost(_)), "{lost}");
        assert!(asked.lock().unwrap().is_empty());
        let never = tokio::time::timeout(LONGEST, Kept::none().lost()).await;
        assert!(never.is_err());
    }

    /// In real time: paused time would stand still as long as the keeper is asked.
    #[tokio::test]
    async fn a_keeper_that_does_not_answer_does_not_keep_the_daemon_alive() {
        for secs in [1, 2, 4, 8, 16, 32] {
            let (lease, answers, asked) = lease(secs);
            let lost = Kept::lease(lease).lost().await;
            drop(answers);
            // Unless this machine was too slow to ask in time at all.
            if asked.lock().unwrap().len() == 1 {
                assert!(lost.to_string().contains("no answer in time"), "{lost}");
                return;
            }
        }
        panic!("the keeper was never asked");
    }
}
