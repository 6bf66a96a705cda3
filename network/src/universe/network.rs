//! One mosaik network from building to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayUrl, SecretKey, TransportAddr};
use mosaik::discovery::{self, Catalog};
use mosaik::network::NetworkError;
use mosaik::{Network, NetworkId};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::debug;
use zipnet_dcnet::ids::PeerId;

use super::announcement::Announcement;
use super::bootstrap::Bootstrap;
use super::describe::{self, Question};
use super::lookup::Lookup;
use super::node::{Desired, Shared, State};
use super::{UniverseConfig, UniverseError};

/// mosaik waits for a relay for ever; then the attempt is given up and made anew.
const BUILD_TIMEOUT: Duration = Duration::from_secs(15);
/// Round-trip times are only measured for peers that are called; regular probes of all cost more than they tell.
const PROBE_INTERVAL: Duration = Duration::from_hours(1);
/// Bootstrap peers that are not in the catalog are dialled again after this, doubling up to [`REDIAL_MAX`].
const REDIAL_MIN: Duration = Duration::from_millis(500);
/// The longest pause between two dials of a missing bootstrap peer.
const REDIAL_MAX: Duration = Duration::from_secs(10);
/// One dial of a bootstrap peer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// The last announcement gets this long to leave.
const LAST_WORD: Duration = Duration::from_millis(100);
/// mosaik says goodbye for half a second.
const GOODBYE: Duration = Duration::from_millis(700);
/// Closing the endpoint takes at most this long.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// A running network with what is needed to end it.
pub(super) struct Running {
    network: Network,
    pub(super) endpoint: Endpoint,
    bootstrap: Vec<EndpointAddr>,
}

/// The bootstrap peers as iroh addresses. One without an address is reached through the relays.
fn addresses(bootstrap: &[Bootstrap], relays: &[RelayUrl], own: EndpointId) -> Vec<EndpointAddr> {
    let mut out = Vec::new();
    for Bootstrap { peer_id, addr } in bootstrap {
        let Ok(id) = EndpointId::from_bytes(&peer_id.0) else {
            debug!(peer = %peer_id.short(), "bootstrap peer id is not a key");
            continue;
        };
        let direct = addr.iter().copied().map(TransportAddr::Ip);
        let relayed = relays.iter().cloned().map(TransportAddr::Relay);
        if id != own {
            out.push(EndpointAddr::from_parts(id, direct.chain(relayed)));
        }
    }
    out
}

/// Builds the network and makes it keep to itself.
pub(super) async fn build(config: &UniverseConfig) -> Result<Running, UniverseError> {
    let relay = config.relay.mode();
    let secret = SecretKey::from_bytes(&config.identity.peer_secret());
    let relays: Vec<RelayUrl> = relay.relay_map().urls();
    let bootstrap = addresses(&config.bootstrap, &relays, secret.public());
    let discovery = discovery::Config::builder()
        .no_dht_bootstrap()
        .with_bootstrap(bootstrap.clone())
        .with_rtt_probe_interval(PROBE_INTERVAL);
    let network = Network::builder(NetworkId::from(config.universe.as_str()))
        .with_relay_mode(relay)
        .with_secret_key(secret)
        .with_addresses(config.listen.into_iter().collect::<BTreeSet<_>>())
        .with_discovery(discovery);
    let network = match timeout(BUILD_TIMEOUT, network.build()).await {
        Ok(Ok(network)) => network,
        Ok(Err(error)) => return Err(failed(config, &error)),
        Err(_) => {
            return Err(UniverseError::NoRelay { relay: config.relay.to_string(), after: BUILD_TIMEOUT });
        }
    };
    let endpoint = network.local().endpoint().clone();
    if let Ok(lookups) = endpoint.address_lookup() {
        lookups.clear();
        lookups.add(Lookup::new(network.discovery().catalog_watch(), &bootstrap));
    }
    Ok(Running { network, endpoint, bootstrap })
}

