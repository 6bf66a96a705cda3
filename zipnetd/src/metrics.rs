//! Metrics for Prometheus: the one list of names.
//!
//! None tells talk from cover, names a message or counts any: whoever reads them learns what the broadcast log tells
//! everybody.

use std::net::SocketAddr;

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, counter,
    describe_counter, describe_gauge, gauge,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

/// 1 while every server of the last header has this client's present session on its roster.
pub const REGISTERED: &str = "zipnet_client_registered";
/// Final rounds seen, verified.
pub const ROUNDS: &str = "zipnet_rounds_seen_total";
/// Participants of the last final record.
pub const PARTICIPANTS: &str = "zipnet_round_participants";
/// Servers of the last final record.
pub const SERVERS: &str = "zipnet_round_servers";
/// Always 1; its label is the version.
pub const BUILD: &str = "zipnet_build_info";

/// The metrics endpoint cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics at {addr}: {problem}")]
pub struct MetricsError {
    addr: SocketAddr,
    problem: String,
}

/// Passes on what is named `zipnet_*`. Dependencies use the same facade, and nobody has looked at what their numbers
/// tell about the user.
struct OursOnly(PrometheusRecorder);

fn ours(name: &str) -> bool {
    name.starts_with("zipnet_")
}

impl Recorder for OursOnly {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        if ours(name.as_str()) {
            self.0.describe_counter(name, unit, text);
        }
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        if ours(name.as_str()) {
            self.0.describe_gauge(name, unit, text);
        }
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        if ours(name.as_str()) {
            self.0.describe_histogram(name, unit, text);
        }
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        if ours(key.name()) { self.0.register_counter(key, metadata) } else { Counter::noop() }
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        if ours(key.name()) { self.0.register_gauge(key, metadata) } else { Gauge::noop() }
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        if ours(key.name()) { self.0.register_histogram(key, metadata) } else { Histogram::noop() }
    }
}

/// Installs the recorder of the process and serves it at `addr` until the runtime ends. Call it inside the runtime.
///
/// # Errors
/// [`MetricsError`], for example when the address is in use.
pub fn start(addr: SocketAddr) -> Result<(), MetricsError> {
    let failed = |problem: String| MetricsError { addr, problem };
    let built = PrometheusBuilder::new().with_http_listener(addr).build();
    let (recorder, exporter) = built.map_err(|e| failed(e.to_string()))?;
    metrics::set_global_recorder(OursOnly(recorder)).map_err(|e| failed(e.to_string()))?;
    tokio::spawn(exporter);
    describe_gauge!(
        REGISTERED,
        "1 while all servers of the last header have this client's session on their roster"
    );
    describe_counter!(ROUNDS, "final rounds seen, verified");
    describe_gauge!(PARTICIPANTS, "participants of the last final record");
    describe_gauge!(SERVERS, "servers of the last final record");
    describe_gauge!(BUILD, "always 1, labelled with the version");
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    gauge!(REGISTERED).set(0.0);
    counter!(ROUNDS).absolute(0);
    gauge!(PARTICIPANTS).set(0.0);
    gauge!(SERVERS).set(0.0);
    Ok(())
}

/// Whether the client is registered.
pub(crate) fn registered(yes: bool) {
    gauge!(REGISTERED).set(if yes { 1.0 } else { 0.0 });
}

/// A record that counts was seen.
pub(crate) fn record_seen(participants: u32, servers: u32) {
    counter!(ROUNDS).increment(1);
    gauge!(PARTICIPANTS).set(participants);
    gauge!(SERVERS).set(servers);
}
