//! `cancel`: take a message back.

use serde::Serialize;
use zipnet_proto::v1::MessageState;

use super::{
    Context,
    message::{View, progress},
};
use crate::{failure::Failure, out};

/// Take a message back that was not sealed yet.
///
/// Once it is sealed it is too late (exit code 1): what left for the network may be published.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The id that `send` printed.
    id: String,
}

#[derive(Serialize)]
struct Shown<'a> {
    cancelled: bool,
    message: Option<View<'a>>,
}

pub(crate) async fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let answer = context.connect().await?.cancel(&args.id).await?;
    let message = answer.message.unwrap_or_default();
    // Taken back is taken back, whoever asks again.
    let before = !answer.cancelled && message.state() == MessageState::Cancelled;
    if !answer.cancelled && message.state() == MessageState::Queued {
        return Err(Failure::TooEarly { id: args.id });
    }
    if !answer.cancelled && !before {
        return Err(Failure::TooLate { id: args.id, progress: progress(&message) });
    }
    if context.out.json() {
        return context.out.object(&Shown { cancelled: true, message: Some((&message).into()) });
    }
    if before {
        out::note("it was cancelled before");
    }
    context.out.line("cancelled")
}
