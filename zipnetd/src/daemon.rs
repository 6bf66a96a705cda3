//! The daemon from its configuration to its end: open, run, drain within a deadline.

pub(crate) mod store;
#[cfg(test)]
mod tests;

use store::open_plain;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use zeroize::Zeroizing;
use zipnet_dcnet::identity::Identity;
use zipnet_store::{MemStore, Store};
use zipnet_tdx::quote::helper::Helper;

use crate::client::{Checked, Client, ClientConfig, Handle, Judge, check};
use crate::config::{Config, Network, Real, StateDir};
use crate::control::{Control, Ending, Limits, Listening, Operator, probe};
use crate::failure::{Failure, SIGNALLED};
use crate::identity::{self, Kept, LEASE_GRACE};
use crate::metrics;
use crate::reload::{Again, Reload};
use crate::service::{self, Service};
use crate::telemetry::LogControl;

/// What callers under way get at the end.
const CONTROL_GRACE: Duration = Duration::from_secs(2);
/// Ending at once takes at most this long: tasks, links, universe.
const END_GRACE: Duration = Duration::from_secs(15);

/// What `--private-metrics` does.
const PRIVATE: &str =
    "private metrics: the queue's figures tell talk from cover to whoever can read the metrics";
const PRIVATE_NOWHERE: &str = "private metrics have no effect: no metrics are served";

/// What tasks left behind get to end.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// How the daemon ended, as an exit code.
pub type Code = u8;

/// Runs what the configuration says, until a signal or a failure. `uid` is the daemon's own user; `again` puts the
/// configuration together once more, for SIGHUP; `service` is what the service manager gave.
///
/// # Errors
/// [`Failure`]; its exit code and hint say more.
pub fn run(
    config: Config,
    uid: u32,
    log: LogControl,
    service: Service,
    again: Again,
) -> Result<Code, Failure> {
    // Here and not in `main`: what `block_on` runs is compiled where it is called, and only once per change of this crate.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Failure::System { action: "start threads", source })?;
    let ended = runtime.block_on(run_in(config, uid, log, service, again));
    runtime.shutdown_timeout(SHUTDOWN);
    ended
}

async fn run_in(
    config: Config,
    uid: u32,
    log: LogControl,
    service: Service,
    again: Again,
) -> Result<Code, Failure> {
    let mut signals = Signals::new(Reload::new(&config, log.clone(), again), service)?;
    if !config.check && signals.service.listener.is_none() {
        // Before anything is started: a daemon that runs already is the most likely failure.
        probe(&config.socket.path).await?;
    }
    if let Some(addr) = config.metrics {
        metrics::start(addr, config.private_metrics)?;
    }
    if config.private_metrics {
        warn!("{}", if config.metrics.is_some() { PRIVATE } else { PRIVATE_NOWHERE });
    }
    match &config.network {
        Network::Real(real) => {
            let StateDir::At(dir) = &config.state_dir else {
                unreachable!("invariant: only --dev has a temporary state folder")
            };
            if let Some(files) = &config.servers {
                files.check().map_err(Failure::ServerFiles)?;
            }
            // Before a key is asked for.
            store::none_of_the_other_kind(dir, config.sealed.is_some())?;
            let Some(sealed) = &config.sealed else {
                let store = open_plain(dir).await?;
                let client = client_config(&config, real, dir, uid, store);
                if config.check {
                    return Ok(report(&check(&client).await?));
                }
                return serve(&config, client, Kept::none(), uid, log, &mut signals, nothing).await;
            };
            if config.check {
                identity::check(sealed).await?;
                info!("the sealed store was not looked at: only who is this identity has its key");
                let client = client_config(&config, real, dir, uid, Arc::new(MemStore::new()));
                return Ok(report(&check(&client).await?));
            }
            // Before anything is said to anybody.
            let unsealed = tokio::select! {
                unsealed = identity::unseal(sealed) => unsealed?,
                _ = signals.next() => return Ok(0),
            };
            let mut lease = unsealed.lease.map_or_else(Kept::none, Kept::lease);
            let place = unsealed.in_place.then_some(&*sealed.path);
            let store = match store::open_sealed(dir, place, unsealed.store_key).await {
                Ok(store) => store,
                Err(error) => {
                    lease.end().await;
                    return Err(error);
                }
            };
            let mut client = client_config(&config, real, dir, uid, store);
            (client.identity, client.sealed) = (unsealed.identity, Some(unsealed.header));
            serve(&config, client, lease, uid, log, &mut signals, nothing).await
        }
        #[cfg(feature = "dev")]
        Network::Dev => crate::dev::run(&config, uid, log, &mut signals).await,
        #[cfg(not(feature = "dev"))]
        Network::Dev => Err(Failure::Dev("this build has no --dev".to_owned())),
    }
}

