//! `zipnet-quote`: makes one quote for the daemon, which has no privileges.

use std::process::ExitCode;

fn main() -> ExitCode {
    zipnet_tdx::quote::helper::main()
}
