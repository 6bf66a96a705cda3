//! Streams: order, ends, back-pressure, stalled and vanished readers.

use super::*;
use crate::links::LinkError;

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn frames_come_in_order_and_the_stream_ends() {
    let (echo, _ends) = Echo::streaming(vec![0, 1, 100_000, Kind::Events.max_answer()]);
    let (server, addr) = server(echo, Limits::default()).await;
    let client = client(2).await;
    let link = client.link(addr);
    let mut stream = link.open(Kind::Events, Vec::new()).await.unwrap();
    for (i, len) in [0, 1, 100_000, Kind::Events.max_answer()].into_iter().enumerate() {
        assert_eq!(stream.next().await.unwrap().unwrap(), vec![i as u8; len]);
    }
    assert_eq!(stream.next().await.unwrap(), None);
    assert_eq!(stream.next().await.unwrap(), None);
    let mut stream = link.open(Kind::Events, b"refuse".to_vec()).await.unwrap();
    for _ in 0..4 {
        stream.next().await.unwrap().unwrap();
    }
    assert_eq!(stream.next().await, Err(LinkError::Refused(Refusal::new(42, "no more"))));
    assert_eq!(stream.next().await.unwrap(), None);
    client.close().await;
    server.close().await;
}

#[tokio::test]
async fn a_frame_beyond_the_limit_is_not_sent() {
    let (echo, _ends) = Echo::streaming(vec![Kind::Events.max_answer() + 1]);
    let (server, addr) = server(echo, Limits::default()).await;
    let client = client(2).await;
    let mut stream = client.link(addr).open(Kind::Events, Vec::new()).await.unwrap();
    let error = stream.next().await.unwrap_err();
    assert!(matches!(error, LinkError::Refused(Refusal { code: 43, .. })), "{error}");
    client.close().await;
    server.close().await;
}

#[tokio::test]
async fn reading_is_cancel_safe() {
    let (echo, _ends) = Echo::streaming(vec![100_000; 20]);
    let (server, addr) = server(echo, Limits::default()).await;
    let client = client(2).await;
    let link = client.link(addr);
    let mut stream = link.open(Kind::Events, Vec::new()).await.unwrap();
    let mut seen = 0;
    loop {
        // Gives up on every poll that is not ready at once, in the middle of heads and bodies.
        match stream.next().now_or_never() {
            Some(Ok(Some(frame))) => {
                assert_eq!(frame, vec![seen; 100_000]);
                seen += 1;
            }
            Some(Ok(None)) => break,
            Some(Err(error)) => panic!("{error}"),
            None => tokio::task::yield_now().await,
        }
    }
    assert_eq!(seen, 20);
    client.close().await;
    server.close().await;
}

#[tokio::test]
async fn a_slow_reader_holds_the_service_back_and_loses_nothing() {
    let (echo, mut ends) = Echo::streaming(vec![MIB; 64]);
    let (server, addr) = server(echo, Limits::default()).await;
    let client = client(2).await;
    let link = client.link(addr);
    let mut stream = link.open(Kind::Events, Vec::new()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    // 63 MiB are left. They do not fit the windows, so the service cannot have finished.
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(ends.try_recv().is_err());
    }
    for i in 1..64 {
        assert_eq!(stream.next().await.unwrap().unwrap()[0], i);
    }
    assert_eq!(stream.next().await.unwrap(), None);
    assert_eq!(ends.recv().await, Some(64));
    client.close().await;
    server.close().await;
}

#[tokio::test]
async fn a_stalled_reader_is_dropped() {
    let limits = Limits { stall: Duration::from_millis(200), ..Limits::default() };
    let (echo, mut ends) = Echo::streaming(vec![MIB; 64]);
    let (server, addr) = server(echo, limits).await;
    let client = client(2).await;
    let link = client.link(addr);
    let mut stream = link.open(Kind::Events, Vec::new()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let taken = ends.recv().await.unwrap();
    assert!(taken < 64, "all {taken} frames were taken by nobody");
    // What had been sent may still be read; then the stream breaks off.
    let end = loop {
        match stream.next().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert!(matches!(end, Err(LinkError::Lost { .. })), "{end:?}");
    // The link itself is fine.
    link.call(Kind::Envelope, b"hello".to_vec(), PATIENCE).await.unwrap();
    client.close().await;
    server.close().await;
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_service_s_stream() {
    let (echo, mut ends) = Echo::streaming(vec![MIB; 64]);
    let (server, addr) = server(echo, Limits::default()).await;
    let client = client(2).await;
    let link = client.link(addr);
    let mut stream = link.open(Kind::Events, Vec::new()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    assert!(ends.recv().await.unwrap() < 64);
    client.close().await;
    server.close().await;
}
