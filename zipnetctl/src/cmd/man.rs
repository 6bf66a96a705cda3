//! `man`: the manual pages.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_mangen::Man;

use super::Context;
use crate::{cli::Cli, failure::Failure};

/// Print the manual page, or write those of all verbs into a folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write zipnetctl.1 and one page for each verb into this folder.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    if let Some(dir) = args.dir {
        return clap_mangen::generate_to(Cli::command(), &dir)
            .map_err(|e| Failure::File { path: dir, problem: e.to_string() });
    }
    let mut page = Vec::new();
    Man::new(Cli::command()).render(&mut page).expect("invariant: a Vec takes everything");
    context.out.bytes(&page)
}
