//! For the crate `fuzz/`: what reads the bytes of strangers, without a connection.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use zeroize::Zeroizing;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::DeploymentId;

use super::hello::{self, Me};
use super::kind::Kind;
use super::wire::{self, Reader, Source, WireError};
use super::{LinkError, Refusal, Role};

/// A stream that brings these bytes in small pieces.
struct Pieces<'a>(&'a [u8]);

impl Pieces<'_> {
    fn take(&mut self, max: usize) -> Option<&[u8]> {
        // 1 to 7 bytes, as the bytes themselves have it.
        let size = self.0.first().map(|byte| usize::from(byte % 7) + 1)?;
        let (piece, rest) = self.0.split_at(size.min(max).min(self.0.len()));
        self.0 = rest;
        Some(piece)
    }
}

impl Source for Pieces<'_> {
    async fn some(&mut self, into: &mut [u8]) -> Result<Option<usize>, WireError> {
        let Some(piece) = self.take(into.len()) else { return Ok(None) };
        into[..piece.len()].copy_from_slice(piece);
        Ok(Some(piece.len()))
    }

    async fn chunk(&mut self, max: usize) -> Result<Option<Bytes>, WireError> {
        Ok(self.take(max).map(Bytes::copy_from_slice))
    }
}

/// Reads requests, as an acceptor does from a stranger and from a server, and then answers, as a caller does. No message is
/// longer than its kind allows.
pub fn frames(bytes: &[u8]) {
    for role in [Role::Client, Role::Server] {
        let max = |tag| Kind::from_byte(tag).filter(|kind| kind.allows(role)).map(Kind::max_request);
        drain(bytes, max);
    }
    drain(bytes, |tag| match tag {
        wire::OK => Some(Kind::Envelope.max_answer()),
        wire::REFUSED => Some(1_024),
        wire::END => Some(0),
        _ => None,
    });
}

fn drain(bytes: &[u8], max: impl Fn(u8) -> Option<usize>) {
    let mut reader = Reader::new(Pieces(bytes));
    loop {
        let next = reader.next(&max).now_or_never().expect("invariant: the pieces are there");
        let Ok(Some((tag, body))) = next else { return };
        assert!(max(tag).is_some_and(|max| body.len() <= max), "{} bytes of tag {tag}", body.len());
        let _ = Refusal::decode::<Refusal>(&body);
    }
}

const DEPLOYMENT: DeploymentId = DeploymentId([9; 32]);
const DIALER: [u8; 32] = [1; 32];

fn me(seed: u8, role: Role) -> Me {
    let identity = Arc::new(Identity::from_seed(Zeroizing::new([seed; 32])));
    let bundle = if role.accepts() { identity.server_bundle() } else { identity.client_bundle() };
    Me { identity, deployment: DEPLOYMENT, role, bundle, version: hello::VERSION }
}

/// Takes the bytes for the other side's hello, as an acceptor and as a dialer, and for an acceptor's no. Nobody but the
/// honest two are believed.
pub fn hello(bytes: &[u8]) {
    let (client, server) = (me(2, Role::Client), me(3, Role::Server));
    let acceptor = server.bundle.link_pk;
    if let Ok(hello) = server.take_dialer(bytes, &DIALER, &acceptor) {
        assert_eq!(hello.bundle, client.bundle, "somebody else's hello is believed");
    }
    if let Ok(hello) = client.take_acceptor(bytes, &DIALER, &acceptor) {
        assert_eq!(hello.bundle, server.bundle, "somebody else's hello is believed");
    }
    let no = client.read_no(bytes, server.bundle.peer_id);
    assert!(!matches!(no, LinkError::Refused(_)) && no.to_string().len() < 4_096);
}

/// What the two say to each other, and a no.
pub fn hellos() -> Vec<Vec<u8>> {
    let (client, server) = (me(2, Role::Client), me(3, Role::Server));
    hello::samples(&client, &server, &DIALER)
}