/// A client of a new identity: each run has a fresh one, so that runs cannot be linked, unless there is a sealed one.
pub(crate) fn client_config(
    config: &Config,
    real: &Real,
    state: &Path,
    uid: u32,
    store: Arc<dyn Store>,
) -> ClientConfig {
    ClientConfig {
        identity: new_identity(),
        sealed: None,
        instance: real.instance.clone(),
        universe: real.universe.clone(),
        bootstrap: real.bootstrap.clone(),
        relay: real.relay.clone(),
        listen: real.listen,
        store,
        state_dir: state.to_owned(),
        standing: config.message.as_ref().map(|message| message.0.clone().into_bytes()),
        cadence: config.cadence.get(),
        uid,
        public: true,
        quotes: Arc::new(Helper::new(&config.quote_socket)),
        judge: config.servers.clone().map(|files| Arc::new(files) as Arc<dyn Judge>),
    }
}

/// Beside a client that serves nobody but its callers.
fn nothing(_: Handle) -> JoinHandle<()> {
    tokio::spawn(async {})
}

/// An identity that nobody has seen.
pub(crate) fn new_identity() -> Arc<Identity> {
    let mut seed = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(&mut *seed).expect("invariant: the system gives randomness");
    Arc::new(Identity::from_seed(seed))
}

fn report(checked: &Checked) -> Code {
    let Checked { deployment, servers, reachable, pinned } = checked;
    info!(%deployment, servers, reachable, pinned, "checked: configuration, store and instance are fine");
    if !pinned {
        warn!("unpinned: name#{deployment} as the instance would pin this deployment");
    }
    0
}

/// The client and its socket, until a signal, the end of the lease on its identity, or the client's own end. `beside` runs
/// along, on the client's handle.
pub(crate) async fn serve(
    config: &Config,
    client: ClientConfig,
    mut lease: Kept,
    uid: u32,
    log: LogControl,
    signals: &mut Signals,
    beside: impl FnOnce(Handle) -> JoinHandle<()>,
) -> Result<Code, Failure> {
    let mut client = Client::start(client).await?;
    let handle = client.handle();
    signals.reload.serve(handle.clone());
    let (operator, mut wish) = Operator::new(log, CONTROL_GRACE + END_GRACE);
    let backend = Arc::new(handle.clone());
    let passed = signals.service.listener.take();
    let listening = match passed {
        Some(listener) => Listening::adopt(listener),
        None => Listening::bind(&config.socket, uid).await,
    };
    let listening = match listening {
        Ok(listening) => listening,
        Err(error) => {
            end(&mut client).await;
            return Err(error.into());
        }
    };
    info!(path = %listening.path().display(), passed = !listening.is_ours(), "control socket");
    let control = Control::serve_at(listening, uid, backend, operator, Limits::default()).await;
    signals.began();
    let notify = signals.service.notify.clone();
    let turns = handle.clone();
    let fed = tokio::spawn(service::feed(notify.clone(), signals.service.watchdog, move || turns.turns()));
    // Ends with the client.
    let told = tokio::spawn(service::tell_status(notify, handle.clone(), uid));
    let beside = beside(handle.clone());
    if config.metrics.is_some() && config.private_metrics {
        // Ends with the client.
        tokio::spawn(metrics::queue_figures(handle.clone(), uid));
    }
    let result = tokio::select! {
        ended = client.ended() => ended.map(|()| 0).map_err(Failure::from),
        () = async {
            handle.known().await;
            control.set_serving(true).await;
            std::future::pending::<()>().await;
        } => unreachable!("invariant: pending"),
        lost = lease.lost() => {
            end(&mut client).await;
            Err(lost.into())
        }
        signal = signals.next() => {
            drain(&mut client, &control, signals, &mut wish, &mut lease, Some(signal)).await
        }
        () = wished(&mut wish, Ending::Drain) => {
            drain(&mut client, &control, signals, &mut wish, &mut lease, None).await
        }
    };
    beside.abort();
    told.abort();
    signals.ends(CONTROL_GRACE + END_GRACE + LEASE_GRACE);
    control.stop(CONTROL_GRACE).await;
    // The client has ended: nothing uses the identity any more.
    lease.end().await;
    fed.abort();
    result
}

