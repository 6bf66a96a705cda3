//! Where quotes come from.

use std::io;
use std::path::PathBuf;

use super::{MAX_QUOTE_BYTES, ReportData};

/// Makes quotes over report data of ours.
pub trait QuoteSource: Send + Sync {
    /// A quote. May take seconds: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`SourceError`] says why there is none.
    fn quote(&self, data: &ReportData) -> Result<Vec<u8>, SourceError>;
}

/// No quote.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The kernel has no interface for reports.
    #[error(
        "this is no TDX guest, or its kernel cannot make quotes: {} is not there (mount configfs, load tdx-guest)",
        .0.display()
    )]
    NotAGuest(PathBuf),
    /// The reports are of another technology.
    #[error("the kernel's reports are made by `{0}`, not by `tdx_guest`: this is no TDX guest")]
    WrongProvider(String),
    /// Somebody else wrote into our request, or the kernel ran two at once.
    #[error("the request for a quote was disturbed: generation {found}, expected {expected}; try again")]
    Generation {
        /// The generation that one write leads to.
        expected: u64,
        /// The one that was found.
        found: u64,
    },
    /// The answer has no bytes.
    #[error("the quote is empty: the host's quote service does not answer for this guest")]
    Empty,
    /// The answer is longer than a server would take.
    #[error("the quote has {0} bytes, at most {MAX_QUOTE_BYTES} are allowed")]
    TooLong(usize),
    /// Another request is under way.
    #[error("another request for a quote is under way; try again in a moment")]
    Busy,
    /// Only root may ask.
    #[error("no permission to ask for a quote at {}: only root may", .0.display())]
    Permission(PathBuf),
    /// The helper could not make one.
    #[error("the quote helper says: {0}")]
    Helper(String),
    /// Anything else that the kernel says.
    #[error("cannot {step} {}: {source}", path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// One recorded quote, whatever is asked: for tests and for trying the tools out. No server admits by it, because its
/// report data is not theirs.
#[derive(Clone, Debug)]
pub struct Recorded(pub Vec<u8>);

impl QuoteSource for Recorded {
    fn quote(&self, _: &ReportData) -> Result<Vec<u8>, SourceError> {
        bounded(self.0.clone())
    }
}

/// No quotes at all: a host that is no TDX guest.
#[derive(Clone, Copy, Debug)]
pub struct NoTee;

impl QuoteSource for NoTee {
    fn quote(&self, _: &ReportData) -> Result<Vec<u8>, SourceError> {
        Err(SourceError::NotAGuest(super::PATH.into()))
    }
}

/// A quote that is neither empty nor too long.
pub(super) fn bounded(quote: Vec<u8>) -> Result<Vec<u8>, SourceError> {
    match quote.len() {
        0 => Err(SourceError::Empty),
        n if n > MAX_QUOTE_BYTES => Err(SourceError::TooLong(n)),
        _ => Ok(quote),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quote::KeyRelease;

    #[test]
    fn recorded_quotes_come_back_within_the_limit_and_none_is_none() {
        let data = ReportData::Key(KeyRelease { broker: [1; 32], nonce: [2; 32], request: [3; 32] });
        let ask = |n| Recorded(vec![1; n]).quote(&data);
        assert_eq!(ask(MAX_QUOTE_BYTES).unwrap().len(), MAX_QUOTE_BYTES);
        assert!(matches!(ask(0), Err(SourceError::Empty)));
        assert!(matches!(ask(MAX_QUOTE_BYTES + 1), Err(SourceError::TooLong(_))));
        assert!(matches!(NoTee.quote(&data), Err(SourceError::NotAGuest(_))));
    }
}
