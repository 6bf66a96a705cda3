//! The log: to standard error, compact, with the dependencies' noise turned down.
//!
//! What an anonymity daemon logs can unmask its user: nothing at INFO tells talk from cover, names a message, or is
//! written at a moment that depends on having one. A sealed envelope is a DEBUG event, the same for both.

use std::io::{self, IsTerminal};

use tracing::{Level, enabled, info};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};
use zipnet_network::QUIET_LOG_DIRECTIVES;

/// The servers that `--dev` embeds bring a log replication that calls every step of an election an error.
#[cfg(feature = "dev")]
const EMBEDDED: &str = "openraft=off,";
#[cfg(not(feature = "dev"))]
const EMBEDDED: &str = "";

/// What is logged, changeable while the daemon runs. Cheap to clone.
#[derive(Clone)]
pub struct LogControl {
    handle: Option<reload::Handle<EnvFilter, Registry>>,
    /// What the daemon was started with.
    initial: String,
}

/// The filter cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Not the syntax of `RUST_LOG`.
    #[error("`{filter}` is not a log filter: {problem}")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Somebody else logs for this process (tests).
    #[error("this process's log cannot be changed")]
    Fixed,
}

impl LogControl {
    /// Logs by `filter` from now on; an empty one stands for what the daemon was started with. Gives what is in force.
    ///
    /// # Errors
    /// [`LogError`]; nothing changed then.
    pub fn set(&self, filter: &str) -> Result<String, LogError> {
        let filter = if filter.is_empty() { &self.initial } else { filter };
        let bad = |problem: String| LogError::Filter { filter: filter.to_owned(), problem };
        // By itself first: what is wrong with it must not be blamed on what is put before it.
        EnvFilter::try_new(filter).map_err(|e| bad(e.to_string()))?;
        let parsed = directives(filter).map_err(|e| bad(e.to_string()))?;
        let handle = self.handle.as_ref().ok_or(LogError::Fixed)?;
        // Once, and so that it shows whichever of the two filters lets it through.
        let tell = || info!(filter, "what is logged changes, as the operator said");
        let shows = enabled!(Level::INFO);
        if shows {
            tell();
        }
        handle.reload(parsed).map_err(|_| LogError::Fixed)?;
        if !shows {
            tell();
        }
        Ok(filter.to_owned())
    }
}

fn directives(filter: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("{QUIET_LOG_DIRECTIVES},{EMBEDDED}{filter}"))
}

/// Starts logging for the whole process. `filter` has the syntax of `RUST_LOG` and was checked by `config`; what it
/// says about a dependency by name overrides what is turned down here.
pub fn start(filter: &str) -> LogControl {
    let parsed = directives(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let (layer, handle) = reload::Layer::new(parsed);
    let lines = tracing_subscriber::fmt::layer()
        .compact()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    let started = tracing_subscriber::registry().with(layer).with(lines).try_init();
    // A second start in one process (tests) keeps the first.
    LogControl { handle: started.is_ok().then_some(handle), initial: filter.to_owned() }
}
