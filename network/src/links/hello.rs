//! The handshake: both sides prove, over the TLS-authenticated keys of the two endpoints, which peer they are.
//!
//! On the first stream the dialer sends a [`Hello`], the acceptor answers with its own or with a [`No`]. Each starts
//! with the version, so that nodes of different versions still tell each other that.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use iroh::endpoint::{Connection, RecvStream, SendStream};
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::{Bundle, DeploymentId, PeerId};
use zipnet_dcnet::signed::Signature;

use super::limits::Limits;
use super::wire::{self, Reader, WireError};
use super::{LinkError, Role};

/// Version of the links; also in the ALPN.
pub(super) const VERSION: u16 = 1;
/// What QUIC negotiates.
pub(super) const ALPN: &[u8] = b"zipnet/1";
/// What a hello is signed under.
const DOMAIN: &str = "zipnet link";
/// Longest hello: version, deployment, role, bundle, signature, with room to grow.
const MAX_HELLO: usize = 512;

/// Who signs: the first byte keeps a dialer's signature from passing for an acceptor's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Dialer = 0,
    Acceptor = 1,
}

/// What one side says about itself.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Hello {
    pub version: u16,
    pub deployment: DeploymentId,
    pub role: Role,
    pub bundle: Bundle,
    pub signature: Signature,
}

/// The acceptor's no, with its version and deployment so that the dialer can say what does not fit.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct No {
    version: u16,
    deployment: DeploymentId,
    reason: String,
}

/// This node, as it presents itself.
pub(super) struct Me {
    pub identity: std::sync::Arc<Identity>,
    pub deployment: DeploymentId,
    pub role: Role,
    pub bundle: Bundle,
    /// [`VERSION`], except in the test of a mismatch.
    pub version: u16,
}

/// Deployment, role, both endpoint ids, side, bundle: binds the peer key to exactly this pair of TLS keys.
fn statement(hello: &Hello, dialer: &[u8; 32], acceptor: &[u8; 32], side: Side) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + 1 + 64 + 1 + 96);
    out.extend_from_slice(&hello.deployment.0);
    out.push(hello.role as u8);
    out.extend_from_slice(dialer);
    out.extend_from_slice(acceptor);
    out.push(side as u8);
    let Bundle { peer_id, identity_pk, link_pk } = &hello.bundle;
    for part in [&peer_id.0, identity_pk, link_pk] {
        out.extend_from_slice(part);
    }
    out
}

impl Me {
    fn hello(&self, dialer: &[u8; 32], acceptor: &[u8; 32], side: Side) -> Hello {
        let mut hello = Hello {
            version: self.version,
            deployment: self.deployment,
            role: self.role,
            bundle: self.bundle,
            signature: Signature([0; 64]),
        };
        hello.signature = self.identity.sign(DOMAIN, &statement(&hello, dialer, acceptor, side));
        hello
    }

    /// Checks version, deployment, the remote endpoint key and the signature, in this order.
    fn check(
        &self,
        bytes: &[u8],
        dialer: &[u8; 32],
        acceptor: &[u8; 32],
        side: Side,
        peer: PeerId,
    ) -> Result<Hello, LinkError> {
        let bad = |peer, reason: &str| LinkError::BadHello { peer, reason: reason.to_owned() };
        self.check_version(bytes, peer)?;
        let hello: Hello =
            borsh::from_slice(bytes).map_err(|error| bad(peer, &format!("malformed: {error}")))?;
        let peer = hello.bundle.peer_id;
        if hello.deployment != self.deployment {
            return Err(LinkError::DeploymentMismatch {
                peer,
                ours: self.deployment,
                theirs: hello.deployment,
            });
        }
        let endpoint = if side == Side::Dialer { dialer } else { acceptor };
        if hello.role.accepts() && hello.bundle.link_pk != *endpoint {
            return Err(bad(peer, "the link key of its bundle is not the key of this endpoint"));
        }
        peer.verify(DOMAIN, &statement(&hello, dialer, acceptor, side), &hello.signature)
            .map_err(|error| bad(peer, &error.to_string()))?;
        Ok(hello)
    }

    fn check_version(&self, bytes: &[u8], peer: PeerId) -> Result<(), LinkError> {
        let Some(version) = bytes.first_chunk::<2>() else {
            return Err(LinkError::BadHello { peer, reason: "malformed: no version".to_owned() });
        };
        let theirs = u16::from_le_bytes(*version);
        if theirs == self.version {
            return Ok(());
        }
        Err(LinkError::VersionMismatch { peer, ours: self.version, theirs })
    }
}

impl Me {
    /// A dialer's hello, as an acceptor takes it.
    pub(super) fn take_dialer(
        &self,
        bytes: &[u8],
        dialer: &[u8; 32],
        own: &[u8; 32],
    ) -> Result<Hello, LinkError> {
        self.check(bytes, dialer, own, Side::Dialer, PeerId(*dialer))
    }

