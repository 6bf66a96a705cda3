//! Hands a message to the daemon on this host and watches it to its end, through restarts of the daemon.
//!
//!     cargo run --release -p zipnet-proto --example send_and_watch -- "some text"
//!
//! The socket is that of the system's daemon, or ZIPNET_SOCKET. docs/agents.md explains each step.

use std::{env, error::Error, path::PathBuf, time::Duration};

use tokio::time::sleep;
use zipnet_proto::{
    CallError, Client, Reason, SYSTEM_SOCKET, SendOptions, new_request_id,
    v1::{Message, MessageState},
};

/// How often something that may pass is tried again.
const ATTEMPTS: u32 = 10;
/// Before the next attempt, where the daemon does not say.
const PAUSE: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let text = env::args().nth(1).ok_or("usage: send_and_watch TEXT")?;
    let socket = env::var_os("ZIPNET_SOCKET").map_or_else(|| PathBuf::from(SYSTEM_SOCKET), PathBuf::from);
    let mut client = Client::connect(&socket).await?;

    let id = send(&mut client, &text).await?;
    println!("accepted as {id}");
    let message = watch(&mut client, &id).await?;
    if message.state() == MessageState::Published {
        println!("published in round {}, slot {}", message.round(), message.slot());
        return Ok(());
    }
    // `exposed` and `unknown` are for you to decide about; sending again is a new message with a new request id.
    Err(format!("{} {}", message.state().word(), message.reason).into())
}

/// Hands `text` over, however often it takes: the request id makes one message of all attempts.
async fn send(client: &mut Client, text: &str) -> Result<String, CallError> {
    let options = SendOptions {
        // Keep it with your own state, if you want to go on after a crash of your own.
        request_id: Some(new_request_id()),
        ttl: Some(Duration::from_mins(10)),
        receipt: false,
    };
    let mut attempt = 0;
    loop {
        attempt += 1;
        let error = match client.send_with(text.into(), options.clone()).await {
            // From here on it is the daemon's job, also after a power loss.
            Ok(sent) => return Ok(sent.message_id),
            Err(error) => error,
        };
        match may_pass(&error) {
            Some(pause) if attempt < ATTEMPTS => sleep(pause).await,
            _ => return Err(error),
        }
    }
}

/// The message at its end.
async fn watch(client: &mut Client, id: &str) -> Result<Message, CallError> {
    // Where the stream is; after an interruption it goes on there.
    let mut cursor = String::new();
    let mut attempt = 0;
    loop {
        attempt += 1;
        let before = cursor.clone();
        match follow(client, id, &mut cursor).await {
            Ok(Some(message)) => return Ok(message),
            // The daemon ended the stream: it is on its way down.
            Ok(None) => {}
            Err(error) if attempt < ATTEMPTS && may_pass(&error).is_some() => {}
            Err(error) => return Err(error),
        }
        if cursor != before {
            attempt = 0;
        }
        sleep(PAUSE).await;
    }
}

/// One stream. Gives the message when it has ended, `None` when the stream has.
async fn follow(client: &mut Client, id: &str, cursor: &mut String) -> Result<Option<Message>, CallError> {
    let mut stream = client.watch(Some(id), cursor).await?;
    // What ended before the stream began is not told by it. Asked once it has begun, so that nothing falls between.
    let now = client.get(id).await?;
    if now.state().is_terminal() {
        return Ok(Some(now));
    }
    while let Some(item) = stream.next().await? {
        *cursor = item.cursor;
        let Some(message) = item.message else { continue };
        println!("{}", message.state().word());
        if message.state().is_terminal() {
            return Ok(Some(message));
        }
    }
    Ok(None)
}

/// When to try again; `None`: it makes no sense.
fn may_pass(error: &CallError) -> Option<Duration> {
    match error {
        CallError::Lost { .. } | CallError::TimedOut { .. } => Some(PAUSE),
        CallError::Refused(refused) => match refused.reason {
            Reason::QueueFull
            | Reason::TooManyCallers
            | Reason::Draining
            | Reason::Lagged
            | Reason::InstanceUnknown => Some(refused.retry_after.unwrap_or(PAUSE)),
            _ => None,
        },
        CallError::Failed { .. } => None,
    }
}
