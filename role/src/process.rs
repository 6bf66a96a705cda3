//! Log and signals of a process.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Logs to standard error. `directives` is what `RUST_LOG` says, INFO unless it says something.
///
/// # Errors
/// Directives that do not parse.
pub(crate) fn init_log(directives: Option<&str>) -> anyhow::Result<()> {
    let quiet = zipnet_network::QUIET_LOG_DIRECTIVES;
    // sled prints whole records at TRACE, which here are entries of the log.
    let wanted = format!("{quiet},{},sled=info", directives.unwrap_or("info"));
    let filter = EnvFilter::try_new(wanted.trim_matches(',')).context("RUST_LOG")?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
    Ok(())
}

const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;

/// SIGTERM and SIGINT.
pub struct Signals {
    term: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes them over; from now on they do not end the process by themselves.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn new() -> anyhow::Result<Self> {
        let install = |kind| signal(kind).context("cannot take signals");
        Ok(Self { term: install(SignalKind::terminate())?, interrupt: install(SignalKind::interrupt())? })
    }

    /// The number of the next one.
    pub async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.term.recv() => SIGTERM,
            _ = self.interrupt.recv() => SIGINT,
        }
    }
}
