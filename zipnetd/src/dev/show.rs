//! What a dev daemon prints: what to type next, and the published messages as they come.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use zipnet_proto::v1::{Progress, Published, StatusResponse, read_item::Item};
use zipnet_proto::{SYSTEM_SOCKET, terminal};

use crate::client::Handle;
use crate::config::Socket;
use crate::control::backend::{Backend, Caller};

/// Items between the log and the terminal.
const ITEMS: usize = 16;
/// After a stream that broke, or while there is none.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits until the client is registered, says what to type, then prints messages. Ends only with the daemon.
pub(super) async fn show(handle: Handle, socket: Socket) {
    let started = Instant::now();
    let status = registered(&handle).await;
    print(&next_steps(&socket, &status, started.elapsed()));
    let mut next = status.round + 1;
    loop {
        let (sink, mut items) = mpsc::channel(ITEMS);
        let reading = tokio::spawn(handle.read(Some(next), true, sink));
        while let Some(item) = items.recv().await {
            match item.item {
                Some(Item::Message(Published { round, slot, payload })) => {
                    print(&format!(
                        "published in round {round}, slot {slot}:{}\n",
                        terminal::payload(&payload)
                    ));
                }
                Some(Item::Progress(Progress { next_round, .. })) => next = next_round,
                None => {}
            }
        }
        let _ = reading.await;
        sleep(PAUSE).await;
    }
}

/// Standard output that is gone (a closed pipe) does not end the daemon.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The status, as soon as it says registered.
async fn registered(handle: &Handle) -> StatusResponse {
    let mut changes = handle.steps();
    let myself = Caller { uid: 0, sees_all: true };
    loop {
        if let Ok(status) = handle.status(myself).await
            && status.registered
        {
            return status;
        }
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn next_steps(socket: &Socket, status: &StatusResponse, after: Duration) -> String {
    // A socket at its own place is found without being named, unless another daemon of this host would be found first:
    // what is meant for a try must not be published for real.
    let others = [Path::new(SYSTEM_SOCKET), &socket.path.with_file_name("zipnetd.sock")].map(Path::exists);
    let found = socket.own_folder && !others.contains(&true);
    let named = if found { String::new() } else { format!(" --socket {}", socket.path.display()) };
    let mut text = format!(
        "\nA whole network runs in this process, and this client is registered (round {}, after {:.1} s).\n\
         Type in another terminal (in a checkout, `cargo run --release --bin zipnetctl --` stands for zipnetctl):\n\n",
        status.round,
        after.as_secs_f32()
    );
    for verb in ["send --wait \"hello\"", "read", "status"] {
        // Writing to a String does not fail.
        let _ = writeln!(text, "    zipnetctl{named} {verb}");
    }
    text.push_str("\nPublished messages appear here as they come. Ctrl-C ends everything.\n\n");
    text
}
