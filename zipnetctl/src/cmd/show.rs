//! `show`: what became of a message.

use std::path::Path;

use zipnet_proto::v1::Message;

use super::{
    Context,
    message::{View, progress},
};
use crate::{failure::Failure, receipt, text};

/// What became of a message: state, where it was published, what happens next.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The id that `send` printed.
    id: String,

    /// Print its receipt instead, as JSON: what `zipnetctl verify` checks. It has to be published, and sent with
    /// `send --receipt`.
    #[arg(long)]
    receipt: bool,
}

pub(crate) async fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    if args.receipt {
        let bytes = client.get_receipt(&args.id).await?;
        let verified = receipt::verify(&bytes, Path::new("the daemon's receipt"))?;
        let file = serde_json::to_string_pretty(&verified.file(&bytes));
        return context.out.line(&file.expect("invariant: a receipt's file has string keys only"));
    }
    let m = client.get(&args.id).await?;
    if context.out.json() { context.out.object(&View::from(&m)) } else { context.out.table(&rows(&m)) }
}

fn rows(m: &Message) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("id", text::tame(&m.id)),
        ("state", progress(m)),
        ("request id", text::tame(&m.request_id)),
        ("length", text::count(m.length, "byte")),
        ("accepted", text::moment(m.accepted_at_ms)),
        ("attempts", m.attempts.to_string()),
    ];
    if !m.state().is_terminal() {
        rows.push(("expires", text::moment(m.expires_at_ms)));
    }
    if !m.last_reason.is_empty() {
        rows.push(("last attempt", text::tame(&m.last_reason)));
    }
    if !m.next_step.is_empty() {
        let at = m.next_at_ms.map(|ms| format!(", {}", text::moment(ms))).unwrap_or_default();
        rows.push(("next", text::tame(&m.next_step) + &at));
    }
    if m.receipt {
        rows.push(("receipt", "asked for; `show --receipt` prints it once it is published".into()));
    }
    rows
}
