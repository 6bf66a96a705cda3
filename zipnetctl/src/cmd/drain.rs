//! `drain`: end the daemon in good order.

use std::time::Duration;

use serde::Serialize;

use super::Context;
use crate::failure::Failure;

/// Tell the daemon to take no more messages, to send cover for a while, and to end.
///
/// The cover hides that what was sent last was the last. Messages that are still queued are kept for the next start. For
/// root and the daemon's own user only.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End at once, without covering on.
    #[arg(long)]
    now: bool,
}

#[derive(Serialize)]
struct Shown {
    grace_ms: u64,
}

pub(crate) async fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let grace = context.connect().await?.drain(args.now).await?;
    if context.out.json() {
        return context.out.object(&Shown { grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX) });
    }
    // To the second, upwards: it is a limit.
    let seconds = grace.as_millis().div_ceil(1000);
    let limit = Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX));
    context.out.line(&format!("draining; the daemon ends within {}", humantime::format_duration(limit)))
}