fn failed(config: &UniverseConfig, error: &NetworkError) -> UniverseError {
    match error {
        NetworkError::Bind(_) | NetworkError::InvalidAddress(_) => UniverseError::Bind {
            addr: config.listen.map_or_else(|| "any".to_owned(), |addr| addr.to_string()),
            reason: format!("{error:#}"),
        },
        other => UniverseError::Ended(other.to_string()),
    }
}

/// How [`Running::run`] ended.
pub(super) enum End {
    /// Nobody wants the universe any more.
    Left,
    /// The network died.
    Died(String),
}

impl Running {
    /// Serves what is desired and asks what is asked, until the handle leaves or the network dies.
    pub(super) async fn run(
        &self,
        shared: &Shared,
        questions: &mut mpsc::Receiver<Question>,
        open: &mut Vec<Question>,
    ) -> End {
        let mut desired = shared.desired.subscribe();
        let mut catalog = self.network.discovery().catalog_watch();
        let mut events = self.network.discovery().events();
        let mut served = BTreeMap::new();
        let mut asking = FuturesUnordered::new();
        for question in open.iter() {
            asking.push(describe::ask(&self.network, question.clone()));
        }
        let closed = self.endpoint.closed();
        let redial = self.redial();
        tokio::pin!(closed, redial);
        desired.mark_changed();
        catalog.mark_changed();
        shared.state.send_replace(State::Up(self.addr()));
        loop {
            tokio::select! {
                () = shared.leaving.cancelled() => return End::Left,
                question = questions.recv() => match question {
                    Some(question) => {
                        open.retain(Question::is_open);
                        open.push(question.clone());
                        asking.push(describe::ask(&self.network, question));
                    }
                    None => return End::Left,
                },
                Some(()) = asking.next(), if !asking.is_empty() => {}
                Ok(()) = desired.changed() => {
                    let desired = desired.borrow_and_update().clone();
                    self.apply(&desired, &mut served);
                }
                Ok(()) = catalog.changed() => {
                    let peers = read(&catalog.borrow_and_update());
                    shared.peers.send_if_modified(|old| {
                        let changed = *old != peers;
                        *old = peers;
                        changed
                    });
                }
                event = events.recv() => {
                    // The worker behind this channel is the network: when it ends, mosaik shuts everything down.
                    if matches!(event, Err(RecvError::Closed)) {
                        return End::Died("its discovery stopped".to_owned());
                    }
                }
                () = &mut closed => return End::Died("its endpoint was closed".to_owned()),
                never = &mut redial => match never {},
            }
        }
    }

    fn apply(&self, desired: &Desired, served: &mut BTreeMap<String, Served>) {
        self.network.discovery().replace_ticket(desired.announcement.ticket());
        served.retain(|instance, _| desired.services.contains_key(instance));
        for (instance, provider) in &desired.services {
            if !served.contains_key(instance)
                && let Some(handler) = describe::serve(&self.network, instance, provider.clone())
            {
                served.insert(instance.clone(), handler);
            }
        }
    }

    /// Where others reach this node's mosaik endpoint: the bound address, or those of the interfaces.
    fn addr(&self) -> Bootstrap {
        let id = PeerId(*self.endpoint.id().as_bytes());
        let bound = self.endpoint.bound_sockets().into_iter().find(|addr| !addr.ip().is_unspecified());
        let addr = bound.or_else(|| self.endpoint.addr().ip_addrs().next().copied());
        Bootstrap { peer_id: id, addr }
    }

