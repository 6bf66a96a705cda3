//! The verbs through the typed client, and their bounds.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use zipnet_proto::v1::{MessageState, read_item::Item};
use zipnet_proto::{CallError, Client, Health, Reason};
use zipnetd::control::Limits;

use super::fake::{Fake, Served, my_uid, other_uid};

/// Far more than anything here takes; a test that reaches it has failed.
const LONG: Duration = Duration::from_secs(30);

fn reason(error: CallError) -> Reason {
    match error {
        CallError::Refused(refused) => refused.reason,
        other => panic!("not a refusal: {other}"),
    }
}

async fn send(client: &mut Client, payload: &[u8]) -> Result<String, CallError> {
    client.send(payload.to_vec(), None, None).await.map(|sent| sent.message_id)
}

#[tokio::test]
async fn a_message_is_taken_and_looked_at() {
    let served = Served::new(Fake::default(), Limits::default()).await;
    let mut client = served.client().await;
    let ttl = Some(Duration::from_secs(7));
    let sent = client.send(b"hello".to_vec(), Some("mine".into()), ttl).await.unwrap();
    let message = client.get(&sent.message_id).await.unwrap();
    assert_eq!((message.request_id.as_str(), message.length, message.expires_at_ms), ("mine", 5, 7_000));
    assert_eq!(reason(client.get("message-9").await.unwrap_err()), Reason::NotFound);
}

#[tokio::test]
async fn malformed_requests_are_refused_before_the_client_sees_them() {
    let served = Served::new(Fake::default(), Limits::default()).await;
    let mut client = served.client().await;
    let bad_id = client.send(b"x".to_vec(), Some("a b".into()), None).await.unwrap_err();
    assert_eq!(reason(bad_id), Reason::InvalidRequest);
    let no_ttl = client.send(b"x".to_vec(), None, Some(Duration::ZERO)).await.unwrap_err();
    assert_eq!(reason(no_ttl), Reason::InvalidRequest);
    assert_eq!(reason(client.get(&"x".repeat(65)).await.unwrap_err()), Reason::InvalidRequest);
    assert_eq!(*served.fake.calls.borrow(), 0);
    assert_eq!(reason(send(&mut client, b"unknown").await.unwrap_err()), Reason::InstanceUnknown);
}

#[tokio::test]
async fn what_was_broken_off_is_not_called_refused() {
    let served = Served::new(Fake::default(), Limits::default()).await;
    let error = send(&mut served.client().await, b"broken off").await.unwrap_err();
    assert!(
        matches!(error, CallError::Failed { .. }),
        "the caller has to know that it may be queued: {error}"
    );
}

#[tokio::test]
async fn the_kernel_says_who_calls() {
    let own = Served::new(Fake::default(), Limits::default()).await;
    let status = own.client().await.status().await.unwrap();
    assert_eq!(status.why, format!("uid {} sees all: true", my_uid()));

    // A daemon of another user: this one is only a caller, unless it is root.
    let foreign = Served::of(Fake::default(), Limits::default(), other_uid()).await;
    let mut client = foreign.client().await;
    let all = my_uid() == 0;
    assert_eq!(client.status().await.unwrap().why, format!("uid {} sees all: {all}", my_uid()));
    let id = send(&mut client, b"mine").await.unwrap();
    client.get(&id).await.unwrap();
    foreign.fake.messages.lock().unwrap().get_mut(&id).unwrap().0 = other_uid() + 1;
    match client.get(&id).await {
        Ok(_) => assert!(all, "somebody else's message was shown"),
        Err(error) => assert_eq!((reason(error), all), (Reason::NotYours, false)),
    }
}

#[tokio::test]
async fn get_waits_for_the_next_change_only() {
    let served = Served::new(Fake::default(), Limits::default()).await;
    let mut client = served.client().await;
    let id = send(&mut client, b"x").await.unwrap();

    // Not as the caller knows it: at once.
    let got = timeout(LONG, client.get_changed(&id, MessageState::Sealed, LONG)).await.unwrap().unwrap();
    assert_eq!(got.state(), MessageState::Queued);

    let calls = *served.fake.calls.borrow();
    let (waiting, task_id) = (served.client().await, id.clone());
    let waiter = tokio::spawn(async move {
        let mut waiting = waiting;
        waiting.get_changed(&task_id, MessageState::Queued, LONG).await
    });
    served.fake.calls.subscribe().wait_for(|n| *n > calls).await.unwrap();
    served.fake.changes.send_modify(|n| *n += 1);
    served.fake.calls.subscribe().wait_for(|n| *n > calls + 1).await.unwrap();
    assert!(!waiter.is_finished(), "somebody else's change is no answer");
    served.fake.set(&id, MessageState::Published);
    assert_eq!(waiter.await.unwrap().unwrap().state(), MessageState::Published);

    // Terminal: at once, whatever the caller knows.
    let wait = client.get_changed(&id, MessageState::Published, LONG);
    assert_eq!(timeout(LONG, wait).await.unwrap().unwrap().state(), MessageState::Published);
}

