//! For the crate `fuzz/`: what an aggregator answers over links, without a connection.

use std::sync::Arc;

use futures::FutureExt;
use zipnet_dcnet::aggregate::{Aggregate, Bitmap};
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::header::{Header, SignedHeader};
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{ClientId, DeploymentId};
use zipnet_dcnet::params::Params;
use zipnet_dcnet::roster::{Entry, Roster};
use zipnet_dcnet::seal::Envelope;
use zipnet_dcnet::signed::{Signed, encode};
use zipnet_dcnet::wire::AggregateCall;
use zipnet_network::links::{Kind, Remote, Role, Service as _};

use crate::folding::Folding;
use crate::service::Service;

/// Clients in the roster.
const CLIENTS: u8 = 4;
const KINDS: [Kind; 4] = [Kind::Envelope, Kind::Aggregate, Kind::Register, Kind::Events];

/// An open round of four clients and one server, and who is at the other end of a link.
pub struct Door {
    aggregator: Arc<Identity>,
    descriptor: Descriptor,
    header: SignedHeader,
    roster: Roster,
    peers: Vec<Remote>,
}

fn remote(identity: &Identity, role: Role) -> Remote {
    let bundle = if role.accepts() { identity.server_bundle() } else { identity.client_bundle() };
    Remote { peer_id: identity.peer_id(), bundle, role, addr: ([127, 0, 0, 1], 1).into() }
}

impl Door {
    /// `identity` makes one from a number.
    pub fn new(identity: impl Fn(u8) -> Identity) -> Self {
        let (server, aggregator) = (identity(100), Arc::new(identity(101)));
        let params = Params { slots: 1, slot_bytes: 17, cells: 3, ..Params::dev(1) };
        let descriptor =
            Descriptor::new("test", params, vec![server.peer_id()]).expect("invariant: a valid descriptor");
        // The last one is in no roster.
        let clients: Vec<Identity> = (0..=CLIENTS).map(&identity).collect();
        let id = |client: &Identity| client.client_bundle().client_id();
        let entry = |client: ClientId| Entry { client, session: [1; 32], vouches: vec![[2; 32]] };
        let mut ids: Vec<ClientId> = clients[..CLIENTS.into()].iter().map(id).collect();
        ids.sort();
        let roster = Roster::new(ids.into_iter().map(entry).collect()).expect("invariant: each once");
        let header = Header {
            deployment: descriptor.id(),
            round: 5,
            prev: [3; 32],
            servers: vec![server.peer_id()],
            aggregators: vec![aggregator.peer_id()],
            roster: roster.digest(),
            roster_len: CLIENTS.into(),
        };
        let signatures = vec![header.sign(&server)];
        let mut peers: Vec<Remote> = clients.iter().map(|client| remote(client, Role::Client)).collect();
        peers.push(remote(&server, Role::Server));
        Self { aggregator, descriptor, header: SignedHeader { header, signatures }, roster, peers }
    }

    /// Requests to a fresh aggregator with an open round: pieces of one byte that says who asks for what, one that says
    /// how long, in units of 8 bytes, and the body. What it gives at the end is the fold of a valid set.
    pub fn take(&self, mut data: &[u8]) {
        let folding = Arc::new(Folding::new(self.aggregator.clone(), self.descriptor.clone()));
        folding.open(&self.header, self.roster.clone());
        let service = Service(folding);
        while let [what, len, rest @ ..] = data {
            let (body, after) = rest.split_at((usize::from(*len) * 8).min(rest.len()));
            data = after;
            let from = &self.peers[usize::from(*what) / KINDS.len() % self.peers.len()];
            let kind = KINDS[usize::from(*what) % KINDS.len()];
            // Pending: it would wait for its round or its deadline.
            let _ = service.call(from, kind, trim(body)).now_or_never();
        }
        let call = encode(&self.call(Bitmap::new(CLIENTS.into())));
        let server = &self.peers[self.peers.len() - 1];
        let Some(answer) = service.call(server, Kind::Aggregate, call).now_or_never() else { return };
        let answer = answer.expect("invariant: a server of the round asks for it");
        let signed = borsh::from_slice::<Signed<Aggregate>>(&answer).expect("invariant: an aggregate");
        let aggregate = signed.verify().expect("invariant: its own signature");
        assert_eq!(aggregate.deployment, DeploymentId(self.descriptor.id().0));
        assert!(aggregate.participants.is_canonical() && aggregate.participants.len() == u32::from(CLIENTS));
        assert_eq!(aggregate.vector.len(), self.descriptor.params.vector_bytes());
        let folded = aggregate.participants.count() > 0;
        assert!(folded || aggregate.vector.iter().all(|byte| *byte == 0), "nobody's bytes are in the fold");
    }

    fn call(&self, without: Bitmap) -> AggregateCall {
        AggregateCall { header_digest: self.header.header.digest(), within_ms: 0, without }
    }

    /// What the honest ones ask.
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        let vector = vec![7; self.descriptor.params.vector_bytes()];
        let mut all = Vec::new();
        let mut out = Vec::new();
        for (n, peer) in self.peers[..CLIENTS.into()].iter().enumerate() {
            let index = self.roster.index(&peer.bundle.client_id()).expect("invariant: it is listed");
            let body = encode(&Envelope { round: 5, index, vector: vector.clone() });
            let one = piece((n * KINDS.len()) as u8, &body);
            all.extend_from_slice(&one);
            out.push(one);
        }
        let mut without = Bitmap::new(CLIENTS.into());
        without.set(1);
        let ask = piece(((self.peers.len() - 1) * KINDS.len() + 1) as u8, &encode(&self.call(without)));
        all.extend_from_slice(&ask);
        out.extend([all, ask]);
        out
    }
}

/// The last byte says how many bytes of padding there are.
fn trim(body: &[u8]) -> Vec<u8> {
    let Some((padding, body)) = body.split_last() else { return Vec::new() };
    body[..body.len().saturating_sub(usize::from(*padding % 8))].to_vec()
}

fn piece(what: u8, body: &[u8]) -> Vec<u8> {
    let padding = (8 - (body.len() + 1) % 8) % 8;
    let units = (body.len() + 1 + padding) / 8;
    let mut out = vec![what, units as u8];
    out.extend_from_slice(body);
    out.resize(out.len() + padding, 0);
    out.push(padding as u8);
    out
}
