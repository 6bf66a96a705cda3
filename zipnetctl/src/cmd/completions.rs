//! `completions`: for a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Context;
use crate::{cli::Cli, failure::Failure};

/// Print the completions for a shell, from the definitions that parse the command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "zipnetctl", &mut script);
    context.out.bytes(&script)
}
