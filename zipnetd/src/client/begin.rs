//! The beginning of a client's work: the deployment is known, so there can be links, a core and a subscription.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;
use tokio::task::JoinSet;
use zeroize::Zeroizing;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_network::links::{Links, LinksConfig, Role};
use zipnet_store::Store;
use zipnet_tdx::quote::Subject;

use super::events::Subscription;
use super::execute::Hands;
use super::find::Place;
use super::handle::View;
use super::log::Log;
use super::memory::Memory;
use super::peers::Peers;
use super::runner::{Live, Runner};
use super::vetting::Vetting;
use super::{ClientConfig, ClientError, Judge, MemoryError};
use crate::core::Core;
use crate::core::config::CoreConfig;
use crate::core::input::Input;
use crate::core::output::{RECEIPTS, TREE};
use crate::core::stop::PATIENCE;
use crate::core::store::{LoadError, Loaded};

/// Pairs per scan of the store.
const SCAN: usize = 1_000;
/// Receipts per scan: they are long.
const SCAN_RECEIPTS: usize = 16;
/// Round deadlines without an event after which another server is listened to.
const STALLED_DEADLINES: u32 = 3;
/// Drain: what two warm-ups take beyond their rounds.
const DRAIN_MARGIN: Duration = Duration::from_secs(15);

impl ClientConfig {
    /// Where to look for the instance.
    pub(super) fn place(&self) -> Place {
        Place {
            identity: self.identity.clone(),
            instance: self.instance.clone(),
            universe: self.universe.clone(),
            bootstrap: self.bootstrap.clone(),
            relay: self.relay.clone(),
            listen: self.listen,
        }
    }

    /// Whether the standing message fits a slot.
    pub(super) fn fits(&self, descriptor: &Descriptor) -> Result<Option<Arc<dyn Judge>>, ClientError> {
        let (len, max) = (self.standing.as_ref().map_or(0, Vec::len), descriptor.params.max_payload());
        if len > max {
            return Err(ClientError::MessageTooLong { len, max });
        }
        if !descriptor.admission.asks_servers() {
            return Ok(None);
        }
        self.judge.clone().ok_or(ClientError::NoJudge).map(Some)
    }
}

impl Runner {
    /// The deployment is known: links, core, subscription.
    pub(super) async fn begin(&mut self, descriptor: Descriptor) -> Result<(), ClientError> {
        let judge = self.config.fits(&descriptor)?;
        let loaded = load(&*self.config.store, &self.memory)?;
        let links = Links::bind(LinksConfig {
            identity: self.config.identity.clone(),
            role: Role::Client,
            deployment: descriptor.id(),
            // The port named is that of the universe.
            listen: self.config.listen.map(|addr| SocketAddr::new(addr.ip(), 0)),
            announce: Vec::new(),
        })
        .await?;
        let peers = Peers::new(links, &descriptor);
        let log = self.config.public.then(|| Log::new(descriptor.clone()));
        let params = &descriptor.params;
        let subscription = Subscription {
            peers: peers.clone(),
            log: log.clone(),
            feed: self.feeder.clone(),
            stall: Duration::from_millis(params.round_deadline_ms.into()) * STALLED_DEADLINES,
        };
        let period = Duration::from_millis(params.round_period_ms.into());
        let patience = Duration::from_millis(PATIENCE * u64::from(params.round_deadline_ms));
        let grace = period * params.warm_up * 2 + patience + DRAIN_MARGIN;
        let mut seed = Zeroizing::new([0; 32]);
        SysRng.try_fill_bytes(&mut *seed).expect("invariant: the system gives randomness");
        let config = CoreConfig {
            identity: self.config.identity.clone(),
            descriptor: descriptor.clone(),
            pinned_servers: Vec::new(),
            cadence: self.config.cadence,
            standing: self.config.standing.clone(),
            daemon_uid: self.config.uid,
        };
        let now = self.clock.now();
        let core = Core::new(config, loaded, &seed, now);
        if let Some(id) = core.stuck() {
            return Err(ClientError::Load { dir: self.memory.dir().to_owned(), error: LoadError::Stuck(id) });
        }
        let hands = Hands {
            peers: peers.clone(),
            store: self.config.store.clone(),
            log: log.clone(),
            feed: self.feeder.clone(),
            public: self.config.public,
            quotes: self.config.quotes.clone(),
            vetting: judge.map(|judge| Vetting::new(judge, descriptor.id())),
            subject: Subject {
                deployment: descriptor.id(),
                client: self.config.identity.client_bundle().client_id(),
                session: [0; 32],
            },
            tasks: JoinSet::new(),
            replies: BTreeMap::new(),
        };
        self.live = Some(Live {
            core,
            descriptor,
            hands,
            links: Vec::new(),
            subscription: tokio::spawn(subscription.run()),
            next_reply: 0,
        });
        self.view.send_replace(Some(View { log, peers, grace }));
        self.step(Input::SetPaused(self.paused));
        Ok(())
    }
}

/// All messages of the store, and which receipts there are.
fn load(store: &dyn Store, memory: &Memory) -> Result<Loaded, ClientError> {
    let mut pairs = Vec::new();
    scan(store, TREE, SCAN, |pair| pairs.push(pair))?;
    let mut receipts = Vec::new();
    scan(store, RECEIPTS, SCAN_RECEIPTS, |(key, value)| receipts.push((key, value.len())))?;
    let damaged = |error| ClientError::Load { dir: memory.dir().to_owned(), error };
    let loaded = Loaded::from_pairs(pairs).map_err(damaged)?;
    loaded.with_receipts(receipts).map_err(damaged)
}

/// All pairs of a tree, so many at a time.
fn scan(
    store: &dyn Store,
    tree: &str,
    limit: usize,
    mut each: impl FnMut((Vec<u8>, Vec<u8>)),
) -> Result<(), ClientError> {
    let mut from = Vec::new();
    loop {
        let piece = store.scan(tree, &from, limit).map_err(MemoryError::Store)?;
        let full = piece.len() == limit;
        if let Some((last, _)) = piece.last() {
            // The next key there can be.
            from = [last.as_slice(), &[0]].concat();
        }
        piece.into_iter().for_each(&mut each);
        if !full {
            return Ok(());
        }
    }
}
