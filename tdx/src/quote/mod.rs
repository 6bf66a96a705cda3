//! Quotes: what they bind (`ReportData`), where they come from (`QuoteSource`), and what is in them (`Quote`).

mod contents;
mod digest;
mod evidence;
pub mod helper;
mod report_data;
mod source;
mod tsm;

pub use contents::{Contents, ParseError, Quote};
pub use digest::{Digest, DigestError};
pub use evidence::{Evidence, EvidenceError, MAX_QUOTE_BYTES};
pub use report_data::{KeyRelease, ReportData, ServerKeys, Subject};
pub use source::{NoTee, QuoteSource, Recorded, SourceError};
pub use tsm::{Attributes, ConfigFs, PATH, Tsm};
