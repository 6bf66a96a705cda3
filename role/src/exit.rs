//! How a server program ends: its exit code, and what it says on standard error.

use std::process::ExitCode;

/// Exit codes of `zipnet-server` and `zipnet-aggregator`; listed in docs/ops/servers.md and fixed: unit files rely on
/// them. Where zipnetd has the same reason it has the same code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Anything else.
    Failed = 1,
    /// The command line, the key file or the descriptor: starting again does not help.
    Usage = 2,
    /// The store cannot be used.
    Store = 4,
    /// Key or state folder are not of the descriptor's deployment: starting again does not help.
    Deployment = 6,
    /// An address to listen at, or the metrics address, cannot be used.
    Address = 7,
}

/// What a second signal adds to its number.
const SIGNALLED: u8 = 128;

/// Why the program ends by itself.
pub struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    /// For this reason.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The error and its causes in one line. A cause that is quoted by what it caused is not said twice; no backtrace,
    /// whatever the environment says.
    pub fn line(&self) -> String {
        let mut causes = self.error.chain().map(ToString::to_string);
        let mut line = causes.next().unwrap_or_default();
        for cause in causes {
            if !line.contains(&cause) {
                line = format!("{line}: {cause}");
            }
        }
        // A line break would make it look like several messages in the journal.
        line.replace(char::is_control, " ")
    }
}

/// Gives an error its exit code.
pub trait Because<T> {
    /// The program ends with this code, if this fails.
    ///
    /// # Errors
    /// The same, with its code.
    fn because(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> Because<T> for Result<T, E> {
    fn because(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(exit, error))
    }
}

/// How a program ended that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As asked.
    Done,
    /// At once, by a second signal with this number.
    Signal(u8),
}

/// The exit code of `program`; says why on standard error when it failed.
pub(crate) fn exit(program: &str, result: Result<Ended, Failure>) -> ExitCode {
    match result {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::Signal(number)) => ExitCode::from(SIGNALLED + number),
        Err(failure) => {
            eprintln!("{program}: {}", failure.line());
            ExitCode::from(failure.exit() as u8)
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("binding the links: {0}")]
    struct Quoting(#[from] std::io::Error);

    #[test]
    fn a_failure_is_one_line_that_says_everything_once() {
        let failure = Failure::new(Exit::Address, Quoting(std::io::Error::other("address in use")));
        assert_eq!(failure.line(), "binding the links: address in use");
        let chain: Result<(), _> = Err(anyhow!("no such\nfile")).context("the descriptor x.json");
        let failure = chain.because(Exit::Usage).err().unwrap();
        assert_eq!(failure.line(), "the descriptor x.json: no such file");
        assert_eq!(failure.exit(), Exit::Usage);
    }
}
