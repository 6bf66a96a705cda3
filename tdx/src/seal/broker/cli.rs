//! The command line of `zipnet-keybroker`.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};
use zeroize::Zeroizing;

use super::core::Broker;
use super::folder::Folder;
use super::net::{Outside, serve};
use crate::verify::{Collateral, Expiry, Policy, Verifier};

/// How often the collateral's end is looked at.
const LOOK: Duration = Duration::from_hours(6);

/// Give guests the keys of their sealed identities, when a quote shows that they run an admitted release.
#[derive(Debug, Parser)]
#[command(
    name = "zipnet-keybroker",
    version,
    after_help = "Exit codes:\n  0  done\n  1  failed\n  2  wrong usage"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make the secret of a new broker, and print the public key that guests are built with.
    Init(Place),
    /// Print the public key that guests are built with.
    Key(Place),
    /// Answer guests.
    Run(Run),
}

#[derive(Debug, Args)]
struct Place {
    /// Folder of the secret and of who has which key. Whoever has it can open every identity: back it up well.
    #[arg(long, value_name = "DIR", env = "ZIPNET_KEYBROKER_STATE_DIR")]
    state_dir: PathBuf,
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    place: Place,

    /// The policy: the releases that get keys, TOML. Read at the start: restart to change it, guests keep their keys.
    #[arg(long, value_name = "FILE", env = "ZIPNET_KEYBROKER_POLICY")]
    policy: PathBuf,

    /// What Intel says about the guests' platforms, JSON. Read at the start.
    #[arg(long, value_name = "FILE", env = "ZIPNET_KEYBROKER_COLLATERAL")]
    collateral: PathBuf,

    /// Where to listen.
    #[arg(long, value_name = "IP:PORT", env = "ZIPNET_KEYBROKER_LISTEN")]
    listen: SocketAddr,
}

/// Does what the arguments say.
pub fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Init(place) => init(&place.state_dir),
        Verb::Key(place) => key(&place.state_dir),
        Verb::Run(args) => run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn init(path: &Path) -> Result<(), String> {
    let secret = Folder::init(path, &Zeroizing::new(rand::random())).map_err(|e| e.to_string())?;
    print(&hex::encode(secret.public().0))
}

fn key(path: &Path) -> Result<(), String> {
    let secret = Folder::secret(path).map_err(|e| e.to_string())?;
    print(&hex::encode(secret.public().0))
}

fn run(args: &Run) -> Result<(), String> {
    // 1. What to judge by.
    let policy = Policy::load(&args.policy).map_err(|e| e.to_string())?;
    let collateral = Collateral::load(&args.collateral).map_err(|e| e.to_string())?;
    let until = collateral.until();

    // 2. Who has which key.
    let (folder, secret, state) = Folder::open(&args.place.state_dir).map_err(|e| e.to_string())?;

    // 3. Answer.
    let listener =
        TcpListener::bind(args.listen).map_err(|e| format!("cannot listen at {}: {e}", args.listen))?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    note(&format!(
        "listening at {address}, {} keys given, public key {}",
        state.len(),
        hex::encode(secret.public().0)
    ));
    let broker = Broker::new(secret, Verifier::new(collateral), policy, state);
    let failure = serve(listener, broker, folder, World);

    // 4. Until something is wrong. The state is durable at any moment, so a signal may simply end the process.
    loop {
        if let Some(expiry) = Expiry::of(until, World.now()) {
            note(&format!("warning: {expiry}"));
        }
        if let Ok(error) = failure.recv_timeout(LOOK) {
            return Err(format!("{error}; no key is given before that is mended"));
        }
    }
}

/// The real one.
struct World;

impl Outside for World {
    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    fn random(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(rand::random())
    }

    fn log(&self, line: &str) {
        note(line);
    }
}

fn print(line: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{line}").map_err(|e| format!("cannot write to standard output: {e}"))
}

/// A closed standard error is no reason to stop.
fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
