//! Finding the instance in the universe: what it is, and where its nodes are (R1).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;
use zipnet_dcnet::descriptor::{Descriptor, InstanceRef};
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{DeploymentId, PeerId};
use zipnet_dcnet::params::Gossip;
use zipnet_network::describe::DescribeAnswer;
use zipnet_network::links::LinkAddr;
use zipnet_network::universe::{
    Announcement, Answer, Bootstrap, Relay, State, Universe, UniverseConfig, UniverseError,
};

use super::Feed;

/// One question's time, joining included; then the owner is told that nobody answers.
pub(crate) const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(20);
/// What a client without a pin waits for its bootstrap peers before it believes somebody else.
const BOOTSTRAP_FIRST: Duration = Duration::from_secs(8);
/// A client that is only to look in stays at most this long for addresses that lack.
const LOOK_IN: Duration = Duration::from_secs(30);
/// Between two questions that nobody answered.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two visits, or two questions that were answered.
const AGAIN: Duration = Duration::from_secs(15);

/// Where to look.
#[derive(Clone)]
pub(crate) struct Place {
    pub identity: Arc<Identity>,
    pub instance: InstanceRef,
    pub universe: String,
    pub bootstrap: Vec<Bootstrap>,
    pub relay: Relay,
    pub listen: Option<std::net::SocketAddr>,
}

/// Why the instance was not found. The search goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// Nobody serves the name.
    #[error("nobody serves instance `{instance}` in universe `{universe}`")]
    Nobody {
        /// The name.
        instance: String,
        /// Where.
        universe: String,
    },
    /// The universe itself cannot be entered.
    #[error(transparent)]
    Universe(UniverseError),
    /// It is served, but by another deployment than the pinned or remembered one.
    #[error("instance `{instance}` is served as deployment {}, this client knows {known}", list(found))]
    OtherDeployment {
        /// The name.
        instance: String,
        /// What is served.
        found: Vec<DeploymentId>,
        /// What is pinned or remembered.
        known: DeploymentId,
    },
}

