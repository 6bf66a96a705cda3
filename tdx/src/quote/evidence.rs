//! What a client sends with its registration (protocol.md section 19).

use borsh::{BorshDeserialize, BorshSerialize};
use zipnet_dcnet::ids::RecordDigest;
use zipnet_dcnet::register::MAX_EVIDENCE_BYTES;

/// Version of the layout.
const VERSION: u8 = 1;
/// Bytes of the evidence that are not the quote: version, record, length of the quote.
const EXTRA: usize = 1 + 32 + 4;
/// Longest quote, in bytes; those of today have about 5,000.
pub const MAX_QUOTE_BYTES: usize = MAX_EVIDENCE_BYTES - EXTRA;

/// A quote, and what the receiver cannot know of what is in its report data.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Evidence {
    version: u8,
    /// The record after which the quote was made; the deployment id while there is none.
    pub record: RecordDigest,
    /// The quote.
    pub quote: Vec<u8>,
}

/// Bytes that are no evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// None at all.
    #[error("no evidence: this deployment admits by TDX quote only")]
    Missing,
    /// Over the limit.
    #[error("the evidence has {0} bytes, at most {MAX_EVIDENCE_BYTES} are allowed")]
    TooLong(usize),
    /// Another layout.
    #[error("the evidence has version {0}, this program knows version {VERSION}")]
    Version(u8),
    /// Not the layout it should be.
    #[error("the evidence is not version {VERSION}, a record and a quote: {0}")]
    Malformed(String),
}

impl Evidence {
    /// Evidence from a quote that was made after `record`.
    pub fn new(record: RecordDigest, quote: Vec<u8>) -> Self {
        Self { version: VERSION, record, quote }
    }

    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        zipnet_dcnet::signed::encode(self)
    }

    /// Reads what was sent.
    ///
    /// # Errors
    /// [`EvidenceError`] says what does not fit.
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        match bytes.first() {
            None => return Err(EvidenceError::Missing),
            Some(_) if bytes.len() > MAX_EVIDENCE_BYTES => return Err(EvidenceError::TooLong(bytes.len())),
            Some(&version) if version != VERSION => return Err(EvidenceError::Version(version)),
            Some(_) => {}
        }
        borsh::from_slice(bytes).map_err(|e| EvidenceError::Malformed(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_quote_fits_and_one_byte_more_does_not() {
        let evidence = Evidence::new([7; 32], vec![1; MAX_QUOTE_BYTES]);
        assert_eq!(evidence.encode().len(), MAX_EVIDENCE_BYTES);
        assert_eq!(Evidence::decode(&evidence.encode()), Ok(evidence));
        let long = Evidence::new([7; 32], vec![1; MAX_QUOTE_BYTES + 1]).encode();
        assert_eq!(Evidence::decode(&long), Err(EvidenceError::TooLong(MAX_EVIDENCE_BYTES + 1)));
    }

    #[test]
    fn what_is_no_evidence_is_refused() {
        assert_eq!(Evidence::decode(&[]), Err(EvidenceError::Missing));
        assert_eq!(Evidence::decode(&[2; 40]), Err(EvidenceError::Version(2)));
        let mut bytes = Evidence::new([7; 32], vec![1; 9]).encode();
        bytes.push(0);
        assert!(matches!(Evidence::decode(&bytes), Err(EvidenceError::Malformed(_))));
        bytes.truncate(bytes.len() - 2);
        assert!(matches!(Evidence::decode(&bytes), Err(EvidenceError::Malformed(_))));
    }
}
