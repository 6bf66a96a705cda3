//! Peers that do not keep to the protocol, on raw iroh endpoints.

use bytes::Bytes;
use iroh::endpoint::{Connection, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode, SecretKey, TransportAddr};

use super::*;
use crate::links::hello::{ALPN, Me, VERSION};
use crate::links::wire::{self, Reader};
use crate::links::{LinkError, Shape};

async fn raw(secret: SecretKey) -> Endpoint {
    Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .secret_key(secret)
        .alpns(vec![ALPN.to_vec()])
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0")
        .unwrap()
        .bind()
        .await
        .unwrap()
}

async fn connect(endpoint: &Endpoint, addr: &LinkAddr) -> Connection {
    let id = EndpointId::from_bytes(&addr.link_pk).unwrap();
    let at = EndpointAddr::from_parts(id, addr.addrs.iter().copied().map(TransportAddr::Ip));
    endpoint.connect(at, ALPN).await.unwrap()
}

fn me(n: u8, role: Role) -> Me {
    let identity = identity(n);
    let bundle = if role.accepts() { identity.server_bundle() } else { identity.client_bundle() };
    Me { identity, deployment: DEPLOYMENT, role, bundle, version: VERSION }
}

/// Dials as `me` from an endpoint with another key than the one that it signs.
async fn dial(
    me: &Me,
    endpoint: &Endpoint,
    own: &[u8; 32],
    addr: &LinkAddr,
) -> Result<Connection, LinkError> {
    let conn = connect(endpoint, addr).await;
    hello::dial(me, &conn, own, addr.peer_id, &Limits::default()).await.map(|_| conn)
}

#[tokio::test]
async fn impostors_are_refused() {
    let (server, addr) = server(Echo::new(), Limits::default()).await;
    let endpoint = raw(SecretKey::generate()).await;
    let own = *endpoint.id().as_bytes();

    // The honest one, to see that the rest of the test would notice.
    dial(&me(2, Role::Client), &endpoint, &own, &addr).await.unwrap();
    // Somebody else's bundle, signed with the own key.
    let mut stolen = me(2, Role::Client);
    stolen.bundle = identity(3).client_bundle();
    // A hello that its owner signed for another endpoint.
    let replayed = me(2, Role::Client);
    let other = [5; 32];
    // A server's bundle from an endpoint that does not have its link key.
    let elsewhere = me(3, Role::Server);
    for (me, own) in [(stolen, own), (replayed, other), (elsewhere, own)] {
        let error = dial(&me, &endpoint, &own, &addr).await.err().unwrap();
        assert!(matches!(error, LinkError::BadHello { .. }), "{error}");
    }
    endpoint.close().await;
    server.close().await;
}

#[tokio::test]
async fn an_acceptor_that_is_not_who_it_claims_is_no_link() {
    let secret = SecretKey::from_bytes(&identity(1).link_secret());
    let endpoint = raw(secret).await;
    let addrs = endpoint.bound_sockets();
    let addr = LinkAddr { peer_id: identity(3).peer_id(), link_pk: *endpoint.id().as_bytes(), addrs };
    // It claims to be 3 but signs as 1: its own key cannot sign for 3.
    let acceptor = endpoint.clone();
    tokio::spawn(async move {
        let mut liar = me(1, Role::Server);
        liar.bundle =
            zipnet_dcnet::ids::Bundle { link_pk: *acceptor.id().as_bytes(), ..identity(3).server_bundle() };
        while let Some(incoming) = acceptor.accept().await {
            let conn = incoming.await.unwrap();
            let _ = hello::accept(&liar, &conn, acceptor.id().as_bytes(), &Limits::default()).await;
            conn.closed().await;
        }
    });
    let client = client(2).await;
    let error = client.link(addr).ready(PATIENCE).await.unwrap_err();
    assert!(matches!(error, LinkError::BadHello { .. }), "{error}");
    client.close().await;
    endpoint.close().await;
}

#[tokio::test]
async fn requests_are_limited_to_the_byte_at_the_acceptor() {
    let (server, addr) = server(Echo::new(), Limits::default()).await;
    let endpoint = raw(SecretKey::generate()).await;
    let own = *endpoint.id().as_bytes();
    let conn = dial(&me(2, Role::Client), &endpoint, &own, &addr).await.unwrap();
    let max = Kind::Roster.max_request();
    for (len, expected) in [(max, wire::OK), (max + 1, wire::REFUSED)] {
        let (mut send, recv) = conn.open_bi().await.unwrap();
        wire::write(&mut send, Kind::Roster as u8, Bytes::from(vec![7; len]), PATIENCE).await.unwrap();
        let (tag, body) = Reader::new(recv).one(|_| Some(1024)).await.unwrap();
        assert_eq!(tag, expected);
        if tag == wire::REFUSED {
            let refusal: Refusal = borsh::from_slice(&body).unwrap();
            assert_eq!(refusal.code, Refusal::REQUEST_TOO_LONG);
        }
    }
    // An unknown kind, and a length that is a lie about 4 GB: refused from the head alone.
    for head in [[0, 1, 0, 0, 0], [200, 0, 0, 0, 0], [Kind::Envelope as u8, 255, 255, 255, 255]] {
        let (mut send, recv) = conn.open_bi().await.unwrap();
        send.write_all(&head).await.unwrap();
        let (tag, _) = Reader::new(recv).one(|_| Some(1024)).await.unwrap();
        assert_eq!(tag, wire::REFUSED);
    }
    endpoint.close().await;
    server.close().await;
}