/// Resolves when the operator wants at least this.
async fn wished(wish: &mut watch::Receiver<Ending>, least: Ending) {
    if wish.wait_for(|wish| *wish >= least).await.is_err() {
        // Nobody can want anything any more.
        std::future::pending::<()>().await;
    }
}

/// Ends the client at once: what was accepted is kept.
async fn end(client: &mut Client) {
    client.end();
    if timeout(END_GRACE, client.ended()).await.is_err() {
        warn!("the client did not end in time");
    }
}

/// Ends the client within its grace; a second signal, the operator's word, or the end of the lease, ends it now. `signal` is the one that came,
/// none if the operator asked through the socket.
async fn drain(
    client: &mut Client,
    control: &Control,
    signals: &mut Signals,
    wish: &mut watch::Receiver<Ending>,
    lease: &mut Kept,
    signal: Option<u8>,
) -> Result<Code, Failure> {
    let grace = client.grace();
    if let Some(signal) = signal {
        info!(signal, grace = ?grace, "stopping");
    } else {
        info!(grace = ?grace, "stopping, as the operator said");
    }
    signals.ends(grace + END_GRACE + CONTROL_GRACE + LEASE_GRACE + SHUTDOWN);
    control.drain().await;
    client.drain();
    let code = tokio::select! {
        ended = client.ended() => {
            if let Err(error) = ended {
                warn!("{error}");
            }
            return Ok(0);
        }
        second = signals.next() => Ok(SIGNALLED + second),
        () = wished(wish, Ending::Now) => Ok(0),
        lost = lease.lost() => Err(lost.into()),
        () = sleep(grace) => Ok(signal.map_or(0, |signal| SIGNALLED + signal)),
    };
    warn!("ending now; what was accepted is kept");
    end(client).await;
    code
}

/// SIGTERM and SIGINT, which end the daemon, and SIGHUP, which is dealt with while the others are waited for.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    reload: Reload,
    service: Service,
    /// Between readiness and the end the service manager hears of reloads.
    told: bool,
}

impl Signals {
    fn new(reload: Reload, service: Service) -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|source| Failure::System { action: "listen for signals", source });
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        let (terminate, interrupt) = (listen(terminate)?, listen(interrupt)?);
        let hangup = listen(SignalKind::hangup())?;
        Ok(Self { terminate, interrupt, hangup, reload, service, told: false })
    }

    /// Callers are answered from now on.
    fn began(&mut self) {
        self.service.notify.ready();
        self.told = true;
    }

    /// The daemon ends, within this. Only the first call says so.
    fn ends(&mut self, within: Duration) {
        if std::mem::take(&mut self.told) {
            self.service.notify.stopping(within);
        }
    }

    async fn reload(&self) {
        if !self.told {
            return self.reload.run().await;
        }
        self.service.notify.reloading();
        self.reload.run().await;
        self.service.notify.ready();
    }

    /// The number of the next one that ends the daemon.
    pub(crate) async fn next(&mut self) -> u8 {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return 15,
                _ = self.interrupt.recv() => return 2,
                _ = self.hangup.recv() => self.reload().await,
            }
        }
    }
}
