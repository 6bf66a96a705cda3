//! Telling the servers that this aggregator is here, or leaves: a header should not name one that is going away.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::params::majority;
use zipnet_dcnet::signed::encode;
use zipnet_dcnet::wire::refusal;
use zipnet_network::links::{Kind, LinkError};
use zipnet_network::{Node, Presence};

use crate::follow::address;

/// The longest that leaving takes: a round under way has to end.
pub const LEAVE: Duration = Duration::from_secs(25);
/// What reaching a server gets, and saying that it is here.
const SAY: Duration = Duration::from_secs(5);
/// Pause before those are told who could not be.
const PAUSE: Duration = Duration::from_secs(5);

/// Tells every server once that this aggregator is here, until `stop`. One that leaves and comes back is missed in
/// headers until it has said so.
pub(crate) async fn say_here(node: Node, mut servers: Vec<PeerId>, stop: CancellationToken) {
    while !servers.is_empty() {
        let mut left = Vec::new();
        for server in servers {
            match stop.run_until_cancelled(say(&node, &server, Presence::Here, SAY)).await {
                None => return,
                Some(true) => {}
                Some(false) => left.push(server),
            }
        }
        servers = left;
        if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return;
        }
    }
}

/// Tells all servers that it leaves, and returns when a majority says that no round needs it any more.
pub(crate) async fn leave(node: &Node, servers: &[PeerId]) {
    let mut calls: FuturesUnordered<_> =
        servers.iter().map(|server| say(node, server, Presence::Leaving, LEAVE)).collect();
    let enough = majority(servers.len() as u32);
    let freed = async {
        let mut agreed = 0;
        while agreed < enough
            && let Some(said) = calls.next().await
        {
            agreed += u32::from(said);
        }
        agreed >= enough
    };
    if timeout(LEAVE, freed).await.unwrap_or(false) {
        info!("no round needs this aggregator any more");
    } else {
        warn!("leaving although a round may need this aggregator: too few servers said otherwise");
    }
}

/// Whether the server has taken it, or will never.
async fn say(node: &Node, server: &PeerId, presence: Presence, within: Duration) -> bool {
    let Some(addr) = address(node, server) else { return false };
    let link = node.links.link(addr);
    // A server that is not there must not hold up who leaves.
    if let Err(error) = link.ready(SAY).await {
        debug!(server = %server.short(), ?presence, %error, "not reached");
        return false;
    }
    match link.call(Kind::Status, encode(&presence), within).await {
        Ok(_) => true,
        // Not an aggregator of that server: it names this one in no header.
        Err(LinkError::Refused(refused)) if refused.code == refusal::FORBIDDEN => true,
        Err(error) => {
            debug!(server = %server.short(), ?presence, %error, "not told");
            false
        }
    }
}
