//! The arguments of `zipnet-server` and `zipnet-aggregator`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_network::NodeConfig;
use zipnet_network::universe::{Bootstrap, DEFAULT_UNIVERSE, Relay};

use crate::keyfile;

/// Longest descriptor file, in bytes.
const MAX_DESCRIPTOR_BYTES: u64 = 65_536;

/// The end of the help: what the arguments do not say. The manual pages and docs/reference/servers.md are made of it.
pub const AFTER_HELP: &str = "\
RUST_LOG says what is logged to standard error [default: info].

Exit codes: 0 stopped by SIGTERM or SIGINT; 1 any other failure; 2 command line, key file or descriptor; 4 the store \
cannot be used; 6 key or state folder of another deployment; 7 an address to listen at, or the metrics address, cannot \
be used; 128 + signal: ended by a second signal.";

/// What the binary is asked to do instead of running.
#[derive(Subcommand)]
pub enum Command {
    /// Make this node's key in the state folder and print its peer id. Never replaces a key.
    Keygen,
    /// Print the peer id of the key in the state folder.
    Id,
}

/// Arguments of a node.
#[derive(Args)]
pub struct RoleArgs {
    /// The folder of this node's key and state.
    #[arg(long, env = "ZIPNET_STATE_DIR", value_name = "DIR", global = true)]
    state_dir: Option<PathBuf>,
    /// The descriptor of the deployment, as `zipnetctl descriptor new` makes it.
    #[arg(long, env = "ZIPNET_DESCRIPTOR", value_name = "FILE")]
    descriptor: Option<PathBuf>,
    /// Where to accept links from clients and servers.
    #[arg(long, env = "ZIPNET_LISTEN", value_name = "IP:PORT", default_value = "0.0.0.0:0")]
    listen: SocketAddr,
    /// An address to announce instead of those of the interfaces, for example behind a port forward.
    #[arg(long, env = "ZIPNET_ANNOUNCE", value_name = "IP:PORT", value_delimiter = ',')]
    announce: Vec<SocketAddr>,
    /// Where the universe's endpoint listens, which others bootstrap from.
    #[arg(long, env = "ZIPNET_UNIVERSE_LISTEN", value_name = "IP:PORT")]
    universe_listen: Option<SocketAddr>,
    /// Peers to find the universe through: PEERID or PEERID@IP:PORT.
    #[arg(long, env = "ZIPNET_BOOTSTRAP", value_name = "PEER", value_delimiter = ',')]
    bootstrap: Vec<Bootstrap>,
    /// The universe's name.
    #[arg(long, env = "ZIPNET_UNIVERSE", value_name = "NAME", default_value = DEFAULT_UNIVERSE)]
    universe: String,
    /// The relay to be reachable through; the public ones unless told otherwise.
    #[arg(long, env = "ZIPNET_RELAY", value_name = "URL")]
    relay: Option<Relay>,
    /// Where to serve Prometheus metrics; nowhere unless told.
    #[arg(long, env = "ZIPNET_METRICS", value_name = "IP:PORT")]
    metrics: Option<SocketAddr>,
}

impl Command {
    /// Does it, with the key in `file`.
    ///
    /// # Errors
    /// A key that is there already, or cannot be read or written.
    pub fn run(&self, file: &Path) -> anyhow::Result<()> {
        let key = match self {
            Self::Keygen => keyfile::create(file)?,
            Self::Id => keyfile::load(file)?,
        };
        println!("{}", key.peer_id());
        Ok(())
    }
}

/// The arguments of a node that runs, complete.
pub struct Setup {
    /// Its state folder.
    pub state_dir: PathBuf,
    /// The deployment.
    pub descriptor: Descriptor,
    /// Where it listens, and how it finds the others.
    pub node: NodeConfig,
    /// Where to serve metrics.
    pub metrics: Option<SocketAddr>,
}

impl RoleArgs {
    /// The node's key file.
    ///
    /// # Errors
    /// No state folder was named.
    pub fn key_file(&self) -> anyhow::Result<PathBuf> {
        let dir = self.state_dir.as_ref().context("--state-dir DIR (or ZIPNET_STATE_DIR) is missing")?;
        Ok(dir.join("identity.key"))
    }

    /// The arguments to run with.
    ///
    /// # Errors
    /// What is missing, or what is wrong with the descriptor.
    pub fn setup(self) -> anyhow::Result<Setup> {
        let state_dir = self.state_dir.context("--state-dir DIR (or ZIPNET_STATE_DIR) is missing")?;
        let file = self.descriptor.context("--descriptor FILE (or ZIPNET_DESCRIPTOR) is missing")?;
        let node = NodeConfig {
            listen: self.listen,
            announce: self.announce,
            universe_listen: self.universe_listen,
            bootstrap: self.bootstrap,
            universe: self.universe,
            relay: self.relay.unwrap_or(Relay::Public),
        };
        Ok(Setup { state_dir, descriptor: load_descriptor(&file)?, node, metrics: self.metrics })
    }
}

/// Reads and checks a descriptor file.
///
/// # Errors
/// What is wrong with it.
pub fn load_descriptor(file: &Path) -> anyhow::Result<Descriptor> {
    let name = file.display();
    let len = fs::metadata(file).with_context(|| format!("the descriptor {name}"))?.len();
    anyhow::ensure!(
        len <= MAX_DESCRIPTOR_BYTES,
        "the descriptor {name} has {len} bytes: that is no descriptor"
    );
    let text = fs::read_to_string(file).with_context(|| format!("the descriptor {name}"))?;
    let descriptor: Descriptor =
        serde_json::from_str(&text).with_context(|| format!("the descriptor {name}"))?;
    descriptor.check().with_context(|| format!("the descriptor {name}"))?;
    Ok(descriptor)
}
