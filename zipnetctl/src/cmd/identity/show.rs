//! `identity show`: what the file says without its key, and who the daemon says that it is.

use std::path::PathBuf;

use serde::Serialize;
use zipnet_tdx::seal::SealedIdentity;

use super::File;
use crate::{cmd::Context, cmd::status, failure::Failure, text};

/// What a sealed identity says without its key, and which identity the daemon has.
///
/// What the file says holds only if it opens. Without a file only the daemon is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file with the sealed identity.
    #[arg(long, value_name = "PATH", env = "ZIPNET_SEALED_IDENTITY", hide_env_values = true)]
    sealed_identity: Option<PathBuf>,
}

#[derive(Serialize)]
struct Shown {
    file: Option<File>,
    daemon: Option<Daemon>,
}

#[derive(Serialize)]
struct Daemon {
    identity: String,
    client_id: Option<String>,
}

pub(super) async fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let file = match &args.sealed_identity {
        None => None,
        Some(path) => Some(File::of(path, &SealedIdentity::new(path).header()?)),
    };
    let asked = async { Ok::<_, Failure>(context.connect().await?.status().await?) };
    let daemon = match asked.await {
        Ok(status) => Ok(Daemon {
            client_id: text::some(&status.client_id).map(str::to_owned),
            identity: status.identity,
        }),
        // Which file that is was the question; that no daemon runs is a part of the answer.
        Err(failure) if file.is_some() => Err(failure),
        Err(failure) => return Err(failure),
    };
    if context.out.json() {
        return context.out.object(&Shown { file, daemon: daemon.ok() });
    }
    let mut rows = file.as_ref().map(File::rows).unwrap_or_default();
    match daemon {
        Ok(daemon) => {
            rows.push(("daemon", status::identity(&daemon.identity)));
            let id = daemon.client_id.as_deref().map_or_else(|| "not known yet".to_owned(), text::tame);
            rows.push(("client id", id));
        }
        Err(failure) => rows.push(("daemon", text::tame(&failure.to_string()))),
    }
    context.out.table(&rows)
}
