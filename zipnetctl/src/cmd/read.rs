//! `read`: the broadcast log.

use serde::Serialize;
use zipnet_proto::{
    Client,
    v1::{Progress, Published, read_item::Item},
};

use super::{Backoff, Context, passes_by};
use crate::{failure::Failure, out, text};

/// Read the messages that were published, by anybody, in the order everybody sees them.
///
/// One line for each: `ROUND/SLOT  TEXT`. Control characters are shown as escapes (`\n`, `\u{1b}`) and `\` as `\\`; what
/// is not UTF-8 is shown as `ROUND/SLOT [base64] …`, an empty message as `ROUND/SLOT [empty]`. Programs use --json.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on with new messages as they are published, until interrupted.
    #[arg(long, short)]
    follow: bool,

    /// Start at this round; 0: the earliest kept [default: the last 100 rounds].
    #[arg(long, value_name = "ROUND")]
    from: Option<u64>,
}

#[derive(Serialize)]
struct Line<'a> {
    round: u64,
    slot: u32,
    payload: &'a str,
    encoding: &'a str,
}

/// Where the reader is in the log.
#[derive(Debug, Default)]
struct Position {
    /// Last message printed. A round is repeated after an interruption in its middle; its messages are not.
    printed: Option<(u64, u32)>,
    /// From the last progress mark: where to resume.
    next_round: Option<u64>,
}

pub(crate) async fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    let mut position = Position::default();
    let mut backoff = Backoff::new();
    loop {
        let before = position.next_round;
        let Err(failure) = pass(&args, &mut client, &mut position, context).await else {
            break;
        };
        let sat_out = match &failure {
            Failure::Call(error) | Failure::ReadStopped { source: error, .. } => passes_by(error),
            _ => false,
        };
        if !(args.follow && sat_out) {
            return Err(failure);
        }
        if position.next_round != before {
            backoff = Backoff::new();
        }
        out::note(&format!("{}; trying again", text::tame(&failure.to_string())));
        tokio::time::sleep(backoff.next()).await;
    }
    if position.printed.is_none() && !context.out.json() {
        out::note("no messages in these rounds");
    }
    Ok(())
}

/// One stream, from the position to its end.
async fn pass(
    args: &Args,
    client: &mut Client,
    position: &mut Position,
    context: &mut Context,
) -> Result<(), Failure> {
    let from = position.next_round.or(args.from);
    let stopped = |position: &Position, source| match position.next_round {
        Some(next_round) => Failure::ReadStopped { next_round, source },
        None => Failure::Call(source),
    };
    let mut stream = client.read(from, args.follow).await.map_err(|e| stopped(position, e))?;
    // The first mark of a stream tells whether the log still reaches back to what was asked for.
    let mut first = true;
    while let Some(item) = stream.next().await.map_err(|e| stopped(position, e))? {
        match item {
            Item::Message(message) => print(&message, position, context)?,
            Item::Progress(Progress { next_round, oldest_round }) => {
                if first && from.is_some_and(|round| 0 < round && round < oldest_round) {
                    out::note(&format!(
                        "the log begins at round {oldest_round}, earlier rounds are not kept"
                    ));
                }
                first = false;
                position.next_round = Some(next_round);
            }
        }
    }
    Ok(())
}

fn print(message: &Published, position: &mut Position, context: &mut Context) -> Result<(), Failure> {
    let Published { round, slot, payload } = message;
    if position.printed.is_some_and(|last| (*round, *slot) <= last) {
        return Ok(());
    }
    if context.out.json() {
        let (text, encoding) = text::encoded(payload);
        context.out.object(&Line { round: *round, slot: *slot, payload: &text, encoding })?;
    } else {
        context.out.line(&format!("{round}/{slot} {}", text::payload(payload)))?;
    }
    position.printed = Some((*round, *slot));
    Ok(())
}
