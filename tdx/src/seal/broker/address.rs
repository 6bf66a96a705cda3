//! Which broker, as an operator writes it.

use std::fmt;
use std::str::FromStr;

use super::secret::BrokerKey;

/// Longest text that an error repeats, in characters.
const MAX_SHOWN: usize = 200;

/// A broker and where it answers: `HEXKEY@HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Its public key: who answers without it is not it.
    pub key: BrokerKey,
    /// `HOST:PORT`, of a name or an address.
    pub at: String,
}

/// A text that names no broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not HEXKEY@HOST:PORT: the broker's public key, 64 hexadecimal digits as `zipnet-keybroker key` prints them, \
     and where it listens"
)]
pub struct BrokerAddressError(String);

impl FromStr for BrokerAddress {
    type Err = BrokerAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| BrokerAddressError(text.chars().take(MAX_SHOWN).collect()))
    }
}

fn parse(text: &str) -> Option<BrokerAddress> {
    let (key, at) = text.split_once('@')?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(key, &mut bytes).ok()?;
    let (host, port) = at.rsplit_once(':')?;
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && c != '@';
    let known = !host.is_empty() && host.chars().all(fits) && port.parse::<u16>().is_ok_and(|port| port != 0);
    known.then(|| BrokerAddress { key: BrokerKey(bytes), at: at.to_owned() })
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", hex::encode(self.key.0), self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_its_key_and_its_place() {
        let key = "ab".repeat(32);
        for at in ["broker.example:4710", "192.0.2.1:1", "[2001:db8::1]:65535"] {
            let text = format!("{key}@{at}");
            let address: BrokerAddress = text.parse().unwrap();
            assert_eq!((address.key, address.at.as_str()), (BrokerKey([0xab; 32]), at));
            assert_eq!(address.to_string(), text);
        }
        let short = &key[1..];
        for at in ["", ":1", "host", "host:", "host:0", "host:65536", "ho st:1", "a@b:1", "h\u{7}:1"] {
            assert!(format!("{key}@{at}").parse::<BrokerAddress>().is_err(), "{at}");
        }
        for text in
            ["", "host:1", &format!("{short}@host:1"), &format!("0{key}@host:1"), &format!("x{short}@h:1")]
        {
            let error = text.parse::<BrokerAddress>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is not HEXKEY@HOST:PORT")), "{error}");
        }
        let long = "x".repeat(1_000).parse::<BrokerAddress>().unwrap_err().to_string();
        assert!(long.contains(&"x".repeat(MAX_SHOWN)) && !long.contains(&"x".repeat(MAX_SHOWN + 1)));
    }
}
