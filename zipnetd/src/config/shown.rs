//! The configuration as a text: every setting, its value, and where it comes from.

use zipnet_tdx::seal::Keeper;

use super::value::Place;
use super::{Config, Network, StateDir};

/// What a setting without a value shows.
const NONE: &str = "none";
/// Values up to this wide are aligned, in characters; a longer one pushes its place out.
const MAX_ALIGNED: usize = 48;

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its name in the file.
    pub key: &'static str,
    /// Its value, as the file would have it; of the standing message only the length.
    pub value: String,
    /// Where it stands.
    pub place: Place,
}

impl Config {
    /// Every setting, in the order of [`KEYS`](super::KEYS).
    pub fn shown(&self) -> Vec<Shown> {
        let shown = |(key, place): &(&'static str, Place)| match self.value(key) {
            Some(value) => Shown { key, value, place: place.clone() },
            // What the network of `--dev` decides for itself stands nowhere.
            None => Shown { key, value: NONE.to_owned(), place: Place::Default },
        };
        self.places.iter().map(shown).collect()
    }

    fn value(&self, key: &str) -> Option<String> {
        let real = match &self.network {
            Network::Real(real) => Some(real),
            Network::Dev => None,
        };
        match key {
            "instance" => real.map(|real| {
                let pin = real.instance.pin.map(|pin| format!("#{pin}")).unwrap_or_default();
                format!("{}{pin}", real.instance.name)
            }),
            "universe" => real.map(|real| real.universe.clone()),
            "bootstrap" => real.filter(|real| !real.bootstrap.is_empty()).map(|real| {
                let peers: Vec<String> = real.bootstrap.iter().map(ToString::to_string).collect();
                peers.join(",")
            }),
            "message" => self.message.as_ref().map(|message| format!("{message:?}")),
            "cadence" => Some(self.cadence.to_string()),
            "metrics" => self.metrics.map(|addr| addr.to_string()),
            "private_metrics" => Some(self.private_metrics.to_string()),
            "listen" => real.and_then(|real| real.listen).map(|addr| addr.to_string()),
            "relay" => real.map(|real| real.relay.to_string()),
            "socket" => Some(self.socket.path.display().to_string()),
            "state_dir" => Some(match &self.state_dir {
                StateDir::At(dir) => dir.display().to_string(),
                StateDir::Temporary => "temporary".to_owned(),
            }),
            "quote_socket" => Some(self.quote_socket.display().to_string()),
            "server_policy" => self.servers.as_ref().map(|files| files.policy.display().to_string()),
            "server_collateral" => self.servers.as_ref().map(|files| files.collateral.display().to_string()),
            "log" => Some(self.log.clone()),
            _ => real.and_then(|_| self.of_identity(key)),
        }
    }

    fn of_identity(&self, key: &str) -> Option<String> {
        let sealed = self.sealed.as_ref();
        let keeper = sealed.map(|sealed| &sealed.keeper);
        match (key, keeper) {
            ("init_identity", _) => Some(sealed.is_some_and(|sealed| sealed.init).to_string()),
            ("sealed_identity", _) => sealed.map(|sealed| sealed.path.display().to_string()),
            ("key_broker", Some(Keeper::Broker { broker, .. })) => Some(broker.to_string()),
            ("insecure_key_file", Some(Keeper::KeyFile(path))) => Some(path.display().to_string()),
            _ => None,
        }
    }

    /// What `--print-config` prints: a line per setting with its value and its place, and which file was read.
    pub fn print(&self) -> String {
        let shown = self.shown();
        let width = |text: &str| text.chars().count();
        let keys = shown.iter().map(|s| width(s.key)).max().unwrap_or(0);
        let values = shown.iter().map(|s| width(&s.value)).filter(|w| *w <= MAX_ALIGNED).max().unwrap_or(0);
        let file = self.file.as_ref().map_or_else(|| NONE.to_owned(), |path| path.display().to_string());
        let mut lines = vec![format!("# file: {file}\n")];
        lines.extend(
            shown
                .iter()
                .map(|Shown { key, value, place }| format!("{key:keys$}  {value:values$}  {place}\n")),
        );
        lines.concat()
    }
}
