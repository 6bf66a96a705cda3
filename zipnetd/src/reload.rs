//! SIGHUP: the log and the cadence are taken from the file and the environment again; everything else needs a restart.

use tracing::{error, info, warn};

use crate::client::Handle;
use crate::config::{Config, ConfigError, Shown, StandingMessage};
use crate::telemetry::LogControl;

/// Settings that SIGHUP changes.
pub const RELOADED: [&str; 2] = ["cadence", "log"];

/// Puts the configuration together again, as at the start.
pub type Again = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// What a reload needs.
pub struct Reload {
    again: Again,
    log: LogControl,
    /// What the daemon was started with.
    started: Vec<Shown>,
    message: Option<StandingMessage>,
    client: Option<Handle>,
}

impl Reload {
    /// For a daemon that was started with `config`.
    pub(crate) fn new(config: &Config, log: LogControl, again: Again) -> Self {
        Self { again, log, started: config.shown(), message: config.message.clone(), client: None }
    }

    /// From now on this client's cadence is set, too.
    pub(crate) fn serve(&mut self, client: Handle) {
        self.client = Some(client);
    }

    /// Reloads. A configuration that cannot be is one line at ERROR, and nothing changes.
    pub(crate) async fn run(&self) {
        let config = match (self.again)() {
            Ok(config) => config,
            Err(error) => {
                error!("not reloaded, nothing changed: {error}");
                return;
            }
        };
        let needs = self.needs_restart(&config);
        if !needs.is_empty() {
            warn!("changed, and needs a restart: {}", needs.join(", "));
        }
        // Also when it did not change: SIGHUP goes back to it after `zipnetctl log-level`.
        if let Err(error) = self.log.set(&config.log) {
            error!("the log stays as it is: {error}");
        }
        if let Some(client) = &self.client
            && client.set_cadence(config.cadence).await.is_err()
        {
            error!("the client did not take the cadence in time, it stays as it is");
            return;
        }
        info!(cadence = config.cadence, log = config.log, "reloaded");
    }

    /// Settings that are others than at the start and stay as they were.
    fn needs_restart(&self, config: &Config) -> Vec<&'static str> {
        let now = config.shown();
        let differ = |was: &&Shown, is: &Shown| was.value != is.value && !RELOADED.contains(&was.key);
        let pairs = self.started.iter().zip(&now).filter(|(was, is)| differ(was, is));
        let mut keys: Vec<&'static str> = pairs.map(|(was, _)| was.key).collect();
        // Of the message only the length is shown, and two can be of one length.
        if self.message != config.message && !keys.contains(&"message") {
            keys.push("message");
        }
        keys
    }
}
