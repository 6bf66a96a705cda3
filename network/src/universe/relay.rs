//! The relay: how nodes behind firewalls are reached, and what mosaik insists on before it starts.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use iroh::{RelayConfig, RelayMap, RelayMode, RelayUrl};
use iroh_relay::server::{RelayConfig as ServeRelay, Server, ServerConfig};
use url::Url;

use super::UniverseError;

/// Which relay to use.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Relay {
    /// The public relays of iroh's makers.
    #[default]
    Public,
    /// One relay, by its `http` or `https` URL.
    Custom(Url),
}

impl Relay {
    pub(super) fn mode(&self) -> RelayMode {
        match self {
            Self::Public => RelayMode::Default,
            Self::Custom(url) => {
                let relay = RelayConfig::from(RelayUrl::from(url.clone()));
                // A relay without TLS has no QUIC port either; waiting for one costs seconds at every start.
                let quic = relay.quic.filter(|_| url.scheme() == "https");
                RelayMode::Custom(RelayMap::from_iter([RelayConfig::new(relay.url, quic)]))
            }
        }
    }
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("public"),
            Self::Custom(url) => url.fmt(f),
        }
    }
}

/// A text that names no relay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("relay `{0}` is neither `public` nor an http or https URL")]
pub struct RelayError(String);

impl FromStr for Relay {
    type Err = RelayError;

    fn from_str(text: &str) -> Result<Self, RelayError> {
        if text == "public" {
            return Ok(Self::Public);
        }
        match text.parse::<Url>() {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Self::Custom(url)),
            _ => Err(RelayError(text.to_owned())),
        }
    }
}

/// A relay in this process: plain HTTP, for dev mode, tests and closed networks. Ends when dropped.
pub struct EmbeddedRelay {
    server: Server,
    addr: SocketAddr,
}

impl EmbeddedRelay {
    /// Starts it; port 0 takes a free one.
    ///
    /// # Errors
    /// [`UniverseError::Relay`], for example when the address is in use.
    pub async fn start(bind: SocketAddr) -> Result<Self, UniverseError> {
        let failed = |reason: String| UniverseError::Relay { addr: bind, reason };
        let mut config = ServerConfig::default();
        config.relay = Some(ServeRelay::new(bind));
        let server = Server::spawn(config).await.map_err(|error| failed(format!("{error:#}")))?;
        let addr = server.http_addr().ok_or_else(|| failed("it does not listen".to_owned()))?;
        Ok(Self { server, addr })
    }

    /// What nodes on this host name it by.
    pub fn relay(&self) -> Relay {
        Relay::Custom(self.url())
    }

    /// Its URL.
    pub fn url(&self) -> Url {
        format!("http://{}", self.addr).parse().expect("invariant: a socket address is a host and a port")
    }

    /// Ends it. Nodes that still use it keep trying to come back.
    pub async fn stop(self) {
        let _ = tokio::time::timeout(super::LEAVE_TIMEOUT, self.server.shutdown()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_parses_and_prints() {
        assert_eq!("public".parse(), Ok(Relay::Public));
        let custom: Relay = "http://127.0.0.1:3340".parse().unwrap();
        assert_eq!(custom.to_string(), "http://127.0.0.1:3340/");
        for wrong in ["127.0.0.1:3340", "relay", "ftp://x", "", "https://"] {
            let error = wrong.parse::<Relay>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
    }
}
