//! The configuration: flag, then environment, then file, then default.

mod file;
mod places;
mod sealed;
mod shown;
mod value;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use zipnet_dcnet::descriptor::InstanceRef;
use zipnet_network::universe::{Bootstrap, Relay};
use zipnet_tdx::quote::helper::SOCKET;

use crate::cli::Cli;
use crate::client::ServerFiles;
pub use file::{DEFAULT_FILE, KEYS};
pub use places::{Socket, StateDir};
pub use sealed::Sealed;
pub use shown::Shown;
use value::Setting;
pub use value::{Place, variable};

/// The universe that everybody shares.
pub const DEFAULT_UNIVERSE: &str = "mosaik.universe";

/// What surrounds the process: handed in, so that nothing here reads it by itself.
pub struct Surroundings<'a> {
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    /// The effective user.
    pub uid: u32,
    /// Where the file is if the command line names none; it need not exist.
    pub default_file: PathBuf,
}

/// What `zipnetd` is to do, complete and checked.
#[derive(Debug)]
pub struct Config {
    /// Which network.
    pub network: Network,
    /// Published whenever the queue is empty.
    pub message: Option<StandingMessage>,
    /// Reserve in every Nth round.
    pub cadence: NonZeroU32,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Whether they include the queue's figures.
    pub private_metrics: bool,
    /// The control socket.
    pub socket: Socket,
    /// Where the queue is kept.
    pub state_dir: StateDir,
    /// The sealed identity; none: each run has a fresh one.
    pub sealed: Option<Sealed>,
    /// Where the quote helper listens.
    pub quote_socket: PathBuf,
    /// What the servers' quotes are judged by, where they show them.
    pub servers: Option<ServerFiles>,
    /// The log filter, in the syntax of `RUST_LOG`.
    pub log: String,
    /// Only check.
    pub check: bool,
    /// The configuration file that was read.
    pub file: Option<PathBuf>,
    /// Where each setting stands, in the order of [`KEYS`].
    places: Vec<(&'static str, Place)>,
}

/// Which network to take part in.
#[derive(Debug)]
pub enum Network {
    /// One of its own, inside this process.
    Dev,
    /// The real one.
    Real(Box<Real>),
}

/// Where the instance is.
#[derive(Clone, Debug)]
pub struct Real {
    /// Which one.
    pub instance: InstanceRef,
    /// In which universe.
    pub universe: String,
    /// Whom to ask first.
    pub bootstrap: Vec<Bootstrap>,
    /// What to talk from.
    pub listen: Option<SocketAddr>,
    /// Through which relay.
    pub relay: Relay,
}

/// The standing message. Its text shows in no log: `Debug` tells its length.
#[derive(Clone, PartialEq, Eq)]
pub struct StandingMessage(pub String);

impl fmt::Debug for StandingMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A configuration that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No instance is named.
    #[error(
        "no instance is named: set ZIPNET_INSTANCE (or --instance, or `instance` in the file), or try `zipnetd --dev`"
    )]
    NoInstance,
    /// A value that its setting does not take.
    #[error("{place}: {problem}")]
    Value {
        /// Where it stands.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The standing message fits no slot of any deployment.
    #[error("MessageTooLong: {place} has {len} bytes, no deployment takes more than {max}")]
    MessageTooLong {
        /// Where it stands.
        place: String,
        /// Its bytes.
        len: usize,
        /// The most that any deployment takes.
        max: usize,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {problem}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The file has a setting that does not exist.
    #[error("{}: unknown setting `{key}`{}", path.display(), suggestion.as_ref().map_or(String::new(), |s| format!(", did you mean `{s}`?")))]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// The setting.
        key: String,
        /// The closest one that exists.
        suggestion: Option<&'static str>,
    },
    /// There is no folder for state.
    #[error("no folder for the state: set ZIPNET_STATE_DIR (or --state-dir); HOME is not set either")]
    NoStateDir,
}

