//! Metrics for Prometheus: what a program's list of names has, and nothing of its dependencies.

use std::net::SocketAddr;

use anyhow::Context;
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, describe_counter,
    describe_gauge,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use zipnet_network::links;

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until a restart.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A metric of a server program.
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
}

impl Metric {
    /// A counter.
    pub const fn counter(name: &'static str, text: &'static str) -> Self {
        Self { name, kind: Kind::Counter, label: None, text }
    }

    /// A gauge.
    pub const fn gauge(name: &'static str, text: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, label: None, text }
    }

    /// The same with a label.
    pub const fn by(self, label: &'static str) -> Self {
        Self { label: Some(label), ..self }
    }
}

/// What links count, in both programs.
pub const LINKS: [Metric; 2] = [
    Metric::counter(links::HELLOS_REFUSED, "connections whose handshake did not hold").by("reason"),
    Metric::counter(links::REQUESTS_REFUSED, "requests over links that were refused").by("reason"),
];

/// Lets the listed ones through: dependencies use the same facade, and nobody looked at what their numbers tell.
struct Listed {
    inner: PrometheusRecorder,
    list: &'static [Metric],
}

impl Listed {
    fn has(&self, name: &str) -> bool {
        self.list.iter().any(|metric| metric.name == name)
    }
}

impl Recorder for Listed {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        if self.has(name.as_str()) {
            self.inner.describe_counter(name, unit, text);
        }
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        if self.has(name.as_str()) {
            self.inner.describe_gauge(name, unit, text);
        }
    }

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        if self.has(key.name()) { self.inner.register_counter(key, metadata) } else { Counter::noop() }
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        if self.has(key.name()) { self.inner.register_gauge(key, metadata) } else { Gauge::noop() }
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Serves the listed metrics at `addr` until the runtime ends; nothing without an address. Call it inside tokio.
///
/// # Errors
/// The address cannot be bound.
pub fn serve(addr: Option<SocketAddr>, list: &'static [Metric]) -> anyhow::Result<()> {
    let Some(addr) = addr else { return Ok(()) };
    let failed = || format!("serving metrics on {addr}");
    let (inner, exporter) = PrometheusBuilder::new().with_http_listener(addr).build().with_context(failed)?;
    metrics::set_global_recorder(Listed { inner, list }).with_context(failed)?;
    tokio::spawn(exporter);
    describe(list);
    Ok(())
}

fn describe(list: &[Metric]) {
    for metric in list {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.text),
            Kind::Gauge => describe_gauge!(metric.name, metric.text),
        }
    }
}

/// The page that is served after `record` recorded something: for tests of a program's list.
pub fn rendered(list: &'static [Metric], record: impl FnOnce()) -> String {
    let inner = PrometheusBuilder::new().build_recorder();
    let page = inner.handle();
    metrics::with_local_recorder(&Listed { inner, list }, || {
        describe(list);
        record();
    });
    page.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: [Metric; 2] =
        [Metric::counter("zipnet_a_total", "how many"), Metric::gauge("zipnet_b", "how much").by("peer")];

    #[test]
    fn only_what_is_listed_is_served() {
        let page = rendered(&LIST, || {
            metrics::counter!("zipnet_a_total").increment(1);
            metrics::gauge!("zipnet_b", "peer" => "x").set(2.0);
            metrics::counter!("zipnet_not_listed_total").increment(1);
            metrics::histogram!("a_dependency_seconds").record(1.0);
        });
        let lines: Vec<_> = page.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
        assert_eq!(lines, ["zipnet_a_total 1", "zipnet_b{peer=\"x\"} 2"]);
    }
}
