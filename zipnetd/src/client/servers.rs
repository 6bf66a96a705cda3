//! `Servers`: what the headers say of each server, and whether a link to it is up. Asking sends nothing.

use zipnet_dcnet::ids::PeerId;
use zipnet_proto::v1::{AggregatorState, ServerState, ServersResponse};

use super::runner::Live;

pub(super) fn servers(live: &Live) -> ServersResponse {
    let roll = live.core.roll();
    let states = live.hands.peers.states();
    let reachable = |peer: &PeerId| states.iter().any(|(known, up)| known == peer && up.is_some());
    let server = |peer: &PeerId| {
        let standing = roll.standing(peer);
        ServerState {
            peer_id: peer.to_string(),
            named: standing.is_some_and(|s| s.named),
            since_round: standing.map(|s| s.since_round),
            since_ms: standing.map(|s| s.since),
            since_before: standing.is_some_and(|s| s.from_first),
            reachable: reachable(peer),
        }
    };
    let aggregator =
        |peer: &PeerId| AggregatorState { peer_id: peer.to_string(), reachable: reachable(peer) };
    ServersResponse {
        round: roll.last.map(|last| last.0),
        round_at_ms: roll.last.map(|last| last.1),
        min_servers: live.descriptor.params.min_servers,
        servers: live.descriptor.servers.iter().map(server).collect(),
        aggregators: roll.aggregators.iter().map(aggregator).collect(),
    }
}
