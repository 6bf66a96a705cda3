//! Callers that keep sending messages, whatever happens, and what became of these.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{Daemon, bin};

/// A message that a daemon has acknowledged.
struct Post {
    talker: usize,
    id: String,
    text: String,
}

/// How messages ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// They are in the broadcast log.
    pub published: usize,
    /// Somebody may have read them and tied them to their author: not sent again, and reported.
    pub exposed: usize,
    /// Nobody can know whether they were published: not sent again, and reported.
    pub unknown: usize,
}

impl Outcome {
    /// All of them.
    pub fn total(&self) -> usize {
        self.published + self.exposed + self.unknown
    }
}

/// Sends until it is dropped.
pub struct Load {
    posts: Arc<Mutex<Vec<Post>>>,
    sockets: Vec<PathBuf>,
    on: Arc<AtomicBool>,
    alive: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

fn lock(posts: &Mutex<Vec<Post>>) -> MutexGuard<'_, Vec<Post>> {
    posts.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ctl(socket: &PathBuf, args: &[&str]) -> anyhow::Result<Vec<Value>> {
    let out = Command::new(bin("zipnetctl")).args(args).arg("--json").arg("--socket").arg(socket).output()?;
    if !out.status.success() {
        bail!("{}: {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
    }
    let text = String::from_utf8(out.stdout)?;
    text.lines().map(|line| serde_json::from_str(line).context("its JSON")).collect()
}

impl Load {
    /// Sends one message every `pause`, to these daemons in turn. A daemon that does not take it is passed over.
    pub fn start<'a>(talkers: impl IntoIterator<Item = &'a Daemon>, pause: Duration) -> Self {
        let sockets: Vec<PathBuf> = talkers.into_iter().map(|daemon| daemon.socket().to_owned()).collect();
        let posts = Arc::new(Mutex::new(Vec::new()));
        let (on, alive) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
        let thread = {
            let (posts, sockets, on, alive) = (posts.clone(), sockets.clone(), on.clone(), alive.clone());
            std::thread::spawn(move || {
                for number in 0.. {
                    if !alive.load(Ordering::Relaxed) {
                        return;
                    }
                    if on.load(Ordering::Relaxed) {
                        let (talker, text) = (number % sockets.len(), format!("message {number}"));
                        let sent = ctl(&sockets[talker], &["send", &text, "--ttl", "1h"]);
                        let id =
                            sent.ok().and_then(|sent| Some(sent.first()?["message_id"].as_str()?.to_owned()));
                        if let Some(id) = id {
                            lock(&posts).push(Post { talker, id, text });
                        }
                    }
                    sleep(pause);
                }
            })
        };
        Self { posts, sockets, on, alive, thread: Some(thread) }
    }

    /// Sends nothing until [`Load::go_on`].
    pub fn rest(&self) {
        self.on.store(false, Ordering::Relaxed);
    }

    /// Sends again.
    pub fn go_on(&self) {
        self.on.store(true, Ordering::Relaxed);
    }

    /// How many messages were acknowledged.
    pub fn sent(&self) -> usize {
        lock(&self.posts).len()
    }

    /// What became of all that was acknowledged, and who said so: text, and whether it is said to be published.
    ///
    /// # Errors
    /// One that has not ended yet, or ended in another way: it was lost.
    pub fn ended(&self) -> anyhow::Result<(Outcome, BTreeMap<String, bool>)> {
        let mut known = BTreeMap::new();
        for (talker, socket) in self.sockets.iter().enumerate() {
            for message in ctl(socket, &["list"])? {
                let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
                let id = text("id");
                known.insert((talker, id), (text("state"), text("reason")));
            }
        }
        let mut outcome = Outcome::default();
        let mut told = BTreeMap::new();
        for Post { talker, id, text } in lock(&self.posts).iter() {
            let (state, reason) =
                known.get(&(*talker, id.clone())).context("the daemon has forgotten one")?;
            match (state.as_str(), reason.as_str()) {
                ("published", _) => outcome.published += 1,
                ("failed", "exposed") => outcome.exposed += 1,
                ("failed", "unknown") => outcome.unknown += 1,
                _ => bail!("`{text}` of talker {talker} is {state} {reason}"),
            }
            told.insert(text.clone(), state == "published");
        }
        Ok((outcome, told))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.alive.store(false, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
