//! Following the committee's events: which round is open, and who is in its roster.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::signed::encode;
use zipnet_dcnet::wire::{Event, EventsCall, RosterCall, RosterUpdate};
use zipnet_network::Node;
use zipnet_network::links::{Kind, Link, LinkAddr};

use crate::folding::Folding;

/// Pause before another server is tried.
const PAUSE: Duration = Duration::from_millis(500);
/// A server that says nothing for this many round deadlines is left for another one.
const SILENT_DEADLINES: u32 = 3;
/// The loop goes round at least this often while it waits for events.
const TURN: Duration = Duration::from_secs(1);
/// What fetching a roster gets.
const FETCH: Duration = Duration::from_secs(10);

/// Follows one server after the other until `stop`.
pub(crate) async fn follow(folding: Arc<Folding>, node: Node, stop: CancellationToken) {
    let servers = folding.descriptor().servers.clone();
    let mut roster = Roster::default();
    for server in servers.iter().cycle() {
        folding.turn();
        if let Some(addr) = address(&node, server) {
            let link = node.links.link(addr);
            let followed = stop.run_until_cancelled(one(&folding, &link, &mut roster)).await;
            folding.follows(None);
            if let Some(Err(error)) = followed {
                debug!(server = %server.short(), error, "following another server");
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return;
        }
    }
}

/// Where the universe says that a server is.
pub(crate) fn address(node: &Node, server: &PeerId) -> Option<LinkAddr> {
    node.universe.peers().get(server)?.link.clone()
}

/// Follows one server for as long as it has something to say.
async fn one(folding: &Folding, link: &Link, roster: &mut Roster) -> Result<(), String> {
    let deadline = Duration::from_millis(folding.descriptor().params.round_deadline_ms.into());
    let call = encode(&EventsCall { roster: roster.digest() });
    let mut frames = link.open(Kind::Events, call).await.map_err(|e| e.to_string())?;
    folding.follows(Some(link.peer_id()));
    let mut ticks = tokio::time::interval(TURN);
    let mut heard = Instant::now();
    loop {
        folding.turn();
        let frame = tokio::select! {
            frame = frames.next() => frame.map_err(|e| e.to_string())?,
            _ = ticks.tick() => {
                if heard.elapsed() > deadline * SILENT_DEADLINES {
                    return Err("it is silent".to_owned());
                }
                continue;
            }
        };
        let Some(frame) = frame else { return Ok(()) };
        heard = Instant::now();
        let event = borsh::from_slice::<Event>(&frame).map_err(|e| e.to_string())?;
        let Event::Open { header, roster: update } = event else { continue };
        if let Err(error) = header.verify(folding.descriptor(), &folding.deployment()) {
            warn!(server = %link.peer_id().short(), %error, "header refused");
            return Err(error.to_string());
        }
        let updated = match &update {
            RosterUpdate::Delta(delta) => roster.apply(delta).filter(|next| next.is_of(&header.header)),
            RosterUpdate::Same | RosterUpdate::Fetch => None,
        };
        if let Some(next) = updated {
            *roster = next;
        } else if !roster.is_of(&header.header) {
            let call = encode(&RosterCall { digest: header.header.roster });
            let body = link.call(Kind::Roster, call, FETCH).await.map_err(|e| e.to_string())?;
            let fetched = borsh::from_slice::<Roster>(&body).map_err(|e| e.to_string())?;
            if !fetched.is_of(&header.header) {
                return Err("its roster is not the one of the header".to_owned());
            }
            *roster = fetched;
        }
        folding.open(&header, roster.clone());
    }
}
