//! `zipnet-server`: one server of a committee.

use std::process::ExitCode;

fn main() -> ExitCode {
    zipnet_committee::cli::main()
}
