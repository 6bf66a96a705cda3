//! The command line. Only texts are taken here: `config` parses them together with the environment and the file, so
//! that a wrong value is reported the same way wherever it stands.

use std::path::PathBuf;

use clap::Parser;

/// Exit codes, as `zipnetd --help` lists them; docs/configuration.md is made of this.
const AFTER_HELP: &str = "\
Every setting is looked for as a flag, then in the environment, then in the file, then there is a default.

Exit codes: 0 ended as asked; 1 any other failure; 2 command line or configuration; 3 nobody serves the instance \
(--check only, otherwise it keeps trying); 4 the store cannot be used; 5 MessageTooLong; 6 the instance is not the \
deployment that was pinned or remembered; 7 the control socket or the metrics address cannot be used; \
8 the sealed identity cannot be opened, or the lease on its key is lost; 128 + signal: ended by a second signal, or not within its grace.";

/// A client of an anonymous broadcast channel: publishes messages in rounds so that nobody can tell whose is which.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "zipnetd", version, after_help = AFTER_HELP, max_term_width = 110)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Cli {
    /// The instance to take part in: NAME, or NAME#DEPLOYMENT-ID to pin it [ZIPNET_INSTANCE]
    #[arg(long, value_name = "NAME[#ID]", conflicts_with = "dev")]
    pub instance: Option<String>,

    /// The universe to find it in [ZIPNET_UNIVERSE; default: mosaik.universe]
    #[arg(long, value_name = "NAME", conflicts_with = "dev")]
    pub universe: Option<String>,

    /// Peers to find the others through: PEERID or PEERID@IP:PORT, several by commas [ZIPNET_BOOTSTRAP]
    #[arg(long, value_name = "PEER", conflicts_with = "dev")]
    pub bootstrap: Vec<String>,

    /// Publish this text in every talking round in which the queue is empty; shows in `ps` [ZIPNET_MESSAGE]
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,

    /// Reserve in every Nth round, cover too [ZIPNET_CADENCE; default: 1]
    #[arg(long, value_name = "N")]
    pub cadence: Option<String>,

    /// Serve Prometheus metrics at IP:PORT, or at PORT of the loopback address [ZIPNET_METRICS; default: none]
    #[arg(long, value_name = "[IP:]PORT")]
    pub metrics: Option<String>,

    /// Serve the queue's figures there too; they tell talk from cover to whoever reads them
    /// [ZIPNET_PRIVATE_METRICS; default: false]
    #[arg(long)]
    pub private_metrics: bool,

    /// The UDP address to talk to the network from [ZIPNET_LISTEN; default: all interfaces, a free port]
    #[arg(long, value_name = "IP:PORT", conflicts_with = "dev")]
    pub listen: Option<String>,

    /// The relay: `public`, or the URL of one of your own [ZIPNET_RELAY; default: public]
    #[arg(long, value_name = "URL", conflicts_with = "dev")]
    pub relay: Option<String>,

    /// The control socket [ZIPNET_SOCKET; default: /run/zipnet/zipnetd.sock, for other users than root one of theirs]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// Where the queue is kept [ZIPNET_STATE_DIR; default: $STATE_DIRECTORY, or zipnet in the user's state folder;
    /// with --dev a temporary one]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// The file with the sealed identity; without it each run has a fresh one [ZIPNET_SEALED_IDENTITY]
    #[arg(long, value_name = "PATH", conflicts_with = "dev")]
    pub sealed_identity: Option<PathBuf>,

    /// The key broker that keeps its key: its public key, 64 hexadecimal digits, and its address [ZIPNET_KEY_BROKER]
    #[arg(long, value_name = "HEXKEY@HOST:PORT", conflicts_with = "dev")]
    pub key_broker: Option<String>,

    /// Or a file that keeps its key, and protects from nobody who has the disk [ZIPNET_INSECURE_KEY_FILE]
    #[arg(long, value_name = "PATH", conflicts_with = "dev")]
    pub insecure_key_file: Option<PathBuf>,

    /// Make a sealed identity if there is no file; never in place of one that does not open
    /// [ZIPNET_INIT_IDENTITY; default: false]
    #[arg(long, conflicts_with = "dev")]
    pub init_identity: bool,

    /// Where the quote helper listens [ZIPNET_QUOTE_SOCKET; default: /run/zipnet/quote.sock]
    #[arg(long, value_name = "PATH")]
    pub quote_socket: Option<PathBuf>,

    /// For a deployment with `admission = mutual`: the releases of its servers that are admitted, TOML
    /// [ZIPNET_SERVER_POLICY]
    #[arg(long, value_name = "FILE", conflicts_with = "dev")]
    pub server_policy: Option<PathBuf>,

    /// For the same: what Intel says about the servers' platforms, JSON [ZIPNET_SERVER_COLLATERAL]
    #[arg(long, value_name = "FILE", conflicts_with = "dev")]
    pub server_collateral: Option<PathBuf>,

    /// What to log, as `info` or `zipnetd=debug,info` [RUST_LOG; default: info]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,

    /// The configuration file [default: /etc/zipnet/zipnetd.toml, if there is one; with --dev none]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Run a whole network in this process to try things with: relay, servers, aggregator, other clients
    #[arg(long, conflicts_with = "check")]
    pub dev: bool,

    /// Check configuration, store and whether the instance is served; say so by the exit code
    #[arg(long)]
    pub check: bool,

    /// Print every setting, its value and where it comes from; start nothing
    #[arg(long, conflicts_with = "check")]
    pub print_config: bool,
}

impl Cli {
    /// The text of a setting's flag, if it was given; `key` is one of [`KEYS`](crate::config::KEYS).
    pub(crate) fn flag(&self, key: &str) -> Option<String> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        match key {
            "instance" => self.instance.clone(),
            "universe" => self.universe.clone(),
            "bootstrap" => (!self.bootstrap.is_empty()).then(|| self.bootstrap.join(",")),
            "message" => self.message.clone(),
            "cadence" => self.cadence.clone(),
            "metrics" => self.metrics.clone(),
            "private_metrics" => self.private_metrics.then(|| "true".to_owned()),
            "listen" => self.listen.clone(),
            "relay" => self.relay.clone(),
            "socket" => path(&self.socket),
            "state_dir" => path(&self.state_dir),
            "sealed_identity" => path(&self.sealed_identity),
            "key_broker" => self.key_broker.clone(),
            "insecure_key_file" => path(&self.insecure_key_file),
            "init_identity" => self.init_identity.then(|| "true".to_owned()),
            "quote_socket" => path(&self.quote_socket),
            "server_policy" => path(&self.server_policy),
            "server_collateral" => path(&self.server_collateral),
            "log" => self.log.clone(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn dev_takes_no_network() {
        let identity = ["--sealed-identity=a", "--key-broker=a", "--insecure-key-file=a", "--init-identity"];
        let network = ["--instance=a", "--universe=a", "--bootstrap=a", "--relay=a", "--listen=a", "--check"];
        for flag in identity.into_iter().chain(network) {
            assert!(Cli::try_parse_from(["zipnetd", "--dev", flag]).is_err(), "{flag}");
        }
        assert!(Cli::try_parse_from(["zipnetd", "--dev", "--message=a", "--state-dir=/a"]).is_ok());
    }
}
