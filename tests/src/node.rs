//! A server, an aggregator or a relay on a host of its own, that can be ended and started again.

use std::path::{Path, PathBuf};

use crate::hosts::Host;
use crate::{Process, bin};

/// A program on a host.
pub struct Node {
    name: String,
    host: Host,
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    dir: PathBuf,
    peer_id: String,
    process: Option<Process>,
}

impl Node {
    /// One that does not run yet. Its log is `<dir>/<name>.log`.
    pub fn new(dir: &Path, name: &str, host: Host, binary: &str, peer_id: String) -> Self {
        Self {
            name: name.to_owned(),
            host,
            program: bin(binary),
            args: Vec::new(),
            env: vec![(
                "RUST_LOG".to_owned(),
                std::env::var("ZIPNET_FAULTS_LOG").unwrap_or("info".to_owned()),
            )],
            dir: dir.to_owned(),
            peer_id,
            process: None,
        }
    }

    /// Adds arguments.
    pub fn args(&mut self, args: &[&str]) {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
    }

    /// Sets a variable of its environment, from its next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Takes a variable out of its environment, from its next start on.
    pub fn unset(&mut self, name: &str) {
        self.env.retain(|(known, _)| known != name);
    }

    /// Starts it (again).
    pub fn start(&mut self) {
        let mut command = self.host.command(&self.program);
        command.args(&self.args).envs(self.env.iter().map(|(k, v)| (k, v)));
        self.process = Some(Process::start(&self.dir, &self.name, &mut command));
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Panics
    /// When it does not run, or ends with a failure.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        let status = process.stop();
        assert!(status.success(), "{} ended with {status}:\n{}", self.name, process.log());
    }

    /// The process, if it was started and not ended by the test.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Whether it was started and not ended by the test.
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its peer id as 64 digits; empty for a relay.
    pub fn peer_id(&self) -> &str {
        &self.peer_id
    }

    /// Where it runs.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its state folder.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join(&self.name)
    }
}