#[tokio::test]
async fn a_request_that_does_not_arrive_is_given_up() {
    let limits = Limits { request: Duration::from_millis(100), ..Limits::default() };
    let (server, addr) = server(Echo::new(), limits).await;
    let endpoint = raw(SecretKey::generate()).await;
    let own = *endpoint.id().as_bytes();
    let conn = dial(&me(2, Role::Client), &endpoint, &own, &addr).await.unwrap();
    let (mut send, recv) = conn.open_bi().await.unwrap();
    send.write_all(&[Kind::Roster as u8, 10, 0, 0, 0, 1]).await.unwrap();
    let (tag, body) = Reader::new(recv).one(|_| Some(1024)).await.unwrap();
    assert_eq!(tag, wire::REFUSED);
    assert_eq!(borsh::from_slice::<Refusal>(&body).unwrap().code, Refusal::TOO_SLOW);
    endpoint.close().await;
    server.close().await;
}

#[tokio::test]
async fn a_dialer_without_a_hello_is_shown_the_door() {
    let limits = Limits { hello: Duration::from_millis(200), ..Limits::default() };
    let (server, addr) = server(Echo::new(), limits).await;
    let endpoint = raw(SecretKey::generate()).await;
    let conn = connect(&endpoint, &addr).await;
    tokio::time::timeout(PATIENCE, conn.closed()).await.unwrap();
    endpoint.close().await;
    server.close().await;
}

/// An acceptor that greets properly, then answers every request with these bytes.
async fn answering(bytes: Vec<u8>) -> (Endpoint, LinkAddr) {
    let endpoint = raw(SecretKey::from_bytes(&identity(1).link_secret())).await;
    let addrs = endpoint.bound_sockets();
    let addr = LinkAddr { peer_id: identity(1).peer_id(), link_pk: *endpoint.id().as_bytes(), addrs };
    let acceptor = endpoint.clone();
    tokio::spawn(async move {
        while let Some(incoming) = acceptor.accept().await {
            let conn = incoming.await.unwrap();
            let own = *acceptor.id().as_bytes();
            hello::accept(&me(1, Role::Server), &conn, &own, &Limits::default()).await.unwrap();
            while let Ok((mut send, recv)) = conn.accept_bi().await {
                let _ = Reader::new(recv).one(|_| Some(1024)).await;
                let _ = send.write_all(&bytes).await;
                let _ = send.finish();
            }
        }
    });
    (endpoint, addr)
}

fn message(tag: u8, announced: usize, sent: usize) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend_from_slice(&u32::try_from(announced).unwrap().to_le_bytes());
    out.resize(out.len() + sent, 7);
    out
}

#[tokio::test]
async fn answers_are_limited_to_the_byte_at_the_caller() {
    let max = Kind::Envelope.max_answer();
    let client = client(2).await;
    for (bytes, good) in [
        (message(wire::OK, max, max), true),
        (message(wire::OK, max + 1, max + 1), false),
        // Announced, not there.
        (message(wire::OK, max, max - 1), false),
        (message(wire::REFUSED, 4 * max, 4 * max), false),
        (message(wire::END, 0, 0), false),
        (Vec::new(), false),
    ] {
        let (endpoint, addr) = answering(bytes).await;
        let link = client.link(addr);
        let answer = link.call(Kind::Envelope, b"x".to_vec(), PATIENCE).await;
        match answer {
            Ok(answer) => assert!(good && answer == vec![7; max]),
            Err(LinkError::Lost { .. } | LinkError::TooLong { .. }) => assert!(!good),
            Err(other) => panic!("{other}"),
        }
        endpoint.close().await;
    }
    client.close().await;
}

#[tokio::test]
async fn frames_are_limited_to_the_byte_at_the_reader() {
    assert_eq!(Kind::Events.shape(), Shape::Stream);
    let max = Kind::Events.max_answer();
    let client = client(2).await;
    let (endpoint, addr) = answering(message(wire::OK, max + 1, 10)).await;
    let mut stream = client.link(addr).open(Kind::Events, Vec::new()).await.unwrap();
    let error = stream.next().await.unwrap_err();
    assert_eq!(error, LinkError::TooLong { kind: Kind::Events, len: max + 1, max });
    endpoint.close().await;
    client.close().await;
}
