//! `zipnet-keybroker`: gives guests the keys of their sealed identities.

use std::process::ExitCode;

fn main() -> ExitCode {
    zipnet_tdx::seal::broker::main()
}
