//! `--check`: whether the instance is there, without taking part.

use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use zipnet_dcnet::ids::DeploymentId;
use zipnet_network::links::{LinkError, Links, LinksConfig, Role};

use super::memory::Memory;
use super::{ClientConfig, ClientError, NotFound, find};

/// How long the servers have to answer a link.
const LINK_TIMEOUT: Duration = Duration::from_secs(10);

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The deployment that serves the name.
    pub deployment: DeploymentId,
    /// Its servers.
    pub servers: usize,
    /// Those that answered.
    pub reachable: usize,
    /// Whether the configuration pins it.
    pub pinned: bool,
}

/// Finds the instance, once, and links to its servers. Waits for the disk and for the network, half a minute at most.
///
/// # Errors
/// What a running client would wait for, or end with.
pub async fn check(config: &ClientConfig) -> Result<Checked, ClientError> {
    let memory = Memory::open(config.store.clone(), config.state_dir.clone(), &config.instance).await?;
    let known = config
        .instance
        .pin
        .or_else(|| memory.descriptor.as_ref().map(zipnet_dcnet::descriptor::Descriptor::id));
    let place = config.place();
    let universe = find::enter(&place)?;
    let found = find::ask(&universe, &place, known).await;
    universe.leave().await;
    let answer = found.map_err(|why| match why {
        NotFound::OtherDeployment { .. } => ClientError::OtherDeployment(why),
        _ => ClientError::ConnectTimeout(why),
    })?;
    let descriptor = answer.descriptor;
    config.fits(&descriptor)?;
    let deployment = descriptor.id();
    let links = Links::bind(LinksConfig {
        identity: config.identity.clone(),
        role: Role::Client,
        deployment,
        listen: None,
        announce: Vec::new(),
    })
    .await?;
    let servers = answer.links.into_iter().filter(|link| descriptor.servers.contains(&link.peer_id));
    let dials: FuturesUnordered<_> = servers
        .map(|addr| {
            let link = links.link(addr);
            async move { link.ready(LINK_TIMEOUT).await }
        })
        .collect();
    let results: Vec<Result<_, LinkError>> = dials.collect().await;
    links.close().await;
    let reachable = results.iter().filter(|result| result.is_ok()).count();
    if reachable == 0 {
        let last = results.into_iter().find_map(Result::err);
        return Err(ClientError::NoServer {
            instance: descriptor.instance,
            servers: descriptor.servers.len(),
            last: last.map_or_else(|| "no addresses are known".to_owned(), |error| error.to_string()),
        });
    }
    Ok(Checked {
        deployment,
        servers: descriptor.servers.len(),
        reachable,
        pinned: config.instance.pin.is_some(),
    })
}
