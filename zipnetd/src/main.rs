//! `zipnetd`: parse, configure, log, run, drain within a deadline, exit code.

use std::process::ExitCode;

use clap::Parser;
use nix::sys::stat::{Mode, umask};
use zipnetd::cli::Cli;
use zipnetd::config::{Config, DEFAULT_FILE, Surroundings};
use zipnetd::failure::Failure;
use zipnetd::{daemon, telemetry};

fn main() -> ExitCode {
    umask(Mode::from_bits_truncate(0o077));
    let cli = Cli::parse();
    let uid = nix::unistd::geteuid().as_raw();
    let around = Surroundings { env: &|name| std::env::var_os(name), uid, default_file: DEFAULT_FILE.into() };
    let config = match Config::resolve(&cli, &around) {
        Ok(config) => config,
        Err(error) => return failed(&error.into()),
    };
    let log = telemetry::start(&config.log);
    match daemon::run(config, uid, log) {
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
