//! The command line as clap sees it.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{cmd, failure::Failure};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused, or an error of no other kind
  2  wrong usage
  3  the daemon (or the instance) cannot be reached
  4  no permission
  5  the message ended undelivered (send --wait, watch ID)
  6  the wait timed out, the message is still queued (send --wait)";

/// Send messages through the zipnetd daemon of this host, and read what was published.
#[derive(Debug, Parser)]
#[command(name = "zipnetctl", version, after_help = EXIT_CODES, disable_help_subcommand = false)]
pub(crate) struct Cli {
    /// Socket of the daemon [default: /run/zipnet/zipnetd.sock, then that of your own zipnetd, then that of your own
    /// `zipnetd --dev`].
    #[arg(long, global = true, env = "ZIPNET_SOCKET", value_name = "PATH", hide_env_values = true)]
    pub(crate) socket: Option<PathBuf>,

    /// Print one JSON object (`read`, `list`, `watch`, `log verify`: one per line); errors too, on standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// One file below `cmd/` each.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Send(cmd::send::Args),
    Show(cmd::show::Args),
    List(cmd::list::Args),
    Watch(cmd::watch::Args),
    Cancel(cmd::cancel::Args),
    Read(cmd::read::Args),
    Verify(cmd::verify::Args),
    /// How the daemon is doing: instance, round, participants, queue, and why nothing is sent if so.
    Status,
    /// What is wrong, and the command that mends it: socket, permissions, versions, clock, disk, instance, servers.
    ///
    /// One line for each check: `ok`, `warning` or `problem`. Exit code 1 if there is a problem. The output is safe to paste
    /// in public: it has no payload, no id of a message, client or peer, no name of a user and no path of your own; of your
    /// queue it says only whether something in it is stuck. Works without a daemon, too.
    Doctor,
    /// Which servers are in the current header and since when, which of them can be reached from here, and the aggregator.
    ///
    /// What the daemon knows already: asking sends nothing. Since when is known from the first header on that it saw.
    Servers,
    #[command(subcommand)]
    Log(cmd::log::Verb),
    /// Whether the daemon takes messages: exit code 0 if so.
    Health,
    /// The versions of zipnetctl and of the daemon, if there is one.
    Version,
    /// Let only cover leave until `resume`, or a restart of the daemon.
    ///
    /// Nobody outside can tell. Messages that are queued are kept. For root and the daemon's own user only.
    Pause,
    /// Let messages leave again. For root and the daemon's own user only.
    Resume,
    Drain(cmd::drain::Args),
    LogLevel(cmd::log_level::Args),
    #[command(subcommand)]
    Descriptor(cmd::descriptor::Verb),
    #[command(subcommand)]
    Attest(cmd::attest::Verb),
    #[command(subcommand)]
    Identity(cmd::identity::Verb),
    #[command(hide = true)]
    Completions(cmd::completions::Args),
    #[command(hide = true)]
    Man(cmd::man::Args),
}

/// Prints clap's own words: help on standard output, errors on standard error, as JSON if that was asked for.
pub(crate) fn report_parse_error(error: &clap::Error, json: bool) -> ExitCode {
    if error.use_stderr() && json {
        let text = error.render().to_string();
        let text = text.split("\n\n").next().unwrap_or_default();
        let words: Vec<&str> = text.trim_start_matches("error: ").split_whitespace().collect();
        return Failure::Usage { message: words.join(" ") }.report(true);
    }
    // A closed standard output is no reason to complain.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}