fn list(ids: &[DeploymentId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What the search tells.
pub(crate) enum Find {
    /// This node is in the universe.
    Up,
    /// The deployment and addresses of its nodes.
    Found(Box<DescribeAnswer>),
    /// More addresses.
    Links(Vec<LinkAddr>),
    /// Nothing, so far.
    Nothing(NotFound),
}

/// The place of a client in the universe.
pub(crate) fn enter(place: &Place) -> Result<Universe, UniverseError> {
    let bundle = place.identity.client_bundle();
    Universe::start(UniverseConfig {
        identity: place.identity.clone(),
        universe: place.universe.clone(),
        bootstrap: place.bootstrap.clone(),
        relay: place.relay.clone(),
        listen: place.listen,
        announcement: Announcement { bundle, link: None, deployment: None },
    })
}

/// Asks once. `known` is the pinned or remembered deployment.
pub(crate) async fn ask(
    universe: &Universe,
    place: &Place,
    known: Option<DeploymentId>,
) -> Result<DescribeAnswer, NotFound> {
    let name = &place.instance.name;
    let trusted: BTreeSet<PeerId> = place.bootstrap.iter().map(|peer| peer.peer_id).collect();
    let mut others = BTreeSet::new();
    let mut second = None;
    let mut pick = |answer: Answer, anybody: bool| {
        let from = answer.from;
        let answer = match DescribeAnswer::from_bytes(&answer.bytes, name) {
            Ok(answer) => answer,
            Err(error) => {
                debug!(peer = %from.short(), %error, "description of no use");
                return None;
            }
        };
        match known {
            Some(known) if answer.descriptor.id() == known => Some(answer),
            Some(_) => {
                others.insert(answer.descriptor.id());
                None
            }
            None if anybody || trusted.contains(&from) => Some(answer),
            None => {
                second.get_or_insert(answer);
                None
            }
        }
    };
    let started = Instant::now();
    let mut result = Err(UniverseError::Left);
    if known.is_none() && !place.bootstrap.is_empty() {
        result = universe.describe(name, BOOTSTRAP_FIRST, |answer| pick(answer, false)).await;
    }
    if result.is_err() {
        // Everybody is asked anew, so whoever answered before answers again.
        let left = DESCRIBE_TIMEOUT.saturating_sub(started.elapsed());
        result = universe.describe(name, left, |answer| pick(answer, true)).await;
    }
    match result {
        Ok(answer) => Ok(answer),
        Err(error) => second.ok_or_else(|| not_found(universe, place, known, others, error)),
    }
}

fn not_found(
    universe: &Universe,
    place: &Place,
    known: Option<DeploymentId>,
    others: BTreeSet<DeploymentId>,
    error: UniverseError,
) -> NotFound {
    let instance = place.instance.name.clone();
    if let (Some(known), false) = (known, others.is_empty()) {
        return NotFound::OtherDeployment { instance, found: others.into_iter().collect(), known };
    }
    // Not being in the universe at all is the better explanation.
    match (&*universe.state().borrow(), error) {
        (State::Down(down), _) => NotFound::Universe(down.clone()),
        (_, UniverseError::ConnectTimeout { .. } | UniverseError::NoneAccepted { .. }) => {
            NotFound::Nobody { instance, universe: place.universe.clone() }
        }
        (_, error) => NotFound::Universe(error),
    }
}

/// The search of a running client: goes on for ever.
pub(crate) struct Search {
    pub place: Place,
    /// The pinned or remembered deployment.
    pub known: Option<DeploymentId>,
    pub feed: mpsc::Sender<Feed>,
    /// The owner needs addresses: no link answers, or a header names somebody unknown.
    pub again: Arc<Notify>,
}

/// The owner has gone.
struct Gone;

impl Search {
    pub(crate) async fn run(mut self) {
        loop {
            match enter(&self.place) {
                Ok(universe) => {
                    let gone = self.visit(&universe).await.is_err();
                    universe.leave().await;
                    if gone {
                        return;
                    }
                    debug!("left the universe: the links are known");
                }
                Err(error) => {
                    if self.tell(Find::Nothing(NotFound::Universe(error))).await.is_err() {
                        return;
                    }
                }
            }
            sleep(AGAIN).await;
            tokio::select! {
                () = self.again.notified() => debug!("looking into the universe again"),
                () = self.feed.closed() => return,
            }
        }
    }

    async fn tell(&self, find: Find) -> Result<(), Gone> {
        self.feed.send(Feed::Find(find)).await.map_err(|_| Gone)
    }

    /// One stay in the universe. With `gossip = servers` it ends when the addresses are known.
    async fn visit(&mut self, universe: &Universe) -> Result<(), Gone> {
        self.wait_up(universe).await?;
        loop {
            let answer = tokio::select! {
                answer = ask(universe, &self.place, self.known) => answer,
                () = self.feed.closed() => return Err(Gone),
            };
            let descriptor = match answer {
                Ok(answer) => {
                    // What was found once is what is looked for from now on.
                    self.known = Some(answer.descriptor.id());
                    let descriptor = answer.descriptor.clone();
                    let complete = complete(&descriptor, &answer.links);
                    self.tell(Find::Found(Box::new(answer))).await?;
                    if complete && descriptor.params.gossip == Gossip::Servers {
                        return Ok(());
                    }
                    descriptor
                }
                Err(why) => {
                    self.tell(Find::Nothing(why)).await?;
                    // A question that fails at once must not be asked in a hot loop.
                    sleep(PAUSE).await;
                    continue;
                }
            };
            match descriptor.params.gossip {
                Gossip::All => self.stay(universe, &descriptor).await?,
                Gossip::Servers => {
                    return timeout(LOOK_IN, self.stay(universe, &descriptor)).await.unwrap_or(Ok(()));
                }
            }
        }
    }

    async fn wait_up(&self, universe: &Universe) -> Result<(), Gone> {
        let mut state = universe.state();
        // The guard that `wait_for` gives must not live across the next await.
        let up = async { state.wait_for(|state| matches!(state, State::Up(_))).await.is_ok() };
        let up = tokio::select! {
            up = timeout(DESCRIBE_TIMEOUT, up) => up == Ok(true),
            () = self.feed.closed() => return Err(Gone),
        };
        if up { self.tell(Find::Up).await } else { Ok(()) }
    }

    /// Hands on addresses as nodes announce them, until the owner wants to ask again.
    async fn stay(&self, universe: &Universe, descriptor: &Descriptor) -> Result<(), Gone> {
        let deployment = descriptor.id();
        let mut peers = universe.watch_peers();
        peers.mark_changed();
        let since = Instant::now();
        loop {
            tokio::select! {
                changed = peers.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let known = peers.borrow_and_update().clone();
                    let ours = known.values().filter(|node| node.deployment == Some(deployment));
                    let links: Vec<LinkAddr> = ours.filter_map(|node| node.link.clone()).collect();
                    self.tell(Find::Links(links)).await?;
                }
                () = self.again.notified() => {
                    sleep(AGAIN.saturating_sub(since.elapsed())).await;
                    return Ok(());
                }
                () = self.feed.closed() => return Err(Gone),
            }
        }
    }
}

/// All servers, and someone to send envelopes to.
fn complete(descriptor: &Descriptor, links: &[LinkAddr]) -> bool {
    let known: BTreeSet<PeerId> = links.iter().map(|link| link.peer_id).collect();
    descriptor.servers.iter().all(|server| known.contains(server)) && known.len() > descriptor.servers.len()
}
