//! Standard output and standard error, neither of which may panic when it is closed.

use std::io::{self, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Results, on standard output.
#[derive(Debug)]
pub(crate) struct Out {
    json: bool,
    stdout: io::Stdout,
}

impl Out {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, stdout: io::stdout() }
    }

    /// `--json` was given.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// `text` and a line feed. Standard output is flushed at each line.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        let mut stdout = self.stdout.lock();
        writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(|source| Failure::Output { source })
    }

    /// A text of many lines, as it is.
    pub(crate) fn bytes(&mut self, text: &[u8]) -> Result<(), Failure> {
        let mut stdout = self.stdout.lock();
        stdout.write_all(text).and_then(|()| stdout.flush()).map_err(|source| Failure::Output { source })
    }

    /// One object on one line.
    pub(crate) fn object(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        self.line(&serde_json::to_string(object).expect("invariant: output types have string keys only"))
    }

    /// Lines of `name  value`, the values aligned. A value of several lines is indented.
    pub(crate) fn table(&mut self, rows: &[(&str, String)]) -> Result<(), Failure> {
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, value) in rows {
            for (i, part) in value.lines().enumerate() {
                self.line(&format!("{:width$}  {part}", if i == 0 { name } else { "" }))?;
            }
        }
        Ok(())
    }
}

/// Remarks, progress and errors, on standard error; a closed one is ignored.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