    /// An acceptor's hello, as a dialer takes it.
    pub(super) fn take_acceptor(
        &self,
        bytes: &[u8],
        own: &[u8; 32],
        acceptor: &[u8; 32],
    ) -> Result<Hello, LinkError> {
        self.check(bytes, own, acceptor, Side::Acceptor, PeerId(*acceptor))
    }
}

/// What the two say to each other, and a no: seeds for `fuzz/`.
pub(super) fn samples(client: &Me, server: &Me, dialer: &[u8; 32]) -> Vec<Vec<u8>> {
    let acceptor = &server.bundle.link_pk;
    let no = No { version: VERSION, deployment: server.deployment, reason: "no".to_owned() };
    vec![
        encode(&client.hello(dialer, acceptor, Side::Dialer)).to_vec(),
        encode(&server.hello(dialer, acceptor, Side::Acceptor)).to_vec(),
        encode(&no).to_vec(),
    ]
}

fn encode<T: BorshSerialize>(value: &T) -> Bytes {
    borsh::to_vec(value).expect("invariant: hellos are short").into()
}

fn hello_size(tag: u8) -> Option<usize> {
    matches!(tag, wire::OK | wire::REFUSED).then_some(MAX_HELLO)
}

/// The dialer's half. `wanted` is who should be there. The caller sets a deadline.
pub(super) async fn dial(
    me: &Me,
    conn: &Connection,
    own: &[u8; 32],
    wanted: PeerId,
    limits: &Limits,
) -> Result<Hello, LinkError> {
    let lost = |error: WireError| LinkError::Unreachable { peer: wanted, reason: error.to_string() };
    let acceptor = *conn.remote_id().as_bytes();
    let (mut send, recv) = conn.open_bi().await.map_err(|error| lost(WireError::Lost(error.to_string())))?;
    let hello = me.hello(own, &acceptor, Side::Dialer);
    wire::write(&mut send, wire::OK, encode(&hello), limits.stall).await.map_err(lost)?;
    let (tag, body) = Reader::new(recv).one(hello_size).await.map_err(lost)?;
    if tag == wire::REFUSED {
        return Err(me.read_no(&body, wanted));
    }
    let hello = me.check(&body, own, &acceptor, Side::Acceptor, wanted)?;
    let found = hello.bundle.peer_id;
    if found != wanted {
        return Err(LinkError::WrongPeer { wanted, found });
    }
    // TLS has proved that the acceptor has `acceptor`; `check` that it is the link key of its signed bundle.
    if !hello.role.accepts() {
        return Err(LinkError::BadHello { peer: found, reason: "a client accepts links".to_owned() });
    }
    Ok(hello)
}

impl Me {
    pub(super) fn read_no(&self, body: &[u8], peer: PeerId) -> LinkError {
        if let Err(error) = self.check_version(body, peer) {
            return error;
        }
        match borsh::from_slice::<No>(body) {
            Ok(no) if no.deployment != self.deployment => {
                LinkError::DeploymentMismatch { peer, ours: self.deployment, theirs: no.deployment }
            }
            Ok(no) => LinkError::BadHello { peer, reason: format!("it says: {}", no.reason) },
            Err(error) => LinkError::BadHello { peer, reason: format!("malformed refusal: {error}") },
        }
    }
}

/// The acceptor's half: takes the first stream of `conn`. The caller sets a deadline, and closes on an error.
pub(super) async fn accept(
    me: &Me,
    conn: &Connection,
    own: &[u8; 32],
    limits: &Limits,
) -> Result<Hello, LinkError> {
    // Until it proves another, the dialer goes by the key of its endpoint.
    let dialer = *conn.remote_id().as_bytes();
    let peer = PeerId(dialer);
    let lost = |error: WireError| LinkError::Unreachable { peer, reason: error.to_string() };
    let (mut send, recv): (SendStream, RecvStream) =
        conn.accept_bi().await.map_err(|error| lost(WireError::Lost(error.to_string())))?;
    let (tag, body) = Reader::new(recv).one(hello_size).await.map_err(lost)?;
    let checked = if tag == wire::OK {
        me.check(&body, &dialer, own, Side::Dialer, peer)
    } else {
        Err(LinkError::BadHello { peer, reason: "it does not begin with a hello".to_owned() })
    };
    let (tag, answer) = match &checked {
        Ok(_) => (wire::OK, encode(&me.hello(&dialer, own, Side::Acceptor))),
        Err(error) => {
            let reason: String = error.to_string().chars().take(100).collect();
            let no = No { version: me.version, deployment: me.deployment, reason };
            (wire::REFUSED, encode(&no))
        }
    };
    wire::write(&mut send, tag, answer, limits.stall).await.map_err(lost)?;
    let _ = send.finish();
    if checked.is_err() {
        // The refusal has to arrive before the connection is closed; the deadline of the caller bounds this.
        let _ = send.stopped().await;
    }
    checked
}