    /// Bootstrap peers may start late, restart, or be on the other side of a split: those that are not in the catalog
    /// are dialled for ever. (mosaik dials them once.)
    async fn redial(&self) -> Infallible {
        let discovery = self.network.discovery();
        let mut pause = REDIAL_MIN;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(REDIAL_MAX);
            let known = discovery.catalog();
            let missing = self.bootstrap.iter().filter(|addr| known.get_signed(&addr.id).is_none());
            let dials = missing.map(|addr| async {
                let dial = async {
                    // The sync brings the catalogs together, the dial makes gossip neighbours.
                    match discovery.sync_with(addr.clone()).await {
                        Ok(()) => discovery.dial(addr.clone()).await,
                        Err(error) => {
                            debug!(peer = %addr.id.fmt_short(), %error, "bootstrap peer not reached");
                        }
                    }
                };
                let _ = timeout(DIAL_TIMEOUT, dial).await;
            });
            futures::future::join_all(dials).await;
        }
    }

    /// Says goodbye and closes.
    pub(super) async fn end(self, shared: &Shared) {
        let Self { network, endpoint, .. } = self;
        // A goodbye older than the entry that others have is ignored, and a ping hands out an entry newer than the
        // one that mosaik remembers: announce once more, so that the goodbye is the last word.
        let ticket = shared.desired.borrow().announcement.ticket();
        network.discovery().replace_ticket(ticket);
        sleep(LAST_WORD).await;
        drop(network);
        sleep(GOODBYE).await;
        let _ = timeout(CLOSE_TIMEOUT, endpoint.close()).await;
    }
}

type Served = mosaik::functions::Handler<(), Vec<u8>, ()>;

fn read(catalog: &Catalog) -> Arc<BTreeMap<PeerId, Announcement>> {
    Arc::new(catalog.signed_peers().filter_map(|entry| Announcement::read(entry)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;
    use zeroize::Zeroizing;
    use zipnet_dcnet::identity::Identity;

    use super::super::{EmbeddedRelay, Relay};
    use super::*;

    fn config(relay: Relay) -> UniverseConfig {
        let identity = Identity::from_seed(Zeroizing::new([1; 32]));
        let bundle = identity.server_bundle();
        UniverseConfig {
            identity: Arc::new(identity),
            universe: "zipnet.test".to_owned(),
            bootstrap: Vec::new(),
            relay,
            listen: Some("127.0.0.1:0".parse().unwrap()),
            announcement: Announcement { bundle, link: None, deployment: None },
        }
    }

    #[tokio::test]
    async fn a_network_that_ends_by_itself_is_noticed() {
        let relay = EmbeddedRelay::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let config = config(relay.relay());
        let network = Box::pin(build(&config)).await.unwrap();
        let shared = Shared {
            desired: watch::Sender::new(Desired {
                announcement: config.announcement.clone(),
                services: BTreeMap::new(),
            }),
            state: watch::Sender::new(State::Joining),
            peers: watch::Sender::default(),
            leaving: CancellationToken::new(),
            running: watch::Sender::default(),
        };
        let (_handle, mut questions) = mpsc::channel(1);
        let mut open = Vec::new();
        let run = network.run(&shared, &mut questions, &mut open);
        let kill = async {
            let mut states = shared.state.subscribe();
            states.wait_for(|state| matches!(state, State::Up(_))).await.unwrap();
            network.endpoint.close().await;
        };
        let (end, ()) = tokio::join!(run, kill);
        assert!(matches!(end, End::Died(_)));
        network.end(&shared).await;
        relay.stop().await;
    }

    #[test]
    fn bare_ids_get_the_relays_and_this_node_is_skipped() {
        let own = SecretKey::from_bytes(&[1; 32]).public();
        let other = SecretKey::from_bytes(&[2; 32]).public();
        let named = |id: EndpointId, addr| Bootstrap { peer_id: PeerId(*id.as_bytes()), addr };
        let at = "127.0.0.1:1".parse().unwrap();
        let relays = ["http://127.0.0.1:2/".parse().unwrap()];
        let found = addresses(&[named(own, None), named(other, None), named(other, Some(at))], &relays, own);
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|addr| addr.id == other && addr.relay_urls().count() == 1));
        assert_eq!(found[1].ip_addrs().collect::<Vec<_>>(), [&at]);
    }
}
