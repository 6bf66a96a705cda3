//! Leaving: a server that stops gets out of headers first and hands its office over, so that no round is lost (section 7).

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::Shared;
use crate::raft::STEP_BACK;

/// The round under way gets its deadline to end, but not more than this.
const MAX_ROUND: Duration = Duration::from_secs(20);
/// Without a leader for this long nothing gets into the log: then it just stops.
const LEADERLESS: Duration = Duration::from_secs(4);
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(20);

/// The longest that [`leave`] takes.
pub const LEAVE: Duration = MAX_ROUND.saturating_add(STEP_BACK);

/// Gets this server out of the rounds; gives up after [`LEAVE`].
pub(super) async fn leave(shared: &Shared) {
    shared.core().leave();
    shared.wake.notify_one();
    let deadline = Duration::from_millis(shared.descriptor.params.round_deadline_ms.into());
    let until = Instant::now() + deadline.min(MAX_ROUND);
    let mut led = Instant::now();
    loop {
        if shared.core().may_go(&shared.applied().state) {
            info!("no round needs this server any more");
            break;
        }
        if shared.log.leader().is_some() {
            led = Instant::now();
        }
        if led.elapsed() > LEADERLESS {
            return warn!("leaving without a word: nobody leads the committee");
        }
        if Instant::now() > until {
            warn!("leaving although a round may need this server: it did not end in time");
            break;
        }
        sleep(POLL).await;
    }
    if shared.log.is_leader() && shared.descriptor.servers.len() > 1 {
        if shared.log.step_back().await {
            info!("another server leads");
        } else {
            warn!("leaving although no other server leads yet");
        }
    }
}
