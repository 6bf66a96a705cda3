//! What docs/promises.md says of the daemon, with the real binary and no network: the state folder of an earlier run
//! tells it its deployment, so that it takes messages, and nothing can be published.

mod accepted;
mod canary;
mod damage;
mod disk;
mod journal;
mod old_store;
mod synced;

use std::fs;
use std::path::Path;
use std::time::Duration;

use zipnet_tests::{Daemon, until};

/// How long a daemon may take for its socket to answer on a busy machine.
const START: Duration = Duration::from_secs(30);

/// A folder with everything below it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The store that version 0.1.0 left, record format 1: deployment, one message published, one expired, three queued.
fn golden() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/data/store-v1"))
}

/// A daemon with a copy of that store, and without a network. Does not run yet.
fn offline(dir: &Path) -> Daemon {
    let mut daemon = Daemon::new(dir, "offline");
    copy(golden(), &dir.join("state"));
    daemon.set("ZIPNET_INSTANCE", "dev");
    daemon.set("ZIPNET_UNIVERSE", "nowhere");
    // Nobody is there, and nothing leaves this host.
    daemon.set("ZIPNET_RELAY", "http://127.0.0.1:1");
    daemon.set("ZIPNET_LISTEN", "127.0.0.1:0");
    daemon
}

/// Waits for the socket.
fn answers(daemon: &Daemon) {
    until(START, "the socket to answer", || daemon.status());
}
