//! `descriptor fetch`: the descriptor that the daemon works with.

use std::path::PathBuf;

use serde::Serialize;
use zipnet_dcnet::{descriptor::Descriptor, ids::DeploymentId};

use super::{Context, pin, write_new};
use crate::{failure::Failure, out};

/// The descriptor of the daemon's deployment, checked; says whether it is pinned.
///
/// One that is not pinned was taken on the bootstrap peer's word: compare its id with the one that the operators publish.
#[derive(Debug, clap::Args)]
pub(crate) struct Fetch {
    /// Write the descriptor to this new file and print only NAME#ID; otherwise the descriptor goes to standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Fetched<'a> {
    id: DeploymentId,
    pin: String,
    pinned: bool,
    descriptor: &'a Descriptor,
}

pub(crate) async fn run(args: Fetch, context: &mut Context) -> Result<(), Failure> {
    let answer = context.connect().await?.descriptor().await?;
    // The daemon checked it, too; nobody gets a file from here that `descriptor verify` would refuse.
    let descriptor: Descriptor = borsh::from_slice(&answer.descriptor)
        .map_err(|e| Failure::Fetched { problem: format!("it does not decode: {e}") })?;
    descriptor.check().map_err(|e| Failure::Fetched { problem: e.to_string() })?;
    let file =
        serde_json::to_string_pretty(&descriptor).expect("invariant: a descriptor has string keys only");
    if let Some(path) = &args.output {
        write_new(path, &file).map_err(|e| Failure::File { path: path.clone(), problem: e.to_string() })?;
    }
    if context.out.json() {
        let (id, pinned) = (descriptor.id(), answer.pinned);
        return context.out.object(&Fetched { id, pin: pin(&descriptor), pinned, descriptor: &descriptor });
    }
    let word = if answer.pinned { "pinned" } else { "unpinned, taken on the bootstrap peer's word" };
    if args.output.is_some() {
        context.out.line(&pin(&descriptor))?;
        out::note(word);
        return Ok(());
    }
    context.out.line(&file)?;
    out::note(&format!("{} ({word})", pin(&descriptor)));
    Ok(())
}