#[tokio::test]
async fn the_log_is_read_to_its_end() {
    let served = Served::new(Fake::default(), Limits::default()).await;
    let mut stream = served.client().await.read(Some(2), false).await.unwrap();
    let (mut rounds, mut last) = (Vec::new(), 0);
    while let Some(item) = stream.next().await.unwrap() {
        match item {
            Item::Message(message) => rounds.push(message.round),
            Item::Progress(progress) => last = progress.next_round,
        }
    }
    assert_eq!((rounds, last), (vec![2, 3], 4));
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_told_where_to_resume() {
    let limits = Limits { stream_stall: Duration::from_millis(100), stream_items: 2, ..Limits::default() };
    // More than the windows of HTTP/2 and the socket's buffers hold.
    let fake = Fake { rounds: 400, bytes: 60_000, ..Fake::default() };
    let served = Served::new(fake, limits).await;
    let mut stream = served.client().await.read(Some(1), true).await.unwrap();
    // The daemon gives up on it while it takes nothing: its place among the readers is free again.
    let mut mark = 1;
    let lagged = loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        match stream.next().await {
            Ok(Some(Item::Progress(progress))) => mark = progress.next_round,
            Ok(Some(Item::Message(_))) => {}
            Ok(None) => panic!("a stream that follows has no end"),
            Err(CallError::Refused(refused)) => break refused,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(lagged.reason, Reason::Lagged);
    assert!(lagged.message.ends_with(&format!("resume at round {mark}")), "{} after {mark}", lagged.message);
}

#[tokio::test]
async fn readers_are_bounded_and_a_place_comes_back() {
    let served = Served::new(Fake::default(), Limits { readers: 1, ..Limits::default() }).await;
    let mut client = served.client().await;
    let mut first = client.read(None, true).await.unwrap();
    first.next().await.unwrap();
    let error = client.read(None, true).await.err().unwrap();
    let CallError::Refused(refused) = error else { panic!("{error}") };
    assert_eq!(refused.reason, Reason::TooManyCallers);
    assert!(refused.retry_after.is_some());
    drop(first);
    let again = async {
        while client.read(None, true).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, again).await.unwrap();
}

#[tokio::test]
async fn calls_are_bounded() {
    let fake = Fake { gate: Some(Notify::new()), ..Fake::default() };
    let served = Served::new(fake, Limits { calls: 1, ..Limits::default() }).await;
    let mut waiting = served.client().await;
    let waiter = tokio::spawn(async move { send(&mut waiting, b"x").await });
    served.fake.calls.subscribe().wait_for(|n| *n == 1).await.unwrap();
    let mut client = served.client().await;
    assert_eq!(reason(client.status().await.unwrap_err()), Reason::TooManyCallers);
    served.fake.gate.as_ref().unwrap().notify_one();
    waiter.await.unwrap().unwrap();
    client.status().await.unwrap();
}

#[tokio::test]
async fn connections_are_bounded_per_user() {
    let served = Served::new(Fake::default(), Limits { connections_per_uid: 2, ..Limits::default() }).await;
    let (first, second) = (served.client().await, served.client().await);
    let mut third = UnixStream::connect(served.path()).await.unwrap();
    let closed = timeout(LONG, third.read(&mut [0; 64])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "the third connection is closed at once");
    drop((first, second));
    let again = async {
        while Client::connect(&served.path()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, again).await.unwrap();
}

#[tokio::test]
async fn a_request_beyond_the_limit_never_arrives() {
    let served = Served::new(Fake::default(), Limits::default()).await;
    let mut client = served.client().await;
    let fits = vec![0; zipnet_proto::MAX_PAYLOAD_BYTES];
    send(&mut client, &fits).await.unwrap();
    let error = send(&mut client, &[fits, vec![0]].concat()).await.unwrap_err();
    assert_eq!(reason(error), Reason::MessageTooLong);
    assert_eq!(*served.fake.calls.borrow(), 1);
}

#[tokio::test]
async fn health_tells_whether_messages_are_taken() {
    let served = Served::new(Fake::default(), Limits::default()).await;
    let mut client = served.client().await;
    assert_eq!(client.health().await.unwrap(), Health::NotServing);
    served.control.set_serving(true).await;
    assert_eq!(client.health().await.unwrap(), Health::Serving);
    served.control.drain().await;
    assert_eq!(client.health().await.unwrap(), Health::NotServing);
    assert_eq!(reason(send(&mut client, b"x").await.unwrap_err()), Reason::Draining);
    client.status().await.unwrap();
}

#[tokio::test]
async fn stopping_ends_streams_and_waits_and_is_not_held_up() {
    let served = Served::new(Fake::default(), Limits::default()).await;
    let mut client = served.client().await;
    let id = send(&mut client, b"x").await.unwrap();
    let mut stream = client.read(Some(9), true).await.unwrap();
    let calls = *served.fake.calls.borrow();
    let waiter = tokio::spawn(async move { client.get_changed(&id, MessageState::Queued, LONG).await });
    served.fake.calls.subscribe().wait_for(|n| *n > calls).await.unwrap();
    // A connection that says nothing must not hold the end up.
    let _silent = UnixStream::connect(served.path()).await.unwrap();
    let reader = tokio::spawn(async move { stream.next().await });
    timeout(LONG, served.control.stop(Duration::from_secs(3))).await.unwrap();
    assert_eq!(reason(reader.await.unwrap().unwrap_err()), Reason::Draining);
    assert_eq!(waiter.await.unwrap().unwrap().state(), MessageState::Queued);
}
