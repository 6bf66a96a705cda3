//! A `zipnetd` process and the `zipnetctl` calls that a user makes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{Process, bin, until};

/// A published message as `zipnetctl read --json` tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    /// The round.
    pub round: u64,
    /// The slot.
    pub slot: u64,
    /// The text.
    pub payload: String,
}

/// A daemon with its own state folder and socket.
pub struct Daemon {
    name: String,
    dir: PathBuf,
    env: BTreeMap<String, String>,
    args: Vec<String>,
    process: Option<Process>,
}

impl Daemon {
    /// One that does not run yet.
    ///
    /// # Panics
    /// When its folder cannot be made.
    pub fn new(dir: &Path, name: &str) -> Self {
        fs::create_dir_all(dir).expect("the daemon's folder can be made");
        let env = BTreeMap::from([
            ("ZIPNET_SOCKET".to_owned(), dir.join("zipnetd.sock").display().to_string()),
            ("ZIPNET_STATE_DIR".to_owned(), dir.join("state").display().to_string()),
            ("RUST_LOG".to_owned(), "info".to_owned()),
        ]);
        Self { name: name.to_owned(), dir: dir.to_owned(), env, args: Vec::new(), process: None }
    }

    /// Sets a variable of its environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: &str) {
        self.args.push(arg.to_owned());
    }

    /// Starts it (again).
    pub fn start(&mut self) {
        self.start_by(Command::new(bin("zipnetd")));
    }

    /// Starts it by a command that runs it in the end.
    pub fn start_by(&mut self, mut command: Command) {
        command.args(&self.args).envs(&self.env);
        self.process = Some(Process::start(&self.dir, &self.name, &mut command));
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        Path::new(&self.env["ZIPNET_SOCKET"])
    }

    /// `zipnetd --check` with this daemon's settings.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn check(&self) -> Output {
        let mut command = Command::new(bin("zipnetd"));
        command.arg("--check").args(&self.args).envs(&self.env).output().expect("zipnetd starts")
    }

    /// The running process.
    ///
    /// # Panics
    /// When it was not started.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the daemon was started")
    }

    /// `zipnetctl` with these arguments, against this daemon's socket.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn ctl(&self, args: &[&str]) -> Output {
        let socket = &self.env["ZIPNET_SOCKET"];
        let mut command = Command::new(bin("zipnetctl"));
        command.args(args).arg("--socket").arg(socket).output().expect("zipnetctl starts")
    }

    /// The same, parsed; what it complains about is the error.
    ///
    /// # Errors
    /// A non-zero exit, with its standard error.
    pub fn json(&self, args: &[&str]) -> anyhow::Result<Vec<Value>> {
        let out = self.ctl(&[args, &["--json"]].concat());
        if !out.status.success() {
            bail!("{}: {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
        }
        let text = String::from_utf8(out.stdout)?;
        text.lines().map(|line| serde_json::from_str(line).context("its JSON")).collect()
    }

    /// `zipnetctl status`.
    ///
    /// # Errors
    /// As [`Daemon::json`].
    pub fn status(&self) -> anyhow::Result<Value> {
        self.json(&["status"])?.pop().context("status printed nothing")
    }

    /// Waits until the status says so.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_status(&self, within: Duration, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        until(within, &format!("{} to be {what}", self.name), || {
            let status = self.status()?;
            if fits(&status) { Ok(status) } else { bail!("its status is {status}") }
        })
    }

    /// Waits until the client is in the roster.
    pub fn wait_registered(&self, within: Duration) {
        self.wait_status(within, "registered", |s| s["registered"] == true);
    }

    /// Queues a message; its id once the daemon has acknowledged it.
    ///
    /// # Errors
    /// As [`Daemon::json`].
    pub fn send(&self, text: &str) -> anyhow::Result<String> {
        let sent = self.json(&["send", text, "--ttl", "1h"])?;
        let id = sent.first().and_then(|s| s["message_id"].as_str());
        Ok(id.context("no message id")?.to_owned())
    }

    /// The state of a message.
    ///
    /// # Errors
    /// As [`Daemon::json`].
    pub fn state(&self, id: &str) -> anyhow::Result<String> {
        let shown = self.json(&["show", id])?;
        let state = shown.first().and_then(|s| s["state"].as_str());
        Ok(state.context("no state")?.to_owned())
    }

    /// All messages of the broadcast log.
    ///
    /// # Errors
    /// As [`Daemon::json`].
    pub fn read(&self) -> anyhow::Result<Vec<Message>> {
        let number = |v: &Value, key: &str| v[key].as_u64().context("a number");
        let message = |v: &Value| {
            let payload = v["payload"].as_str().context("a payload")?.to_owned();
            Ok(Message { round: number(v, "round")?, slot: number(v, "slot")?, payload })
        };
        self.json(&["read", "--from", "0"])?.iter().map(message).collect()
    }
}
