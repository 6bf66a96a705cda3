//! `zipnet-aggregator`: folds the envelopes of a deployment.

use std::process::ExitCode;

fn main() -> ExitCode {
    zipnet_aggregator::cli::main()
}
