//! `zipnetctl`: hands messages to the daemon on this host, says what became of them, reads the broadcast log.

mod cli;
mod cmd;
#[cfg(test)]
mod docs;
mod exit;
mod failure;
mod hint;
mod out;
mod receipt;
mod text;

use std::{env, path::PathBuf, process::ExitCode};

use clap::Parser;
use zipnet_proto::default_socket_candidates;

use crate::{cli::Cli, cmd::Context, failure::Failure, out::Out};

fn main() -> ExitCode {
    // 1. Arguments. The environment is read here and nowhere else (clap reads ZIPNET_SOCKET).
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return cli::report_parse_error(&error, env::args_os().any(|arg| arg == "--json")),
    };
    let xdg_runtime_dir = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);

    // 2. Where the daemon may be.
    let uid = nix::unistd::getuid().as_raw();
    let candidates = default_socket_candidates(cli.socket.as_deref(), xdg_runtime_dir.as_deref(), uid);

    // 3. Run the verb.
    let out = Out::new(cli.json);
    let mut context = Context { out, candidates };
    let result = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cmd::run(cli.verb, &mut context)),
        Err(source) => Err(Failure::Runtime { source }),
    };

    // 4. Say what went wrong, and the exit code.
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(cli.json),
    }
}
