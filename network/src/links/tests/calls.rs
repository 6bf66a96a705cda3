//! Calls: answers, refusals, limits to the byte, many at once.

use futures::future::join_all;

use super::*;
use crate::links::LinkError;

#[tokio::test]
async fn a_call_is_answered_and_the_caller_is_known() {
    let (server, addr) = server(Echo::new(), Limits::default()).await;
    let client = client(2).await;
    let link = client.link(addr.clone());
    assert!(!link.is_up());
    assert_eq!(link.call(Kind::Envelope, b"hello".to_vec(), PATIENCE).await.unwrap(), b"hello");
    assert!(link.is_up());
    assert_eq!(link.call(Kind::Envelope, Vec::new(), PATIENCE).await.unwrap(), b"");
    let who = link.call(Kind::Envelope, b"who".to_vec(), PATIENCE).await.unwrap();
    assert_eq!(who, identity(2).peer_id().0);
    let remote = link.remote().unwrap();
    assert_eq!((remote.peer_id, remote.role), (identity(1).peer_id(), Role::Server));
    assert_eq!(remote.bundle, identity(1).server_bundle());
    assert_eq!(remote.addr, addr.addrs[0]);
    client.close().await;
    server.close().await;
    assert_eq!(link.call(Kind::Envelope, b"x".to_vec(), PATIENCE).await, Err(LinkError::Closed));
}

#[tokio::test]
async fn a_refusal_reaches_the_caller() {
    let (server, addr) = server(Echo::new(), Limits::default()).await;
    let client = client(2).await;
    let link = client.link(addr);
    let refused = link.call(Kind::Envelope, b"refuse".to_vec(), PATIENCE).await;
    assert_eq!(refused, Err(LinkError::Refused(Refusal::new(42, "no"))));
    let refused = link.call(Kind::RaftVote, b"x".to_vec(), PATIENCE).await;
    assert!(
        matches!(refused, Err(LinkError::Refused(Refusal { code: Refusal::NOT_ALLOWED, .. }))),
        "{refused:?}"
    );
    let shape = link.call(Kind::Events, b"x".to_vec(), PATIENCE).await;
    assert_eq!(shape, Err(LinkError::WrongShape(Kind::Events)));
    client.close().await;
    server.close().await;
}

#[tokio::test]
async fn requests_are_limited_to_the_byte_at_the_caller() {
    let (server, addr) = server(Echo::new(), Limits::default()).await;
    let client = client(2).await;
    let link = client.link(addr);
    let max = Kind::Roster.max_request();
    assert_eq!(link.call(Kind::Roster, vec![7; max], PATIENCE).await.unwrap(), vec![7; max]);
    let over = link.call(Kind::Roster, vec![7; max + 1], PATIENCE).await;
    assert_eq!(over, Err(LinkError::TooLong { kind: Kind::Roster, len: max + 1, max }));
    client.close().await;
    server.close().await;
}

#[tokio::test]
async fn answers_are_limited_to_the_byte_at_the_acceptor() {
    let (server, addr) = server(Echo::new(), Limits::default()).await;
    let client = client(2).await;
    let link = client.link(addr);
    let ask = |n: usize| [&b"size"[..], &u32::try_from(n).unwrap().to_le_bytes()].concat();
    let max = Kind::Roster.max_answer();
    assert_eq!(link.call(Kind::Roster, ask(max), PATIENCE).await.unwrap().len(), max);
    let over = link.call(Kind::Roster, ask(max + 1), PATIENCE).await;
    assert!(
        matches!(over, Err(LinkError::Refused(Refusal { code: Refusal::ANSWER_TOO_LONG, .. }))),
        "{over:?}"
    );
    client.close().await;
    server.close().await;
}

#[tokio::test]
async fn two_hundred_calls_at_once_share_a_connection() {
    let (server, addr) = server(Echo::new(), Limits::default()).await;
    let client = client(2).await;
    let link = client.link(addr);
    let calls = (0..200u32).map(|n| {
        let link = link.clone();
        async move {
            let body = n.to_string().repeat(2_000).into_bytes();
            (link.call(Kind::Roster, body[..200].to_vec(), PATIENCE).await.unwrap(), body[..200].to_vec())
        }
    });
    for (answer, body) in join_all(calls).await {
        assert_eq!(answer, body);
    }
    client.close().await;
    server.close().await;
}

#[tokio::test]
async fn a_call_without_an_answer_ends_at_its_deadline() {
    let (server, addr) = server(Echo::new(), Limits::default()).await;
    let client = client(2).await;
    let link = client.link(addr);
    link.ready(PATIENCE).await.unwrap();
    let after = Duration::from_millis(50);
    let late = link.call(Kind::Envelope, b"forever".to_vec(), after).await;
    assert_eq!(late, Err(LinkError::Timeout { peer: identity(1).peer_id(), kind: Kind::Envelope, after }));
    // The link is as good as before.
    link.call(Kind::Envelope, b"hello".to_vec(), PATIENCE).await.unwrap();
    client.close().await;
    server.close().await;
}

#[tokio::test]
async fn requests_of_one_peer_are_limited_across_its_connections() {
    let limits = Limits { requests_per_peer: 2, ..Limits::default() };
    let (server, addr) = server(Echo::new(), limits).await;
    let client = client(2).await;
    let links = [client.link(addr.clone()), client.link(addr)];
    let hang = Duration::from_millis(100);
    for link in &links {
        link.ready(PATIENCE).await.unwrap();
        link.call(Kind::Envelope, b"forever".to_vec(), hang).await.unwrap_err();
    }
    for link in &links {
        let busy = link.call(Kind::Envelope, b"x".to_vec(), PATIENCE).await;
        assert!(matches!(busy, Err(LinkError::Refused(Refusal { code: Refusal::BUSY, .. }))), "{busy:?}");
    }
    client.close().await;
    server.close().await;
}
