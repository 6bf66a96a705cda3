//! What one reader sees of the broadcast log, and when.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Daemon, bin};

/// Between two readers.
const PAUSE: Duration = Duration::from_millis(200);

/// A message as it came.
#[derive(Clone, Copy)]
struct Beat {
    at: Instant,
    round: u64,
}

/// `zipnetctl read --follow` of one daemon, again and again where the daemon goes away. Under load every round that
/// publishes is a beat.
pub struct Pulse {
    beats: Arc<Mutex<Vec<Beat>>>,
    reader: Arc<Mutex<Reader>>,
}

/// The process that reads; none is started once it has ended.
#[derive(Default)]
struct Reader {
    child: Option<Child>,
    ended: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a process that reads on after the last beat, unless it is over.
fn read_on(socket: &Path, beats: &Mutex<Vec<Beat>>, reader: &Mutex<Reader>) -> Option<ChildStdout> {
    let mut reader = lock(reader);
    if reader.ended {
        return None;
    }
    let next = lock(beats).last().map_or(0, |beat| beat.round + 1);
    let mut command = Command::new(bin("zipnetctl"));
    command.args(["read", "--follow", "--json", "--from", &next.to_string(), "--socket"]).arg(socket);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("zipnetctl starts");
    let output = child.stdout.take();
    if let Some(mut old) = reader.child.replace(child) {
        let _ = old.wait();
    }
    output
}

impl Pulse {
    /// Listens from now on.
    pub fn start(daemon: &Daemon) -> Self {
        let beats = Arc::new(Mutex::new(Vec::new()));
        let reader = Arc::new(Mutex::new(Reader::default()));
        let this = Self { beats: beats.clone(), reader: reader.clone() };
        let socket = daemon.socket().to_owned();
        std::thread::spawn(move || {
            while let Some(output) = read_on(&socket, &beats, &reader) {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let message: Value = serde_json::from_str(&line).unwrap_or_default();
                    let Some(round) = message["round"].as_u64() else { continue };
                    lock(&beats).push(Beat { at: Instant::now(), round });
                }
                std::thread::sleep(PAUSE);
            }
        });
        this
    }

    fn beats(&self) -> Vec<Beat> {
        lock(&self.beats).clone()
    }

    /// The last round that published anything.
    pub fn round(&self) -> u64 {
        self.beats().last().map_or(0, |beat| beat.round)
    }

    /// How many rounds published something after `since`.
    pub fn rounds(&self, since: Instant) -> usize {
        let mut rounds: Vec<u64> = self.beats().iter().filter(|b| b.at > since).map(|b| b.round).collect();
        rounds.dedup();
        rounds.len()
    }

    /// The longest time without a message since the last one before `since`.
    pub fn longest_gap(&self, since: Instant) -> Duration {
        let beats = self.beats();
        let first = beats.iter().rposition(|beat| beat.at <= since).unwrap_or(0);
        let times = beats[first..].iter().map(|beat| beat.at);
        let mut last = times.clone().next().unwrap_or(since);
        let mut longest = Duration::ZERO;
        for at in times.chain([Instant::now()]) {
            longest = longest.max(at - last);
            last = at;
        }
        longest
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        let mut reader = lock(&self.reader);
        reader.ended = true;
        if let Some(mut child) = reader.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
