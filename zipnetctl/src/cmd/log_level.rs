//! `log-level`: what the daemon logs.

use serde::Serialize;

use super::Context;
use crate::{failure::Failure, text};

/// Set what the daemon logs until its next start; prints what is in force now.
///
/// Payloads are never logged, whatever the level. For root and the daemon's own user only.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// In the syntax of RUST_LOG, such as `debug` or `info,zipnetd=trace` [default: what the daemon was started with].
    filter: Option<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    filter: &'a str,
}

pub(crate) async fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let filter = context.connect().await?.set_log_level(&args.filter.unwrap_or_default()).await?;
    if context.out.json() {
        return context.out.object(&Shown { filter: &filter });
    }
    context.out.line(&text::tame(&filter))
}
