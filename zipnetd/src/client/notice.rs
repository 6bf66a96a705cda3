//! The client's lines in the log. None of them depends on having a message.

use tracing::{debug, error, info, warn};

use crate::core::output::Notice;
use crate::metrics;

/// A registration that fails this often in a row is worth a warning.
const WARN_FAILURES: u32 = 8;
/// … this often a line: the first link may just be on its way, or a server be starting.
const TELL_FAILURES: u32 = 4;

/// Logs a transition of the core.
pub(super) fn log(notice: &Notice) {
    match notice {
        Notice::SessionStarted { servers } => info!(servers, "client booting, waiting for rosters"),
        Notice::Registered { round, roster } => {
            metrics::registered(true);
            info!(round, roster, "registered");
        }
        Notice::Unregistered { round } => {
            metrics::registered(false);
            info!(round, "no longer on the roster, registering again");
        }
        Notice::WarmedUp => info!("warmed up"),
        Notice::RegistrationFailed { server, text, failures } if *failures >= WARN_FAILURES => {
            warn!(server = %server.short(), failures, "a server does not register this client: {text}");
        }
        Notice::RegistrationFailed { server, text, failures } if *failures < TELL_FAILURES => {
            debug!(server = %server.short(), failures, "not registered by a server yet: {text}");
        }
        Notice::RegistrationFailed { server, text, failures } => {
            info!(server = %server.short(), failures, "waiting for a server to register this client: {text}");
        }
        Notice::NoQuote { text, failures } => {
            warn!(failures, "no quote, so no server registers this client: {text}");
        }
        Notice::Refused { from, text, times } => {
            warn!(server = %from.short(), times, "what a server said does not hold: {text}");
        }
        Notice::StoreFailed { failure, failures } => {
            error!(?failure, failures, "writing to the store failed, nothing leaves without it");
        }
        Notice::StoreWorks { failures } => info!(failures, "the store takes writes again"),
        Notice::Lingering { rounds } => {
            info!(rounds, "stopping: covering on for some rounds, a second signal ends it now");
        }
    }
}
