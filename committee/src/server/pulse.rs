//! How a running server is doing, for its operator: metrics, and what the service manager is told.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::metrics::Figures;

/// Between two looks at what the gauges show.
const LOOK: Duration = Duration::from_secs(1);

/// A look at a server that does not keep it alive.
#[derive(Clone)]
pub struct Pulse(pub(super) Weak<Shared>);

impl Pulse {
    /// Moves while the loop that owns the core turns: at least 10 times a second in a healthy server.
    pub fn turns(&self) -> u64 {
        self.0.upgrade().map_or(0, |shared| shared.turns.load(Ordering::Relaxed))
    }

    /// A line for `systemctl status`: what the log tells everybody, nothing of any client.
    pub fn line(&self) -> String {
        self.0.upgrade().map_or_else(|| "stopped".to_owned(), |shared| figures(&shared).line())
    }
}

/// Keeps the gauges up to date until `stop`.
pub(super) async fn show(shared: Arc<Shared>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(LOOK);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        figures(&shared).show();
    }
}

fn figures(shared: &Shared) -> Figures {
    let leader = shared.log.leader();
    let me = shared.me;
    let up = |peer: &zipnet_dcnet::ids::PeerId| (peer.short(), shared.directory.is_up(peer));
    let servers = shared.descriptor.servers.iter().filter(|server| **server != me).map(up).collect();
    let aggregators = shared.directory.aggregators().iter().map(up).collect();
    let applied = shared.applied();
    let state = &applied.state;
    let in_header = |server| match (state.round(), state.last()) {
        (Some(round), _) => round.has(server),
        (None, Some(last)) => last.servers.contains(server),
        (None, None) => false,
    };
    Figures {
        leads: shared.log.is_leader(),
        leader: leader.map(|leader| leader.short()),
        round: state.opened(),
        participants: state.last().map_or(0, zipnet_dcnet::record::Record::count),
        registry: state.registry().len(),
        roster: state.last_roster().entries().len(),
        index: applied.index,
        named: shared.descriptor.servers.iter().map(|s| (s.short(), in_header(s))).collect(),
        servers,
        aggregators,
    }
}
