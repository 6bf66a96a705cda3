//! Metrics for Prometheus: the one list of names.
//!
//! None of the default ones tells talk from cover, names a message or counts any: whoever reads them learns what the
//! broadcast log tells everybody. Those that do are private, and exist only when asked for.

use std::net::SocketAddr;
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, counter,
    describe_counter, describe_gauge, gauge,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tokio::time::{MissedTickBehavior, interval};

use crate::client::Handle;
use crate::control::backend::{Backend, Caller, Denied};

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until a restart.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A metric of the daemon.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What kind.
    pub kind: Kind,
    /// The label that tells its series apart.
    pub label: Option<&'static str>,
    /// What it says.
    pub text: &'static str,
    /// Only with `--private-metrics`: it tells talk from cover.
    pub private: bool,
}

const fn gauge(name: &'static str, text: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, label: None, text, private: false }
}

const REGISTERED: Metric = gauge(
    "zipnet_client_registered",
    "1 while all servers of the last header have this client's session on their roster, otherwise 0",
);
const ROUNDS: Metric = Metric {
    kind: Kind::Counter,
    ..gauge("zipnet_rounds_seen_total", "final rounds seen and verified since the start")
};
const PARTICIPANTS: Metric =
    gauge("zipnet_round_participants", "participants of the last final record; 0 before the first");
const SERVERS: Metric = gauge("zipnet_round_servers", "servers of the last final record; 0 before the first");
const BUILD: Metric =
    Metric { label: Some("version"), ..gauge("zipnet_build_info", "always 1, labelled with the version") };
const QUEUE: Metric = Metric {
    label: Some("state"),
    private: true,
    ..gauge(
        "zipnet_queue_messages",
        "messages in each state; the terminal ones as far as they are remembered",
    )
};
const OLDEST: Metric = Metric {
    private: true,
    ..gauge("zipnet_queue_oldest_age_seconds", "age of the oldest message that is not terminal; 0 for none")
};

/// Every metric of the daemon; docs/metrics.md is made of this.
pub const METRICS: [Metric; 7] = [REGISTERED, ROUNDS, PARTICIPANTS, SERVERS, BUILD, QUEUE, OLDEST];

/// Between two looks at the queue for the private metrics.
const LOOK: Duration = Duration::from_secs(5);

/// The metrics endpoint cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics at {addr}: {problem}")]
pub struct MetricsError {
    addr: SocketAddr,
    problem: String,
}

/// Passes on what is named `zipnet_*`, private ones only when they were asked for. Dependencies use the same facade, and
/// nobody has looked at what their numbers tell about the user.
struct OursOnly {
    inner: PrometheusRecorder,
    private: bool,
}

impl OursOnly {
    fn takes(&self, name: &str) -> bool {
        let private = METRICS.iter().any(|metric| metric.private && metric.name == name);
        name.starts_with("zipnet_") && (self.private || !private)
    }
}

impl Recorder for OursOnly {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        if self.takes(name.as_str()) {
            self.inner.describe_counter(name, unit, text);
        }
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        if self.takes(name.as_str()) {
            self.inner.describe_gauge(name, unit, text);
        }
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        if self.takes(name.as_str()) {
            self.inner.describe_histogram(name, unit, text);
        }
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        if self.takes(key.name()) { self.inner.register_counter(key, metadata) } else { Counter::noop() }
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        if self.takes(key.name()) { self.inner.register_gauge(key, metadata) } else { Gauge::noop() }
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        if self.takes(key.name()) { self.inner.register_histogram(key, metadata) } else { Histogram::noop() }
    }
}

/// Installs the recorder of the process and serves it at `addr` until the runtime ends; `private` lets the private
/// metrics in. Call it inside the runtime.
///
/// # Errors
/// [`MetricsError`], for example when the address is in use.
pub fn start(addr: SocketAddr, private: bool) -> Result<(), MetricsError> {
    let failed = |problem: String| MetricsError { addr, problem };
    let built = PrometheusBuilder::new().with_http_listener(addr).build();
    let (inner, exporter) = built.map_err(|e| failed(e.to_string()))?;
    metrics::set_global_recorder(OursOnly { inner, private }).map_err(|e| failed(e.to_string()))?;
    tokio::spawn(exporter);
    begin();
    Ok(())
}

/// Describes all, and gives the default ones the values they start with.
fn begin() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.text),
            Kind::Gauge => describe_gauge!(metric.name, metric.text),
        }
    }
    gauge!(BUILD.name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    gauge!(REGISTERED.name).set(0.0);
    counter!(ROUNDS.name).absolute(0);
    gauge!(PARTICIPANTS.name).set(0.0);
    gauge!(SERVERS.name).set(0.0);
}

/// Whether the client is registered.
pub(crate) fn registered(yes: bool) {
    gauge!(REGISTERED.name).set(if yes { 1.0 } else { 0.0 });
}

/// A record that counts was seen.
pub(crate) fn record_seen(participants: u32, servers: u32) {
    counter!(ROUNDS.name).increment(1);
    gauge!(PARTICIPANTS.name).set(participants);
    gauge!(SERVERS.name).set(servers);
}

/// The private metrics: looks at the queue from time to time until the client ends. `uid` is the daemon's own, which
/// sees everybody's messages.
pub(crate) async fn queue_figures(client: Handle, uid: u32) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let status = match client.status(Caller { uid, sees_all: true }).await {
            Ok(status) => status,
            // A client that was slow once may answer the next time.
            Err(Denied::Unknown(_)) => continue,
            Err(Denied::Refused(_)) => return,
        };
        let counts = status.queue.unwrap_or_default();
        let states = [
            ("queued", counts.queued),
            ("reserved", counts.reserved),
            ("sealed", counts.sealed),
            ("published", counts.published),
            ("cancelled", counts.cancelled),
            ("expired", counts.expired),
            ("failed", counts.failed),
        ];
        for (state, count) in states {
            gauge!(QUEUE.name, "state" => state).set(count);
        }
        gauge!(OLDEST.name).set(status.oldest_age_ms.unwrap_or(0) as f64 / 1_000.0);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names in what is exported after everything was recorded that there is.
    fn exported(private: bool) -> BTreeSet<String> {
        let inner = PrometheusBuilder::new().build_recorder();
        let page = inner.handle();
        metrics::with_local_recorder(&OursOnly { inner, private }, || {
            begin();
            registered(true);
            record_seen(7, 3);
            gauge!(QUEUE.name, "state" => "queued").set(1.0);
            gauge!(OLDEST.name).set(1.0);
            counter!("a_dependency_total").increment(1);
        });
        let name = |line: &str| line.split(['{', ' ']).next().unwrap().to_owned();
        page.render().lines().filter(|l| !l.is_empty() && !l.starts_with('#')).map(name).collect()
    }

    fn names(private: bool) -> BTreeSet<String> {
        METRICS.iter().filter(|m| private || !m.private).map(|m| m.name.to_owned()).collect()
    }

    #[test]
    fn nothing_is_exported_but_the_default_ones_and_private_ones_when_asked_for() {
        assert_eq!(exported(false), names(false));
        assert_eq!(exported(true), names(true));
        assert_eq!(names(true).len(), METRICS.len());
    }
}
