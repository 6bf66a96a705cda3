//! Log, metrics and signals of a process.

use std::net::SocketAddr;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Logs to standard error. `directives` is what `RUST_LOG` says, INFO unless it says something.
///
/// # Errors
/// Directives that do not parse.
pub fn init_log(directives: Option<&str>) -> anyhow::Result<()> {
    let quiet = zipnet_network::QUIET_LOG_DIRECTIVES;
    // sled prints whole records at TRACE, which here are entries of the log.
    let wanted = format!("{quiet},{},sled=info", directives.unwrap_or("info"));
    let filter = EnvFilter::try_new(wanted.trim_matches(',')).context("RUST_LOG")?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
    Ok(())
}

/// Serves Prometheus metrics; must run inside tokio.
///
/// # Errors
/// The address cannot be bound.
pub fn init_metrics(addr: Option<SocketAddr>) -> anyhow::Result<()> {
    let Some(addr) = addr else { return Ok(()) };
    let builder = PrometheusBuilder::new().with_http_listener(addr);
    builder.install().with_context(|| format!("serving metrics on {addr}"))
}

/// Resolves at the first SIGTERM or SIGINT.
///
/// # Errors
/// The handlers cannot be installed.
pub async fn shutdown_signal() -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
