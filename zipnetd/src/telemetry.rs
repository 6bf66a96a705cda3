//! The log: to the journal under systemd, otherwise to standard error, with the dependencies' noise turned down.
//!
//! What an anonymity daemon logs can unmask its user: nothing at INFO tells talk from cover, names a message, or is
//! written at a moment that depends on having one. A sealed envelope is a DEBUG event, the same for both.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use nix::sys::stat::fstat;
use tracing::{Level, enabled, info, warn};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::{ParseError, filter_fn};
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

/// What the journal knows the daemon by (`journalctl -t`).
const IDENTIFIER: &str = "zipnetd";
/// What a line's fields begin with in the journal, as in `ZIPNET_ROUND`.
const FIELD_PREFIX: &str = "ZIPNET";

/// Whether `fd` is the journal: then `JOURNAL_STREAM`, whose text is handed in, names its device and inode. The variable
/// alone is no proof: it is inherited by whatever redirects standard error elsewhere.
pub fn is_journal(journal_stream: Option<&str>, fd: impl AsFd) -> bool {
    let Ok(stat) = fstat(fd) else { return false };
    journal_stream == Some(&format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// The journal, with the priorities that `journalctl -p` expects: INFO is `info`.
fn journal() -> io::Result<tracing_journald::Layer> {
    let priorities =
        PriorityMappings { info: Priority::Informational, debug: Priority::Debug, ..PriorityMappings::new() };
    let layer = tracing_journald::layer()?;
    Ok(layer
        .with_priority_mappings(priorities)
        .with_field_prefix(Some(FIELD_PREFIX.to_owned()))
        .with_syslog_identifier(IDENTIFIER.to_owned()))
}

/// Starts logging for the whole process: to the journal if `to_journal` says so and it answers, otherwise to standard
/// error. `filter` has the syntax of `RUST_LOG` and was checked by `config`; what it says about a dependency by name
/// overrides what is turned down here.
pub fn start(filter: &str, to_journal: bool) -> LogControl {
    let parsed = directives(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let (layer, handle) = reload::Layer::new(parsed);
    let (journal, missing) = match to_journal.then(journal).transpose() {
        Ok(journal) => (journal, None),
        Err(error) => (None, Some(error)),
    };
    let lines = journal.is_none().then(|| {
        tracing_subscriber::fmt::layer()
            .compact()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
    });
    // sled prints whole records below INFO, payloads among them: no filter gets that far.
    let never = filter_fn(|line| *line.level() <= Level::INFO || !line.target().starts_with("sled"));
    let started = tracing_subscriber::registry().with(layer).with(never).with(lines).with(journal).try_init();
    if let Some(error) = missing {
        warn!("the journal does not answer, logging to standard error: {error}");
    }
    // A second start in one process (tests) keeps the first.
    LogControl { handle: started.is_ok().then_some(handle), initial: filter.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_error_is_the_journal_only_if_device_and_inode_say_so() {
        let file = tempfile::tempfile().unwrap();
        let stat = fstat(&file).unwrap();
        let named = format!("{}:{}", stat.st_dev, stat.st_ino);
        assert!(is_journal(Some(&named), &file));
        assert!(!is_journal(None, &file), "not under systemd");
        let redirected = tempfile::tempfile().unwrap();
        assert!(!is_journal(Some(&named), &redirected), "inherited, and standard error is another file");
        for nonsense in ["", ":", "x:y", &named[1..], &format!("{named}0")] {
            assert!(!is_journal(Some(nonsense), &file), "{nonsense}");
        }
    }
}
