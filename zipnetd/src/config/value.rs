//! One setting: where it was found, and what its text means.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;
use zipnet_dcnet::params::{MAX_SLOT_BYTES, TAG_BYTES};
use zipnet_network::universe::{Bootstrap, Relay};

use super::file::File;
use super::{ConfigError, Surroundings};
use crate::cli::Cli;

/// Most bootstrap peers.
const MAX_BOOTSTRAP: usize = 64;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the command line, as the flag of this setting.
    Flag(&'static str),
    /// In this variable of the environment.
    Env(String),
    /// In this file, under this key.
    File(PathBuf, &'static str),
    /// Nowhere.
    Default,
}

/// A text and where it stands.
pub(super) struct Setting {
    pub place: Place,
    pub text: String,
}

/// The environment variable of a setting.
pub fn variable(key: &str) -> String {
    if key == "log" { "RUST_LOG".to_owned() } else { format!("ZIPNET_{}", key.to_uppercase()) }
}

impl Setting {
    /// The first of flag, environment and file that has it. An empty variable counts as not set: that is how unit
    /// files and compose files leave one out.
    pub(super) fn find(
        key: &'static str,
        cli: &Cli,
        around: &Surroundings<'_>,
        file: Option<&File>,
    ) -> Result<Option<Self>, ConfigError> {
        if let Some(text) = cli.flag(key) {
            return Ok(Some(Self { place: Place::Flag(key), text }));
        }
        let name = variable(key);
        if let Some(text) = (around.env)(&name).filter(|text| !text.is_empty()) {
            let place = Place::Env(name);
            return match text.into_string() {
                Ok(text) => Ok(Some(Self { place, text })),
                Err(_) => Err(problem(&place, "not UTF-8".to_owned())),
            };
        }
        let Some(file) = file else { return Ok(None) };
        let text = file.settings.get(key);
        Ok(text.map(|text| Self { place: Place::File(file.path.clone(), key), text: text.clone() }))
    }

    pub(super) fn parse<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, ConfigError> {
        parse(&self.text).map_err(|what| problem(&self.place, what))
    }

    /// What is wrong with it, as the others are.
    pub(super) fn wrong(&self, what: String) -> ConfigError {
        problem(&self.place, what)
    }
}

fn problem(place: &Place, problem: String) -> ConfigError {
    ConfigError::Value { place: place.to_string(), problem }
}

/// A standing message is never quoted: it must not show in a log.
pub(super) fn message(setting: &Setting) -> Result<String, ConfigError> {
    let (len, max) = (setting.text.len(), MAX_SLOT_BYTES as usize - TAG_BYTES);
    if len > max {
        return Err(ConfigError::MessageTooLong { place: setting.place.to_string(), len, max });
    }
    Ok(setting.text.clone())
}

pub(super) fn cadence(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number from 1 on"))
}

pub(super) fn metrics(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| format!("`{text}` is neither IP:PORT nor a port"))
}

pub(super) fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("`{text}` is neither true nor false"))
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("a path is missing".to_owned()) } else { Ok(text.into()) }
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not IP:PORT"))
}

pub(super) fn log(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map_err(|e| format!("`{text}` is not a log filter: {e}"))?;
    Ok(text.to_owned())
}

pub(super) fn bootstrap(text: &str) -> Result<Vec<Bootstrap>, String> {
    let parts = text.split([',', ' ', '\n']).filter(|part| !part.is_empty());
    let peers = parts
        .map(|part| part.parse::<Bootstrap>().map_err(|e| e.to_string()))
        .collect::<Result<Vec<_>, _>>()?;
    if peers.len() > MAX_BOOTSTRAP {
        return Err(format!("{} peers, at most {MAX_BOOTSTRAP} are useful", peers.len()));
    }
    Ok(peers)
}

pub(super) fn relay(text: &str) -> Result<Relay, String> {
    text.parse::<Relay>().map_err(|e| e.to_string())
}
