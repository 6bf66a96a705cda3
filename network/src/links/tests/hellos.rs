//! Who may link with whom.

use super::*;
use crate::links::LinkError;

#[tokio::test]
async fn another_deployment_is_named_on_both_sides() {
    let (server, addr) = server(Echo::new(), Limits::default()).await;
    let ours = DeploymentId([8; 32]);
    let stranger = Links::bind(LinksConfig { deployment: ours, ..config(2, Role::Client) }).await.unwrap();
    let peer = identity(1).peer_id();
    let error = stranger.link(addr.clone()).ready(PATIENCE).await.unwrap_err();
    assert_eq!(error, LinkError::DeploymentMismatch { peer, ours, theirs: DEPLOYMENT });
    assert!(!error.is_transient());
    let error = stranger.link(addr).call(Kind::Envelope, b"x".to_vec(), PATIENCE).await.unwrap_err();
    assert_eq!(error, LinkError::DeploymentMismatch { peer, ours, theirs: DEPLOYMENT });
    stranger.close().await;
    server.close().await;
}

#[tokio::test]
async fn another_version_is_named() {
    let (server, addr) = server(Echo::new(), Limits::default()).await;
    let newer =
        Links::bind_with(config(2, Role::Client), Limits::default(), hello::VERSION + 1).await.unwrap();
    let error = newer.link(addr).ready(PATIENCE).await.unwrap_err();
    let peer = identity(1).peer_id();
    assert_eq!(error, LinkError::VersionMismatch { peer, ours: hello::VERSION + 1, theirs: hello::VERSION });
    newer.close().await;
    server.close().await;
}

#[tokio::test]
async fn another_peer_at_the_address_is_named() {
    let (server, addr) = server(Echo::new(), Limits::default()).await;
    let client = client(2).await;
    let wanted = identity(3).peer_id();
    let error = client.link(LinkAddr { peer_id: wanted, ..addr }).ready(PATIENCE).await.unwrap_err();
    assert_eq!(error, LinkError::WrongPeer { wanted, found: identity(1).peer_id() });
    client.close().await;
    server.close().await;
}

#[tokio::test]
async fn another_endpoint_key_at_the_address_is_no_link() {
    let (server, addr) = server(Echo::new(), Limits::default()).await;
    let client = client(2).await;
    let wrong = LinkAddr { link_pk: identity(3).server_bundle().link_pk, ..addr.clone() };
    let link = client.link(wrong);
    let error = link.ready(Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, LinkError::Unreachable { .. }), "{error}");
    // The right address mends it.
    link.set_addr(addr.clone()).unwrap();
    link.ready(PATIENCE).await.unwrap();
    let other = LinkAddr { peer_id: identity(3).peer_id(), ..addr };
    assert!(matches!(link.set_addr(other), Err(LinkError::WrongPeer { .. })));
    client.close().await;
    server.close().await;
}

#[tokio::test]
async fn a_client_accepts_no_links() {
    let client = client(2).await;
    assert_eq!(client.link_addr(), None);
    client.serve(Arc::new(Echo::new()));
    assert!(client.local_addr().ip().is_loopback());
    client.close().await;
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let (server, addr) = server(Echo::new(), Limits::default()).await;
    let taken = LinksConfig { listen: Some(addr.addrs[0]), ..config(2, Role::Server) };
    let Err(error) = Links::bind(taken).await else { panic!("bound twice") };
    assert!(matches!(&error, LinkError::Bind { addr: named, .. } if *named == addr.addrs[0]), "{error}");
    server.close().await;
}

#[tokio::test]
async fn what_is_announced_can_be_dialled() {
    let announce = vec!["192.0.2.1:4433".parse().unwrap()];
    let links =
        Links::bind(LinksConfig { announce: announce.clone(), ..config(1, Role::Server) }).await.unwrap();
    assert_eq!(links.link_addr().unwrap().addrs, announce);
    links.close().await;
    assert_eq!(links.link_addr(), None);

    let any = LinksConfig { listen: Some("0.0.0.0:0".parse().unwrap()), ..config(1, Role::Server) };
    let links = Links::bind(any).await.unwrap();
    links.serve(Arc::new(Echo::new()));
    let addr = links.link_addr().unwrap();
    assert!(!addr.addrs.is_empty());
    assert!(addr.addrs.iter().all(|addr| !addr.ip().is_unspecified()), "{addr:?}");
    let client = client(2).await;
    client.link(addr).ready(PATIENCE).await.unwrap();
    client.close().await;
    links.close().await;
}
