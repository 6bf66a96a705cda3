//! Every bound of the streams and pages: the status, the hint, and that a place comes back.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use tonic::Status;
use zipnet_proto::v1::{
    CancelRequest, GetReceiptRequest, ListRequest, MessageState, ReadRequest, SendRequest, StatusRequest,
    VerifyLogRequest, WatchRequest, verify_log_item,
};
use zipnet_proto::{Reason, Refused};
use zipnetd::control::Limits;
use zipnetd::core::config::MAX_RECEIPT_BYTES;

use super::fake::{Fake, Served, reason};

const LONG: Duration = Duration::from_secs(30);

fn busy(status: &Status) {
    let refused = Refused::of(status).unwrap_or_else(|| panic!("{status:?}"));
    assert_eq!(refused.reason, Reason::TooManyCallers);
    assert_eq!(refused.retry_after, Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn subscribers_are_bounded_apart_from_readers_and_a_place_comes_back() {
    let limits = Limits { readers: 1, subscribers: 1, ..Limits::default() };
    let served = Served::new(Fake::default(), limits).await;
    let mut verbs = served.verbs().await;
    let mut first = verbs.watch(WatchRequest::default()).await.unwrap().into_inner();
    first.message().await.unwrap().unwrap();
    let _reader = verbs.read(ReadRequest { from_round: None, follow: true }).await.unwrap();
    busy(&verbs.watch(WatchRequest::default()).await.err().unwrap());
    busy(&verbs.read(ReadRequest::default()).await.err().unwrap());
    drop(first);
    let again = async {
        while verbs.watch(WatchRequest::default()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, again).await.unwrap();
}

#[tokio::test]
async fn walks_through_the_log_are_bounded_per_user_and_a_place_comes_back() {
    let served = Served::new(Fake::default(), Limits::default()).await;
    let mut verbs = served.verbs().await;
    let server = "00".repeat(32);
    let request = VerifyLogRequest { from_round: 7, server: server.clone() };
    let mut first = verbs.verify_log(request).await.unwrap().into_inner();
    let Some(verify_log_item::Item::Progress(said)) = first.message().await.unwrap().unwrap().item else {
        panic!("no progress mark")
    };
    assert_eq!((said.next_round, said.server), (7, server));
    busy(&verbs.verify_log(VerifyLogRequest::default()).await.err().unwrap());
    let _reader = verbs.read(ReadRequest { from_round: None, follow: true }).await.unwrap();
    drop(first);
    let again = async {
        while verbs.verify_log(VerifyLogRequest::default()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, again).await.unwrap();
    for wrong in ["5151".to_owned(), "g".repeat(64), "0".repeat(65)] {
        let request = VerifyLogRequest { from_round: 0, server: wrong };
        assert_eq!(reason(&verbs.verify_log(request).await.err().unwrap()), Reason::InvalidRequest);
    }
}

#[tokio::test]
async fn a_watcher_that_takes_nothing_is_told_where_to_resume() {
    let limits = Limits { stream_stall: Duration::from_millis(100), stream_items: 2, ..Limits::default() };
    // More than the windows of HTTP/2 and the socket's buffers hold.
    let fake = Fake { rounds: 400, bytes: 60_000, ..Fake::default() };
    let served = Served::new(fake, limits).await;
    let mut verbs = served.verbs().await;
    let mut stream = verbs.watch(WatchRequest::default()).await.unwrap().into_inner();
    let mut cursor = String::new();
    let lagged = loop {
        // The daemon gives up on it while it takes nothing.
        tokio::time::sleep(Duration::from_millis(250)).await;
        match stream.message().await {
            Ok(item) => cursor = item.expect("it has no end").cursor,
            Err(status) => break status,
        }
    };
    assert_eq!(reason(&lagged), Reason::Lagged);
    assert!(lagged.message().ends_with(&format!("resume at cursor {cursor}")), "{lagged} after {cursor}");
    let mut stream = verbs
        .watch(WatchRequest { message_id: String::new(), cursor: cursor.clone() })
        .await
        .unwrap()
        .into_inner();
    let next = stream.message().await.unwrap().unwrap().cursor;
    assert_eq!(next.parse::<u64>().unwrap(), cursor.parse::<u64>().unwrap() + 1);
}

#[tokio::test]
async fn watches_end_with_draining_and_hold_nothing_up() {
    let served = Served::new(Fake::default(), Limits::default()).await;
    let mut stream = served.verbs().await.watch(WatchRequest::default()).await.unwrap().into_inner();
    stream.message().await.unwrap();
    timeout(LONG, served.control.stop(Duration::from_secs(3))).await.unwrap();
    let end = loop {
        match stream.message().await {
            Ok(item) => drop(item.expect("it does not just end")),
            Err(status) => break status,
        }
    };
    assert_eq!(reason(&end), Reason::Draining);
}

#[tokio::test]
async fn a_connection_waits_with_more_calls_than_it_may_have() {
    let fake = Fake { gate: Some(Notify::new()), ..Fake::default() };
    let served = Served::new(fake, Limits { streams_per_connection: 1, ..Limits::default() }).await;
    let mut verbs = served.verbs().await;
    // One call first: it brings the setting to this end.
    verbs.status(StatusRequest {}).await.unwrap();
    let mut waiting = verbs.clone();
    let waiter = tokio::spawn(async move { waiting.send(SendRequest::default()).await });
    served.fake.calls.subscribe().wait_for(|n| *n == 1).await.unwrap();
    let second = tokio::spawn(async move { verbs.status(StatusRequest {}).await });
    // Somebody else is served meanwhile; the second call of that connection is not.
    for _ in 0..20 {
        served.verbs().await.status(StatusRequest {}).await.unwrap();
    }
    assert!(!second.is_finished());
    served.fake.gate.as_ref().unwrap().notify_one();
    waiter.await.unwrap().unwrap();
    timeout(LONG, second).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn pages_are_cut_and_malformed_requests_refused() {
    let served = Served::new(Fake::default(), Limits::default()).await;
    let mut verbs = served.verbs().await;
    let mut list = async |states: &[i32], limit, page: &str| {
        let request = ListRequest { states: states.to_vec(), limit, page: page.to_owned() };
        verbs.list(request).await.map(|answer| answer.into_inner().next_page)
    };
    assert_eq!(list(&[], 0, "").await.unwrap(), "[] 100 None");
    assert_eq!(list(&[], 1_000, "").await.unwrap(), "[] 1000 None");
    assert_eq!(list(&[], 1_001, "x").await.unwrap(), "[] 1000 Some(\"x\")");
    let sealed = MessageState::Sealed as i32;
    assert_eq!(list(&[sealed, sealed], 7, "").await.unwrap(), "[Sealed] 7 None");
    for bad in [0, 99, -1] {
        assert_eq!(reason(&list(&[bad], 0, "").await.unwrap_err()), Reason::InvalidRequest);
    }
    let long = "x".repeat(65);
    assert_eq!(reason(&list(&[], 0, &long).await.unwrap_err()), Reason::InvalidRequest);
    let cancel = verbs.cancel(CancelRequest { message_id: long.clone() }).await.unwrap_err();
    assert_eq!(reason(&cancel), Reason::InvalidRequest);
    let watch = verbs.watch(WatchRequest { message_id: String::new(), cursor: long }).await.err().unwrap();
    assert_eq!(reason(&watch), Reason::InvalidRequest);
}

#[tokio::test]
async fn the_longest_receipt_fits_an_answer() {
    let served = Served::new(Fake::default(), Limits::default()).await;
    let mut verbs = served.verbs().await.max_decoding_message_size(zipnet_proto::MAX_GRPC_RESPONSE_BYTES);
    let message_id = MAX_RECEIPT_BYTES.to_string();
    let answer = verbs.get_receipt(GetReceiptRequest { message_id }).await.unwrap().into_inner();
    assert_eq!(answer.receipt.len(), MAX_RECEIPT_BYTES);
}
