//! Connections that come and go: restarts, limits, silence.

use super::*;
use crate::links::LinkError;

#[tokio::test]
async fn a_link_comes_back_after_the_acceptor_restarts_on_its_address() {
    let (first, addr) = server(Echo::new(), Limits::default()).await;
    let client = client(2).await;
    let link = client.link(addr.clone());
    link.ready(PATIENCE).await.unwrap();
    let mut stream = link.open(Kind::Events, Vec::new()).await.unwrap();
    assert_eq!(stream.next().await.unwrap(), None);
    first.close().await;
    until("the link is down", || !link.is_up()).await;
    let down = link.call(Kind::Envelope, b"x".to_vec(), Duration::from_millis(50)).await.unwrap_err();
    assert!(down.is_transient(), "{down}");
    drop(first);

    // A call during the outage waits for the reconnect.
    let waiting = {
        let link = link.clone();
        tokio::spawn(async move { link.call(Kind::Envelope, b"late".to_vec(), PATIENCE).await })
    };
    let again = rebind(addr.addrs[0]).await;
    again.serve(Arc::new(Echo::new()));
    assert_eq!(waiting.await.unwrap().unwrap(), b"late");
    assert!(link.is_up());
    client.close().await;
    again.close().await;
}

/// The sockets are freed when the last task of the old endpoint has ended.
async fn rebind(listen: SocketAddr) -> Links {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        match Links::bind(LinksConfig { listen: Some(listen), ..config(1, Role::Server) }).await {
            Ok(links) => return links,
            Err(error) => assert!(tokio::time::Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_call_waits_for_an_acceptor_that_starts_to_serve_later() {
    let links = Links::bind(config(1, Role::Server)).await.unwrap();
    let client = client(2).await;
    let link = client.link(links.link_addr().unwrap());
    let waiting = tokio::spawn(async move { link.call(Kind::Envelope, b"early".to_vec(), PATIENCE).await });
    tokio::task::yield_now().await;
    links.serve(Arc::new(Echo::new()));
    assert_eq!(waiting.await.unwrap().unwrap(), b"early");
    client.close().await;
    links.close().await;
}

#[tokio::test]
async fn a_third_connection_of_a_peer_replaces_its_first() {
    let (server, addr) = server(Echo::new(), Limits::default()).await;
    // Three processes of one identity, so to speak; none comes back once replaced, because its handle is dropped.
    let clients = [client(2).await, client(2).await, client(2).await];
    let links: Vec<_> = clients.iter().map(|client| client.link(addr.clone())).collect();
    for link in &links[..2] {
        link.ready(PATIENCE).await.unwrap();
    }
    assert!(links[0].is_up() && links[1].is_up());
    links[2].ready(PATIENCE).await.unwrap();
    until("the first is closed", || !links[0].is_up()).await;
    links[2].call(Kind::Envelope, b"x".to_vec(), PATIENCE).await.unwrap();
    for client in clients {
        client.close().await;
    }
    server.close().await;
}

#[tokio::test]
async fn connections_beyond_the_total_are_refused_until_one_ends() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let (server, addr) = server(Echo::new(), limits).await;
    let clients = [client(2).await, client(3).await, client(4).await];
    let links: Vec<_> = clients.iter().map(|client| client.link(addr.clone())).collect();
    links[0].ready(PATIENCE).await.unwrap();
    links[1].ready(PATIENCE).await.unwrap();
    let full = links[2].ready(Duration::from_millis(500)).await.unwrap_err();
    assert!(full.is_transient(), "{full}");
    clients[0].close().await;
    links[2].ready(PATIENCE).await.unwrap();
    for client in &clients[1..] {
        client.close().await;
    }
    server.close().await;
}

#[tokio::test]
async fn the_last_handle_or_stream_to_go_closes_the_connection() {
    let (echo, _ends) = Echo::streaming(vec![1024 * 1024; 64]);
    let limits = Limits { connections: 1, ..Limits::default() };
    let (server, addr) = server(echo, limits).await;
    let (first, second) = (client(2).await, client(3).await);
    let link = first.link(addr.clone());
    let twin = link.clone();
    let mut stream = link.open(Kind::Events, Vec::new()).await.unwrap();
    drop(link);
    twin.call(Kind::Envelope, b"x".to_vec(), PATIENCE).await.unwrap();
    drop(twin);
    for _ in 0..32 {
        stream.next().await.unwrap().unwrap();
    }
    drop(stream);
    // There is room for one: the second gets in when the first has gone.
    second.link(addr).ready(PATIENCE).await.unwrap();
    first.close().await;
    second.close().await;
    server.close().await;
}

/// Calls until one is answered; how long that took.
async fn answered_again(link: &crate::links::Link) -> Duration {
    let start = tokio::time::Instant::now();
    while link.call(Kind::Envelope, b"x".to_vec(), Duration::from_millis(300)).await.is_err() {
        assert!(start.elapsed() < PATIENCE, "never redialled");
    }
    start.elapsed()
}

#[tokio::test]
async fn an_acceptor_that_died_without_a_word_is_redialled_before_the_connection_times_out() {
    // The network turns to a second process with the same identity; the first never says goodbye.
    let (first, addr) = server(Echo::new(), Limits::default()).await;
    let (second, reborn) = server(Echo::new(), Limits::default()).await;
    let path = UdpPath::start(addr.addrs[0]).await;
    let client = client(2).await;
    let link = client.link(LinkAddr { addrs: vec![path.addr], ..addr });
    link.call(Kind::Envelope, b"x".to_vec(), PATIENCE).await.unwrap();
    path.to.send_replace(Some(reborn.addrs[0]));
    let took = answered_again(&link).await;
    assert!(took < crate::links::limits::IDLE_TIMEOUT, "only after {took:?}");
    client.close().await;
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn an_acceptor_that_moved_without_a_word_is_found_at_its_new_address() {
    let (server, addr) = server(Echo::new(), Limits::default()).await;
    let path = UdpPath::start(addr.addrs[0]).await;
    let client = client(2).await;
    let link = client.link(LinkAddr { addrs: vec![path.addr], ..addr.clone() });
    link.call(Kind::Envelope, b"x".to_vec(), PATIENCE).await.unwrap();
    path.to.send_replace(None);
    let dead = link.call(Kind::Envelope, b"x".to_vec(), Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(dead, LinkError::Timeout { .. }), "{dead}");
    link.set_addr(addr).unwrap();
    let took = answered_again(&link).await;
    assert!(took < crate::links::limits::IDLE_TIMEOUT, "only after {took:?}");
    client.close().await;
    server.close().await;
}

/// A path through user space whose far end can be changed, or cut.
struct UdpPath {
    addr: SocketAddr,
    to: tokio::sync::watch::Sender<Option<SocketAddr>>,
}

impl UdpPath {
    async fn start(to: SocketAddr) -> Self {
        let near = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let far = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = near.local_addr().unwrap();
        let to = tokio::sync::watch::Sender::new(Some(to));
        let target = to.subscribe();
        tokio::spawn(async move {
            let mut client = None;
            let (mut a, mut b) = (vec![0; 65_536], vec![0; 65_536]);
            loop {
                tokio::select! {
                    got = near.recv_from(&mut a) => {
                        let (n, from) = got.unwrap();
                        client = Some(from);
                        let to = *target.borrow();
                        if let Some(to) = to {
                            far.send_to(&a[..n], to).await.unwrap();
                        }
                    }
                    got = far.recv_from(&mut b) => {
                        let (n, from) = got.unwrap();
                        let open = *target.borrow() == Some(from);
                        if let Some(client) = client && open {
                            near.send_to(&b[..n], client).await.unwrap();
                        }
                    }
                }
            }
        });
        Self { addr, to }
    }
}
