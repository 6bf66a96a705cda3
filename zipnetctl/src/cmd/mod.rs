//! The verbs, one file each.

pub(crate) mod descriptor;
pub(crate) mod health;
pub(crate) mod read;
pub(crate) mod send;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod version;

use std::time::Duration;

use zipnet_proto::{Candidate, Client};

use crate::{cli::Verb, failure::Failure, out::Out};

/// What every verb works with.
#[derive(Debug)]
pub(crate) struct Context {
    /// Standard output.
    pub(crate) out: Out,
    /// Where the daemon may be, in order.
    pub(crate) candidates: Vec<Candidate>,
}

impl Context {
    /// The daemon.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        Ok(Client::connect_any(&self.candidates).await?)
    }
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, context: &mut Context) -> Result<(), Failure> {
    match verb {
        Verb::Send(args) => send::run(args, context).await,
        Verb::Show(args) => show::run(args, context).await,
        Verb::Read(args) => read::run(args, context).await,
        Verb::Status => status::run(context).await,
        Verb::Health => health::run(context).await,
        Verb::Version => version::run(context).await,
        Verb::Descriptor(verb) => descriptor::run(verb, context),
    }
}

/// Waits between attempts to reach a daemon that went away: 0.2 s, doubled up to 3 s.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(Duration::from_millis(200))
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(Duration::from_secs(3));
        now
    }
}
