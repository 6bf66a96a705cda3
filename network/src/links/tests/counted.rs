//! Refusals are counted by their reason.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::*;
use crate::links::{HELLOS_REFUSED, LinkError, REQUESTS_REFUSED};

fn counted(page: &PrometheusHandle, name: &str, reason: &str) -> u64 {
    let start = format!("{name}{{reason=\"{reason}\"}} ");
    let page = page.render();
    page.lines().find_map(|line| line.strip_prefix(&start)).map_or(0, |n| n.parse().unwrap())
}

#[tokio::test]
async fn refused_hellos_and_requests_are_counted_by_reason() {
    let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
    let page = recorder.handle();
    let _guard = metrics::set_default_local_recorder(recorder);
    let (server, addr) = server(Echo::new(), Limits::default()).await;
    let hellos = |reason: &str| counted(&page, HELLOS_REFUSED, reason);
    let requests = |reason: &str| counted(&page, REQUESTS_REFUSED, reason);

    let other = LinksConfig { deployment: DeploymentId([8; 32]), ..config(2, Role::Client) };
    let stranger = Links::bind(other).await.unwrap();
    let error = stranger.link(addr.clone()).ready(PATIENCE).await.unwrap_err();
    assert!(matches!(error, LinkError::DeploymentMismatch { .. }), "{error}");
    until("it is counted", || hellos("deployment") > 0).await;
    let newer =
        Links::bind_with(config(2, Role::Client), Limits::default(), hello::VERSION + 1).await.unwrap();
    let error = newer.link(addr.clone()).ready(PATIENCE).await.unwrap_err();
    assert!(matches!(error, LinkError::VersionMismatch { .. }), "{error}");
    until("it is counted", || hellos("version") > 0).await;

    let client = client(3).await;
    let link = client.link(addr);
    // Raft from a client: refused from the head alone, and counted as what it is.
    let error = link.call(Kind::RaftVote, Vec::new(), PATIENCE).await.unwrap_err();
    assert!(matches!(&error, LinkError::Refused(no) if no.code == Refusal::NOT_ALLOWED), "{error}");
    assert_eq!(requests("not_allowed"), 1);
    link.call(Kind::Register, b"refuse".to_vec(), PATIENCE).await.unwrap_err();
    assert_eq!(requests("other"), 1, "a code that no service of ours uses");
    link.call(Kind::Register, b"x".to_vec(), PATIENCE).await.unwrap();
    for links in [stranger, newer, client, server] {
        links.close().await;
    }
}
