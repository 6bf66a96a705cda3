//! `verify`: check a receipt. Needs no daemon and no network.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::Serialize;
use zipnet_dcnet::ids::DeploymentId;

use super::{Context, descriptor};
use crate::{failure::Failure, out, receipt, text};

/// Check offline that a receipt holds: that the servers of a deployment signed a record with this message.
///
/// Exit code 0 if it holds. Anybody can make a deployment of their own: name the one that you mean by --descriptor, or
/// compare the id that is printed with the one that the operators publish.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The receipt, as `show --receipt` prints it; `-`: standard input.
    file: PathBuf,

    /// The descriptor of the deployment that it has to be of.
    #[arg(long, value_name = "FILE")]
    descriptor: Option<PathBuf>,
}

#[derive(Serialize)]
struct Shown<'a> {
    deployment: DeploymentId,
    instance: &'a str,
    round: u64,
    slot: u32,
    payload: &'a str,
    encoding: &'a str,
    record: &'a str,
    descriptor_checked: bool,
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let expected = args.descriptor.as_deref().map(descriptor::read).transpose()?;
    let (name, bytes) = if args.file == Path::new("-") {
        let bytes = bounded(io::stdin().lock()).map_err(|source| Failure::Stdin { source })?;
        (PathBuf::from("standard input"), bytes)
    } else {
        let bytes = fs::File::open(&args.file).and_then(bounded);
        let bytes = bytes.map_err(|e| Failure::File { path: args.file.clone(), problem: e.to_string() })?;
        (args.file.clone(), bytes)
    };
    if bytes.len() as u64 > receipt::MAX_FILE_BYTES {
        let problem = format!("is no receipt: longer than {} bytes", receipt::MAX_FILE_BYTES);
        return Err(Failure::File { path: name, problem });
    }
    let verified = receipt::verify_file(&bytes, &name)?;
    let (found, shown) = (&verified.receipt.descriptor, &verified.shown);
    if let Some(expected) = expected.as_ref().map(zipnet_dcnet::descriptor::Descriptor::id)
        && expected != shown.deployment
    {
        return Err(Failure::OtherDeployment {
            path: name,
            instance: found.instance.clone(),
            found: shown.deployment,
            expected,
        });
    }
    let record = hex::encode(shown.record);
    if context.out.json() {
        let (payload, encoding) = text::encoded(&shown.payload);
        return context.out.object(&Shown {
            deployment: shown.deployment,
            instance: &found.instance,
            round: shown.round,
            slot: shown.slot,
            payload: &payload,
            encoding,
            record: &record,
            descriptor_checked: expected.is_some(),
        });
    }
    context.out.table(&[
        ("deployment", shown.deployment.to_string()),
        ("instance", found.instance.clone()),
        ("round", shown.round.to_string()),
        ("slot", shown.slot.to_string()),
        ("message", text::payload(&shown.payload)),
        ("record", record),
    ])?;
    if expected.is_none() {
        out::note(
            "warning: the deployment is taken on the receipt's word: compare its id with the one that the operators \
             publish, or name its descriptor with --descriptor",
        );
    }
    Ok(())
}

/// One byte more than is allowed shows that it is too much.
fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(receipt::MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
