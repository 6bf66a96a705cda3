//! For the crate `fuzz/`: a committee of one, and what it answers over links, without a connection.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::params::Params;
use zipnet_network::NodeConfig;
use zipnet_network::links::{Kind, Refusal, Remote, Role, Service as _};
use zipnet_network::universe::Relay;
use zipnet_store::Store;
use zipnet_tdx::quote::NoTee;

use super::service::Service;
use super::{Server, ServerConfig, StartError};
use crate::core::Open;

/// A server, alone in the world, and its door.
pub struct Door {
    server: Server,
    service: Service,
    remotes: Vec<Remote>,
}

fn remote(identity: &Identity, role: Role) -> Remote {
    let bundle = if role.accepts() { identity.server_bundle() } else { identity.client_bundle() };
    Remote { peer_id: identity.peer_id(), bundle, role, addr: (Ipv4Addr::LOCALHOST, 1).into() }
}

impl Door {
    /// Starts it on this store; returns when its boot is in its log. At its door are a client, somebody who says that he
    /// is a server, and itself.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn open(
        identity: Arc<Identity>,
        client: &Identity,
        stranger: &Identity,
        store: Arc<dyn Store>,
    ) -> Result<Self, StartError> {
        let me = identity.peer_id();
        let params = Params { slots: 1, slot_bytes: 17, cells: 3, ..Params::dev(1) };
        let descriptor =
            Descriptor::new("test", params, vec![me]).expect("invariant: a committee of one is valid");
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let node = NodeConfig {
            listen: loopback,
            announce: Vec::new(),
            universe_listen: Some(loopback),
            universe: "fuzz".to_owned(),
            bootstrap: Vec::new(),
            relay: "http://127.0.0.1:1".parse::<Relay>().expect("invariant: an address"),
        };
        let remotes = vec![
            remote(client, Role::Client),
            remote(stranger, Role::Server),
            remote(&identity, Role::Server),
        ];
        let config = ServerConfig {
            identity,
            descriptor,
            store,
            node,
            aggregators: Vec::new(),
            admission: Arc::new(Open),
            quotes: Arc::new(NoTee),
        };
        let server = Server::start(config).await?;
        while server.shared.applied().state.server(&me).is_none_or(|s| s.boot.is_none()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let service = Service(server.shared.clone());
        Ok(Self { server, service, remotes })
    }

    /// The deployment.
    pub fn descriptor(&self) -> &Descriptor {
        &self.server.shared.descriptor
    }

    /// A request by the client (0), the stranger (1) or the server itself (2).
    ///
    /// # Errors
    /// What it says to the caller.
    pub async fn call(&self, from: usize, kind: Kind, body: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        let from = &self.remotes[from % self.remotes.len()];
        self.service.call(from, kind, body).await
    }

    /// Whether the server has ended by itself.
    pub fn is_down(&self) -> bool {
        self.server.failed.borrow().is_some()
    }
}
