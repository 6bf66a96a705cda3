//! The value of a measurement register.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// 48 bytes of SHA-384: `MR_TD` or one of the RTMRs. Prints as 96 hexadecimal digits.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 48]);

/// A text that is no measurement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a measurement: expected 96 hexadecimal digits")]
pub struct DigestError(String);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let mut out = [0; 48];
        hex::decode_to_slice(text, &mut out).map_err(|_| DigestError(text.chars().take(100).collect()))?;
        Ok(Self(out))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_and_names_the_wrong_value() {
        let digest = Digest([0xa7; 48]);
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        let error = "xyz".parse::<Digest>().unwrap_err();
        assert_eq!(error.to_string(), "`xyz` is not a measurement: expected 96 hexadecimal digits");
        assert!("a7".repeat(47).parse::<Digest>().is_err() && "a7".repeat(49).parse::<Digest>().is_err());
    }
}
