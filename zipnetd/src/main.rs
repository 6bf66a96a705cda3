//! `zipnetd`: parse, configure, log, run, drain within a deadline, exit code.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use nix::sys::stat::{Mode, umask};
use zipnetd::cli::Cli;
use zipnetd::config::{Config, DEFAULT_FILE, Surroundings};
use zipnetd::failure::Failure;
use zipnetd::{daemon, telemetry};

/// What tasks left behind get to end.
const SHUTDOWN: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    umask(Mode::from_bits_truncate(0o077));
    let cli = Cli::parse();
    let uid = nix::unistd::geteuid().as_raw();
    let around = Surroundings { env: &|name| std::env::var_os(name), uid, default_file: DEFAULT_FILE.into() };
    let config = match Config::resolve(&cli, &around) {
        Ok(config) => config,
        Err(error) => return failed(&error.into()),
    };
    telemetry::start(&config.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => return failed(&Failure::System { action: "start threads", source }),
    };
    let ended = runtime.block_on(daemon::run(config, uid));
    runtime.shutdown_timeout(SHUTDOWN);
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failed(&failure),
    }
}

fn failed(failure: &Failure) -> ExitCode {
    eprintln!("zipnetd: {failure}");
    if let Some(hint) = failure.hint() {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(failure.exit() as u8)
}
