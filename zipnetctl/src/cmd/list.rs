//! `list`: the messages that the daemon remembers.

use clap::ValueEnum;
use zipnet_proto::{
    MAX_LIST_PAGE,
    v1::{Message, MessageState},
};

use super::{
    Context,
    message::{View, progress_and_past},
};
use crate::{failure::Failure, out, text};

/// List the messages that the daemon remembers, in the order of their acceptance.
///
/// Yours only; for root and the daemon's own user everybody's, with the uid of each. Payloads are not shown.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only messages in this state; may be repeated.
    #[arg(long = "state", value_enum, value_name = "STATE")]
    states: Vec<State>,

    /// At most this many [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// What a message can be.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Queued,
    Reserved,
    Sealed,
    Published,
    Cancelled,
    Expired,
    Failed,
}

impl From<State> for MessageState {
    fn from(state: State) -> Self {
        match state {
            State::Queued => Self::Queued,
            State::Reserved => Self::Reserved,
            State::Sealed => Self::Sealed,
            State::Published => Self::Published,
            State::Cancelled => Self::Cancelled,
            State::Expired => Self::Expired,
            State::Failed => Self::Failed,
        }
    }
}

pub(crate) async fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    let states: Vec<MessageState> = args.states.into_iter().map(MessageState::from).collect();
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut page = String::new();
    let mut header = false;
    loop {
        let limit = u32::try_from(left).map_or(MAX_LIST_PAGE, |left| left.min(MAX_LIST_PAGE));
        let answer = client.list(&states, limit, &page).await?;
        for message in answer.messages.iter().take(limit as usize) {
            if context.out.json() {
                context.out.object(&View::from(message))?;
                continue;
            }
            if !header {
                context.out.line(&row("ID", "ACCEPTED", "UID", "BYTES", "STATE"))?;
                header = true;
            }
            context.out.line(&line(message))?;
        }
        left = left.saturating_sub(answer.messages.len() as u64);
        page = answer.next_page;
        if left == 0 || page.is_empty() {
            break;
        }
    }
    if !header && !context.out.json() {
        out::note("no messages");
    }
    Ok(())
}

fn line(m: &Message) -> String {
    let accepted = text::moment(m.accepted_at_ms);
    row(&text::tame(&m.id), &accepted, &m.uid.to_string(), &m.length.to_string(), &progress_and_past(m))
}

/// The widths hold whatever comes on a later page: ids are 36 characters and moments 20.
fn row(id: &str, accepted: &str, uid: &str, bytes: &str, state: &str) -> String {
    format!("{id:36}  {accepted:20}  {uid:>6}  {bytes:>6}  {state}")
}
