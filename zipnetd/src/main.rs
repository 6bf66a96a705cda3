//! `zipnetd`: parse, configure, log, run, drain within a deadline, exit code.

use std::process::ExitCode;

use clap::Parser;
use nix::sys::stat::{Mode, umask};
use zipnetd::cli::Cli;
use zipnetd::config::{Config, DEFAULT_FILE, Surroundings};
use zipnetd::failure::Failure;
use zipnetd::service::Service;
use zipnetd::{daemon, telemetry};

fn main() -> ExitCode {
    umask(Mode::from_bits_truncate(0o077));
    let cli = Cli::parse();
    let uid = nix::unistd::geteuid().as_raw();
    let print = cli.print_config;
    let resolve = move || {
        let env = |name: &str| std::env::var_os(name);
        Config::resolve(&cli, &Surroundings { env: &env, uid, default_file: DEFAULT_FILE.into() })
    };
    let config = match resolve() {
        Ok(config) => config,
        Err(error) => return failed(&error.into()),
    };
    if print {
        print!("{}", config.print());
        return ExitCode::SUCCESS;
    }
    let journal = telemetry::is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref(), std::io::stderr());
    let log = telemetry::start(&config.log, journal);
    let service = match Service::new(&|name| std::env::var_os(name), std::process::id()) {
        Ok(service) => service,
        Err(error) => return failed(&error.into()),
    };
    match daemon::run(config, uid, log, service, Box::new(resolve)) {
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
