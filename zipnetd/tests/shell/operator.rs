//! The operator's verbs, and who the operator is; what reflection tells.

use std::time::Duration;

use tokio::time::timeout;
use zipnet_proto::Reason;
use zipnet_proto::v1::{DrainRequest, SetLogLevelRequest, SetPausedRequest, StatusRequest};
use zipnetd::control::{Ending, Limits};

use super::fake::{Fake, Served, my_uid, other_uid, reason};

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn only_root_and_the_daemons_user_may() {
    let served = Served::of(Fake::default(), Limits::default(), other_uid()).await;
    if my_uid() == 0 {
        // Root may everywhere; the refusal is tested beside its code.
        return;
    }
    let mut verbs = served.verbs().await;
    let drain = verbs.drain(DrainRequest { now: true }).await.unwrap_err();
    let pause = verbs.set_paused(SetPausedRequest { paused: true }).await.unwrap_err();
    let log = verbs.set_log_level(SetLogLevelRequest { filter: "debug".into() }).await.unwrap_err();
    for (status, what) in
        [(drain, "end it"), (pause, "pause and resume sending"), (log, "change what it logs")]
    {
        assert_eq!(reason(&status), Reason::NotYours);
        let text = format!(
            "only root and the user zipnetd runs as (uid {}) may {what}; this is uid {}",
            other_uid(),
            my_uid()
        );
        assert_eq!(status.message(), text);
    }
    assert_eq!((*served.wish.borrow(), *served.fake.paused.lock().unwrap()), (Ending::No, false));
}

#[tokio::test]
async fn draining_is_wished_for_and_never_taken_back() {
    let mut served = Served::new(Fake::default(), Limits::default()).await;
    let mut verbs = served.verbs().await;
    let drained = verbs.drain(DrainRequest { now: false }).await.unwrap().into_inner();
    assert_eq!(drained.grace_ms, 102_000, "covering on, and what ending takes");
    timeout(LONG, served.wish.wait_for(|wish| *wish == Ending::Drain)).await.unwrap().unwrap();
    let drained = verbs.drain(DrainRequest { now: true }).await.unwrap().into_inner();
    assert_eq!(drained.grace_ms, 2_000);
    verbs.drain(DrainRequest { now: false }).await.unwrap();
    assert_eq!(*served.wish.borrow(), Ending::Now);
    served.control.drain().await;
    let status = verbs.status(StatusRequest {}).await.unwrap().into_inner();
    assert!(status.draining && !status.why.is_empty());
}

#[tokio::test]
async fn pausing_says_what_it_was_before() {
    let served = Served::new(Fake::default(), Limits::default()).await;
    let mut verbs = served.verbs().await;
    for (paused, before) in [(true, false), (true, true), (false, true), (false, false)] {
        let was = verbs.set_paused(SetPausedRequest { paused }).await.unwrap().into_inner().was;
        assert_eq!(was, before);
    }
}

#[tokio::test]
async fn a_log_filter_is_checked_and_an_empty_one_is_that_of_the_start() {
    let served = Served::new(Fake::default(), Limits::default()).await;
    let mut verbs = served.verbs().await;
    let mut set = async |filter: &str| {
        let answer = verbs.set_log_level(SetLogLevelRequest { filter: filter.to_owned() }).await;
        answer.map(|answer| answer.into_inner().filter)
    };
    for bad in ["zipnetd=loud", &"x,".repeat(3_000)] {
        assert_eq!(reason(&set(bad).await.unwrap_err()), Reason::InvalidRequest);
    }
    match set("warn,zipnetd=debug").await {
        Ok(filter) => {
            assert_eq!(filter, "warn,zipnetd=debug");
            assert_eq!(set("").await.unwrap(), "error");
        }
        // Another test of this process has the log.
        Err(status) => assert_eq!(Reason::of(&status), None, "{status}"),
    }
}

#[tokio::test]
async fn reflection_tells_what_there_is() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

    let served = Served::new(Fake::default(), Limits::default()).await;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("unix://{}", served.path().display()));
    let mut client = ServerReflectionClient::new(endpoint.unwrap().connect().await.unwrap());
    let ask = |message_request| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message_request),
    };
    let questions = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("zipnet.v1.Control".into())),
    ];
    let mut answers =
        client.server_reflection_info(futures::stream::iter(questions)).await.unwrap().into_inner();
    let mut next = async || -> ServerReflectionResponse {
        timeout(LONG, answers.message()).await.unwrap().unwrap().unwrap()
    };
    let Some(MessageResponse::ListServicesResponse(list)) = next().await.message_response else { panic!() };
    let names: Vec<String> = list.service.into_iter().map(|s| s.name).collect();
    for name in ["zipnet.v1.Control", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|n| n == name), "{names:?}");
    }
    let Some(MessageResponse::FileDescriptorResponse(file)) = next().await.message_response else { panic!() };
    let bytes = file.file_descriptor_proto.concat();
    assert!(bytes.windows(9).any(|w| w == b"SetPaused"));
}
