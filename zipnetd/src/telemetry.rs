//! The log: to standard error, compact, with the dependencies' noise turned down.
//!
//! What an anonymity daemon logs can unmask its user: nothing at INFO tells talk from cover, names a message, or is
//! written at a moment that depends on having one. A sealed envelope is a DEBUG event, the same for both.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use zipnet_network::QUIET_LOG_DIRECTIVES;

/// The servers that `--dev` embeds bring a log replication that calls every step of an election an error.
#[cfg(feature = "dev")]
const EMBEDDED: &str = "openraft=off,";
#[cfg(not(feature = "dev"))]
const EMBEDDED: &str = "";

/// Starts logging for the whole process. `filter` has the syntax of `RUST_LOG` and was checked by `config`; what it
/// says about a dependency by name overrides what is turned down here.
pub fn start(filter: &str) {
    let directives = format!("{QUIET_LOG_DIRECTIVES},{EMBEDDED}{filter}");
    let filter = EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"));
    let started = tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .try_init();
    // A second start in one process (tests) keeps the first.
    drop(started);
}
