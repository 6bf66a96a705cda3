//! `identity`: look at a sealed identity, make one, replace one. Works on the file, by the same settings as zipnetd's.

mod init;
mod rotate;
mod show;

use std::path::{Path, PathBuf};

use rand::TryRng;
use rand::rngs::SysRng;
use serde::Serialize;
use zeroize::Zeroizing;
use zipnet_dcnet::ids::DeploymentId;
use zipnet_tdx::quote::helper::SOCKET;
use zipnet_tdx::seal::broker::{BrokerAddress, LEASE_SECS};
use zipnet_tdx::seal::{Header, Keeper, KekProvider, Provider};

use super::Context;
use crate::{failure::Failure, out};

/// Show, make or replace the sealed identity of a zipnetd.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    Show(show::Args),
    /// Make a sealed identity where there is none.
    ///
    /// With --insecure-key-file the key file is made, too, if there is none. With --key-broker this has to run in a guest that the
    /// broker admits, and waits for the broker, some minutes at most.
    Init(Settings),
    /// Replace a sealed identity by a new one, for good.
    ///
    /// The old one has to open. A zipnetd that runs goes on with it until its restart. A key broker gives the key to one copy at
    /// a time: stop zipnetd first.
    Rotate(Settings),
}

/// The file, and the one keeper of its key.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// The file with the sealed identity.
    #[arg(long, value_name = "PATH", env = "ZIPNET_SEALED_IDENTITY", hide_env_values = true)]
    sealed_identity: PathBuf,

    /// The key broker that keeps its key: its public key and its address.
    #[arg(long, value_name = "HEXKEY@HOST:PORT", env = "ZIPNET_KEY_BROKER", hide_env_values = true)]
    key_broker: Option<BrokerAddress>,

    /// Or a file that keeps its key, and protects from nobody who has the disk.
    #[arg(long, value_name = "PATH", env = "ZIPNET_INSECURE_KEY_FILE", hide_env_values = true)]
    insecure_key_file: Option<PathBuf>,

    /// The deployment that a broker's key is for.
    #[arg(long, value_name = "ID")]
    deployment: Option<DeploymentId>,

    /// Where the quote helper listens.
    #[arg(long, value_name = "PATH", env = "ZIPNET_QUOTE_SOCKET", hide_env_values = true, default_value = SOCKET)]
    quote_socket: PathBuf,
}

impl Settings {
    fn keeper(&self) -> Result<Keeper, Failure> {
        let usage = |message: &str| Err(Failure::Usage { message: message.to_owned() });
        match (&self.key_broker, &self.insecure_key_file, self.deployment) {
            (None, None, _) => usage("nobody keeps the key: name --key-broker, or --insecure-key-file"),
            (Some(_), Some(_), _) => {
                usage("--key-broker and --insecure-key-file: a sealed identity has one keeper")
            }
            (Some(_), None, None) => {
                usage("--key-broker: a broker's key is for one deployment, name it by --deployment ID")
            }
            (None, Some(_), Some(_)) => usage("--deployment: a key file is for any deployment"),
            (Some(broker), None, Some(deployment)) => Ok(Keeper::Broker {
                broker: broker.clone(),
                deployment,
                quote_socket: self.quote_socket.clone(),
            }),
            (None, Some(path), None) => Ok(Keeper::KeyFile(path.clone())),
        }
    }
}

/// What a file says without its key.
#[derive(Serialize)]
struct File {
    sealed_identity: String,
    provider: String,
    key_id: String,
    generation: u64,
}

impl File {
    fn of(path: &Path, header: &Header) -> Self {
        Self {
            sealed_identity: path.display().to_string(),
            provider: header.provider.to_string(),
            key_id: header.key_id.to_string(),
            generation: header.generation,
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("sealed identity", self.sealed_identity.clone()),
            ("provider", self.provider.clone()),
            ("key id", self.key_id.clone()),
            ("generation", self.generation.to_string()),
        ]
    }
}

pub(crate) async fn run(verb: Verb, context: &mut Context) -> Result<(), Failure> {
    match verb {
        Verb::Show(args) => show::run(&args, context).await,
        Verb::Init(args) => init::run(&args, context),
        Verb::Rotate(args) => rotate::run(&args, context),
    }
}

/// A seed that nobody has, and a nonce.
fn drawn() -> (Zeroizing<[u8; 32]>, [u8; 24]) {
    let (mut seed, mut nonce) = (Zeroizing::new([0; 32]), [0; 24]);
    for bytes in [&mut seed[..], &mut nonce[..]] {
        SysRng.try_fill_bytes(bytes).expect("invariant: the system gives randomness");
    }
    (seed, nonce)
}

/// Tells what was made, and gives the lease on its key back, if there is one: the next copy is zipnetd.
fn made(
    args: &Settings,
    provider: &mut dyn KekProvider,
    header: &Header,
    context: &mut Context,
) -> Result<(), Failure> {
    let file = File::of(&args.sealed_identity, header);
    if context.out.json() {
        context.out.object(&file)?;
    } else {
        context.out.table(&file.rows())?;
    }
    match (provider.provider(), provider.give_back(header)) {
        (Provider::KeyFile, _) => out::note("warning: a key file protects from nobody who has the disk"),
        (Provider::Broker, Ok(())) => {}
        (Provider::Broker, Err(error)) => {
            let minutes = LEASE_SECS / 60;
            out::note(&format!(
                "the broker counts this as a copy: a zipnetd gets the key {minutes} minutes from now ({error})"
            ));
        }
    }
    Ok(())
}
