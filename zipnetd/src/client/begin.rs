//! The beginning of a client's work: the deployment is known, so there can be links, a core and a subscription.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;
use tokio::task::JoinSet;
use zeroize::Zeroizing;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_network::links::{Links, LinksConfig, Role};
use zipnet_store::Store;

use super::events::Subscription;
use super::execute::Hands;
use super::find::Place;
use super::handle::View;
use super::log::Log;
use super::memory::Memory;
use super::peers::Peers;
use super::runner::{Live, Runner};
use super::{ClientConfig, ClientError, MemoryError};
use crate::core::Core;
use crate::core::config::CoreConfig;
use crate::core::input::Input;
use crate::core::output::TREE;
use crate::core::store::Loaded;

/// Pairs per scan of the store.
const SCAN: usize = 1_000;
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
    pub(super) fn fits(&self, descriptor: &Descriptor) -> Result<(), ClientError> {
        let (len, max) = (self.standing.as_ref().map_or(0, Vec::len), descriptor.params.max_payload());
        if len > max { Err(ClientError::MessageTooLong { len, max }) } else { Ok(()) }
    }
}

impl Runner {
    /// The deployment is known: links, core, subscription.
    pub(super) async fn begin(&mut self, descriptor: Descriptor) -> Result<(), ClientError> {
        self.config.fits(&descriptor)?;
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
        let grace = period * params.warm_up * 2 + DRAIN_MARGIN;
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
        let hands = Hands {
            peers: peers.clone(),
            store: self.config.store.clone(),
            log: log.clone(),
            feed: self.feeder.clone(),
            public: self.config.public,
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
        self.step(Input::Tick);
        Ok(())
    }
}

/// All messages of the store.
fn load(store: &dyn Store, memory: &Memory) -> Result<Loaded, ClientError> {
    let mut pairs = Vec::new();
    let mut from = Vec::new();
    loop {
        let piece = store.scan(TREE, &from, SCAN).map_err(MemoryError::Store)?;
        let full = piece.len() == SCAN;
        if let Some((last, _)) = piece.last() {
            // The next key there can be.
            from = [last.as_slice(), &[0]].concat();
        }
        pairs.extend(piece);
        if !full {
            break;
        }
    }
    Loaded::from_pairs(pairs).map_err(|error| ClientError::Load { dir: memory.dir().to_owned(), error })
}
