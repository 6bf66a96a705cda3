//! The verbs, one file each.

pub(crate) mod attest;
pub(crate) mod cancel;
pub(crate) mod completions;
pub(crate) mod descriptor;
pub(crate) mod doctor;
pub(crate) mod drain;
pub(crate) mod health;
pub(crate) mod identity;
pub(crate) mod list;
pub(crate) mod log;
pub(crate) mod log_level;
pub(crate) mod man;
pub(crate) mod message;
pub(crate) mod pause;
pub(crate) mod read;
pub(crate) mod send;
pub(crate) mod servers;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod verify;
pub(crate) mod version;
pub(crate) mod watch;

use std::time::Duration;

use zipnet_proto::{CallError, Candidate, Client, Reason};

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
        Verb::List(args) => list::run(args, context).await,
        Verb::Watch(args) => watch::run(args, context).await,
        Verb::Cancel(args) => cancel::run(args, context).await,
        Verb::Verify(args) => verify::run(&args, context),
        Verb::Doctor => doctor::run(context).await,
        Verb::Pause => pause::run(true, context).await,
        Verb::Resume => pause::run(false, context).await,
        Verb::Drain(args) => drain::run(args, context).await,
        Verb::LogLevel(args) => log_level::run(args, context).await,
        Verb::Completions(args) => completions::run(&args, context),
        Verb::Man(args) => man::run(args, context),
        Verb::Status => status::run(context).await,
        Verb::Health => health::run(context).await,
        Verb::Version => version::run(context).await,
        Verb::Servers => servers::run(context).await,
        Verb::Log(log::Verb::Verify(args)) => log::verify(args, context).await,
        Verb::Attest(verb) => attest::run(&verb, context),
        Verb::Descriptor(verb) => descriptor::run(verb, context).await,
        Verb::Identity(verb) => identity::run(verb, context).await,
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

/// What whoever follows a stream sits out: the daemon restarts, or the reader was too slow.
pub(crate) fn passes_by(error: &CallError) -> bool {
    match error {
        CallError::Lost { .. } | CallError::TimedOut { .. } => true,
        CallError::Refused(refused) => {
            matches!(refused.reason, Reason::Lagged | Reason::Draining | Reason::InstanceUnknown)
        }
        CallError::Failed { .. } => false,
    }
}
