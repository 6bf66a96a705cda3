//! A relay in a process of its own, for a deployment that has no internet: `relay IP:PORT`.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use zipnet_network::universe::EmbeddedRelay;

#[tokio::main]
async fn main() -> Result<()> {
    let addr: SocketAddr = std::env::args().nth(1).context("usage: relay IP:PORT")?.parse()?;
    let relay = EmbeddedRelay::start(addr).await?;
    eprintln!("{}", relay.url());
    std::future::pending::<()>().await;
    Ok(())
}
