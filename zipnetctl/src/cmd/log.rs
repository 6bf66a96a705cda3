//! `log verify`: the broadcast log as one server gives it, looked at from end to end.

use serde::Serialize;
use zipnet_dcnet::ids::PeerId;
use zipnet_proto::v1::{LogProblem, LogProgress, verify_log_item::Item};

use super::Context;
use crate::{failure::Failure, out, text};

/// Rounds between two lines about how far it is.
const TELL_EVERY: u64 = 1_000;

/// Check the broadcast log.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    Verify(Args),
}

/// Walk the log as a server gives it: every record, every signature, every link to the one before.
///
/// The daemon asks the server and compares with what it knows itself; problems are told as they are found, and exit code 1 says
/// that there were any. Servers that agree have the same digest at the same round. A walk through everything that is kept takes
/// a minute, and does not hold up the rounds. The server sees that somebody reads its log.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Start at this round; 0: the earliest kept.
    #[arg(long, value_name = "ROUND", default_value_t = 0)]
    from: u64,

    /// Ask this server [default: one that can be reached].
    #[arg(long, value_name = "PEERID")]
    server: Option<PeerId>,
}

#[derive(Serialize)]
struct Progress<'a> {
    server: &'a str,
    earliest_round: u64,
    latest_round: u64,
    first_round: u64,
    next_round: u64,
    records: u64,
    abandoned: u64,
    signatures: u64,
    uncounted: u64,
    last_digest: Option<&'a str>,
    problems: u32,
}

#[derive(Serialize)]
struct Problem<'a> {
    round: u64,
    what: &'a str,
    text: &'a str,
}

pub(crate) async fn verify(args: Args, context: &mut Context) -> Result<(), Failure> {
    let server = args.server.map(|peer| peer.to_string()).unwrap_or_default();
    let mut stream = context.connect().await?.verify_log(args.from, &server).await?;
    let mut said = LogProgress::default();
    let (mut problems, mut told) = (0, 0);
    while let Some(item) = stream.next().await? {
        match item {
            Item::Progress(progress) => {
                said = progress;
                if context.out.json() {
                    context.out.object(&json(&said, problems))?;
                } else if said.next_round >= said.first_round.max(told) + TELL_EVERY {
                    told = said.next_round;
                    out::note(&format!("round {} of {}", said.next_round - 1, said.latest_round));
                }
            }
            Item::Problem(problem) => {
                problems += 1;
                tell(&problem, context)?;
            }
        }
    }
    if !context.out.json() {
        context.out.table(&rows(&said))?;
    }
    if problems == 0 { Ok(()) } else { Err(Failure::Log { server: said.server, problems }) }
}

fn tell(problem: &LogProblem, context: &mut Context) -> Result<(), Failure> {
    let LogProblem { round, what, text } = problem;
    if context.out.json() {
        return context.out.object(&Problem { round: *round, what, text });
    }
    context.out.line(&format!("round {round}: {}", text::tame(text)))
}

fn json(said: &LogProgress, problems: u32) -> Progress<'_> {
    Progress {
        server: &said.server,
        earliest_round: said.earliest_round,
        latest_round: said.latest_round,
        first_round: said.first_round,
        next_round: said.next_round,
        records: said.records,
        abandoned: said.abandoned,
        signatures: said.signatures,
        uncounted: said.uncounted,
        last_digest: text::some(&said.last_digest),
        problems,
    }
}

fn rows(said: &LogProgress) -> Vec<(&'static str, String)> {
    let LogProgress { first_round, next_round, earliest_round, latest_round, .. } = *said;
    let kept = if latest_round == 0 {
        "the server keeps none".to_owned()
    } else if next_round <= first_round {
        format!("none; the server keeps {earliest_round} to {latest_round}")
    } else {
        format!("{first_round} to {}; the server keeps {earliest_round} to {latest_round}", next_round - 1)
    };
    let waiting = match said.uncounted {
        0 => String::new(),
        1 => "; the last one waits for signatures".to_owned(),
        n => format!("; the last {n} wait for signatures"),
    };
    let digest = if said.last_digest.is_empty() { "none".to_owned() } else { text::tame(&said.last_digest) };
    vec![
        ("server", text::tame(&said.server)),
        ("rounds", kept),
        ("published", format!("{} records{waiting}", said.records)),
        ("given up", format!("{} rounds", said.abandoned)),
        ("signatures", format!("{} hold", said.signatures)),
        ("last record", digest),
    ]
}