impl Config {
    /// Puts the configuration together.
    ///
    /// # Errors
    /// [`ConfigError`] names the place and the value of the first thing that is wrong.
    pub fn resolve(cli: &Cli, around: &Surroundings<'_>) -> Result<Self, ConfigError> {
        let file = file::load(cli, around)?;
        let find = |key: &'static str| Setting::find(key, cli, around, file.as_ref());
        let mut places = Vec::new();
        for key in KEYS {
            let place = find(key)?.map_or(Place::Default, |setting| setting.place);
            places.push((key, place));
        }
        let mut put = |key: &str, place: Place| {
            places.iter_mut().filter(|(known, _)| *known == key).for_each(|known| known.1 = place.clone());
        };

        let message = find("message")?.map(|s| value::message(&s)).transpose()?.map(StandingMessage);
        let cadence = find("cadence")?.map(|s| s.parse(value::cadence)).transpose()?;
        let metrics = find("metrics")?.map(|s| s.parse(value::metrics)).transpose()?;
        let private = find("private_metrics")?.map(|s| s.parse(value::truth)).transpose()?;
        let log = find("log")?.map(|s| s.parse(value::log)).transpose()?;
        let (socket, place) = places::socket(find("socket")?, cli.dev, around);
        put("socket", place);
        let (state_dir, place) = places::state_dir(find("state_dir")?, cli.dev, around)?;
        put("state_dir", place);
        let quote_socket = find("quote_socket")?.map(|s| s.parse(value::path)).transpose()?;
        let quote_socket = quote_socket.unwrap_or_else(|| SOCKET.into());
        let servers = if cli.dev { None } else { server_files(&find)? };
        let (network, sealed) = if cli.dev {
            (Network::Dev, None)
        } else {
            let real = real(&find)?;
            let sealed = sealed::sealed(&find, &real.instance, &quote_socket)?;
            (Network::Real(Box::new(real)), sealed)
        };
        Ok(Self {
            network,
            message,
            cadence: cadence.unwrap_or(NonZeroU32::MIN),
            metrics,
            private_metrics: private.unwrap_or(false),
            socket,
            state_dir,
            sealed,
            quote_socket,
            servers,
            log: log.unwrap_or_else(|| default_log(cli.dev).to_owned()),
            check: cli.check,
            file: file.map(|file| file.path),
            places,
        })
    }
}

/// The servers of a dev network have nothing to say to somebody who tries the daemon.
fn default_log(dev: bool) -> &'static str {
    if dev { "info,zipnet_committee=warn,zipnet_aggregator=warn" } else { "info" }
}

type Find<'a> = dyn Fn(&'static str) -> Result<Option<Setting>, ConfigError> + 'a;

/// Both or none. Whether they can be read is seen at the start.
fn server_files(find: &Find<'_>) -> Result<Option<ServerFiles>, ConfigError> {
    let (policy, collateral) = match (find("server_policy")?, find("server_collateral")?) {
        (None, None) => return Ok(None),
        (Some(policy), Some(collateral)) => (policy, collateral),
        (Some(alone), None) | (None, Some(alone)) => {
            return Err(alone.wrong("server_policy and server_collateral go together: set both".to_owned()));
        }
    };
    Ok(Some(ServerFiles { policy: policy.parse(value::path)?, collateral: collateral.parse(value::path)? }))
}

fn real(find: &Find<'_>) -> Result<Real, ConfigError> {
    let instance = find("instance")?.ok_or(ConfigError::NoInstance)?;
    let instance = instance.parse(str::parse::<InstanceRef>)?;
    let universe = find("universe")?.map_or_else(|| DEFAULT_UNIVERSE.to_owned(), |s| s.text);
    let bootstrap = find("bootstrap")?.map(|s| s.parse(value::bootstrap)).transpose()?.unwrap_or_default();
    let listen = find("listen")?.map(|s| s.parse(value::listen)).transpose()?;
    let relay = find("relay")?.map(|s| s.parse(value::relay)).transpose()?.unwrap_or_default();
    Ok(Real { instance, universe, bootstrap, listen, relay })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(key) => write!(f, "--{}", key.replace('_', "-")),
            Self::Env(name) => f.write_str(name),
            Self::File(path, key) => write!(f, "`{key}` in {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}
