//! Whom to ask first.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use zipnet_dcnet::ids::PeerId;

/// A node to enter the universe by: `PEERID`, or `PEERID@IP:PORT`, which needs no relay to find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bootstrap {
    /// Who it is.
    pub peer_id: PeerId,
    /// Where its mosaik endpoint listens, if known.
    pub addr: Option<SocketAddr>,
}

/// A text that names no bootstrap peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootstrapError {
    /// The part before the `@` is not a peer id.
    #[error("bootstrap `{value}`: `{part}` is not a peer id: expected 64 hexadecimal digits")]
    PeerId {
        /// The whole text.
        value: String,
        /// What should have been a peer id.
        part: String,
    },
    /// The part behind the `@` is not an address.
    #[error("bootstrap `{value}`: `{part}` is not IP:PORT (such as 192.0.2.1:4433 or [2001:db8::1]:4433)")]
    Address {
        /// The whole text.
        value: String,
        /// What should have been an address.
        part: String,
    },
}

impl Bootstrap {
    /// Several, separated by commas; blanks around them and empty ones are skipped.
    ///
    /// # Errors
    /// The first one that does not parse.
    pub fn parse_list(list: &str) -> Result<Vec<Self>, BootstrapError> {
        list.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::parse).collect()
    }
}

impl FromStr for Bootstrap {
    type Err = BootstrapError;

    fn from_str(text: &str) -> Result<Self, BootstrapError> {
        let value = text.to_owned();
        let (peer, addr) = match text.split_once('@') {
            Some((peer, addr)) => (peer, Some(addr)),
            None => (text, None),
        };
        let Ok(peer_id) = peer.parse() else {
            return Err(BootstrapError::PeerId { value, part: peer.to_owned() });
        };
        let Ok(addr) = addr.map(SocketAddr::from_str).transpose() else {
            return Err(BootstrapError::Address { value, part: addr.unwrap_or_default().to_owned() });
        };
        Ok(Self { peer_id, addr })
    }
}

impl fmt::Display for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addr {
            Some(addr) => write!(f, "{}@{addr}", self.peer_id),
            None => write!(f, "{}", self.peer_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_parse_and_print() {
        let id = PeerId([0xab; 32]);
        for text in [id.to_string(), format!("{id}@127.0.0.1:4433"), format!("{id}@[::1]:1")] {
            assert_eq!(text.parse::<Bootstrap>().unwrap().to_string(), text);
        }
        let list = format!(" {id} ,, {id}@127.0.0.1:1,");
        assert_eq!(Bootstrap::parse_list(&list).unwrap().len(), 2);
        assert_eq!(Bootstrap::parse_list("").unwrap(), []);
    }

    #[test]
    fn an_error_names_the_value_and_its_wrong_part() {
        let id = PeerId([0xab; 32]);
        let error = "node-1@127.0.0.1:1".parse::<Bootstrap>().unwrap_err().to_string();
        assert!(error.contains("`node-1` is not a peer id"), "{error}");
        let error = format!("{id}@example.org").parse::<Bootstrap>().unwrap_err().to_string();
        assert!(error.contains("`example.org` is not IP:PORT"), "{error}");
        let error = format!("{id}@").parse::<Bootstrap>().unwrap_err().to_string();
        assert!(error.contains("`` is not IP:PORT"), "{error}");
        let error = Bootstrap::parse_list(&format!("{id},x")).unwrap_err().to_string();
        assert!(error.starts_with("bootstrap `x`"), "{error}");
    }
}
