//! Links against links, over loopback.

mod calls;
mod counted;
mod hellos;
mod hostile;
mod lives;
mod streams;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use zeroize::Zeroizing;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::DeploymentId;

use super::limits::Limits;
use super::{FrameSink, Kind, LinkAddr, Links, LinksConfig, Refusal, Remote, Role, Service, hello};

/// Longer than anything here takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(20);
const DEPLOYMENT: DeploymentId = DeploymentId([9; 32]);

fn identity(n: u8) -> Arc<Identity> {
    Arc::new(Identity::from_seed(Zeroizing::new([n; 32])))
}

fn config(n: u8, role: Role) -> LinksConfig {
    LinksConfig {
        identity: identity(n),
        role,
        deployment: DEPLOYMENT,
        listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        announce: Vec::new(),
    }
}

async fn client(n: u8) -> Links {
    Links::bind(config(n, Role::Client)).await.unwrap()
}

/// A server (seed 1) with this service, and where it is.
async fn server(service: impl Service, limits: Limits) -> (Links, LinkAddr) {
    let links = Links::bind_with(config(1, Role::Server), limits, hello::VERSION).await.unwrap();
    links.serve(Arc::new(service));
    let addr = links.link_addr().unwrap();
    (links, addr)
}

/// Polls until it is true.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Answers every call with its own body, except: `refuse` is refused, `size` and 4 bytes ask for that many zeros.
/// Streams send what `frames` says and report their end.
struct Echo {
    frames: Vec<usize>,
    ended: mpsc::UnboundedSender<usize>,
}

impl Echo {
    fn new() -> Self {
        Self::streaming(Vec::new()).0
    }

    /// The receiver gets the number of frames taken by each stream that was dropped or ended.
    fn streaming(frames: Vec<usize>) -> (Self, mpsc::UnboundedReceiver<usize>) {
        let (ended, ends) = mpsc::unbounded_channel();
        (Self { frames, ended }, ends)
    }
}

/// Reports on drop, so also when the stream is dropped half-way.
struct Count(usize, mpsc::UnboundedSender<usize>);

impl Drop for Count {
    fn drop(&mut self) {
        let _ = self.1.send(self.0);
    }
}

impl Service for Echo {
    fn call(&self, from: &Remote, _: Kind, body: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, Refusal>> {
        let from = from.clone();
        async move {
            match &body[..] {
                b"refuse" => Err(Refusal::new(42, "no")),
                b"who" => Ok(from.peer_id.0.to_vec()),
                [b's', b'i', b'z', b'e', a, b, c, d] => {
                    Ok(vec![0; u32::from_le_bytes([*a, *b, *c, *d]) as usize])
                }
                b"forever" => std::future::pending().await,
                _ => Ok(body),
            }
        }
        .boxed()
    }

    fn stream(
        &self,
        _: &Remote,
        _: Kind,
        body: Vec<u8>,
        mut sink: FrameSink,
    ) -> BoxFuture<'_, Result<(), Refusal>> {
        async move {
            let mut count = Count(0, self.ended.clone());
            for (i, len) in self.frames.iter().enumerate() {
                sink.send(vec![i as u8; *len]).await.map_err(|error| Refusal::new(43, error.to_string()))?;
                count.0 += 1;
            }
            if body == b"refuse" { Err(Refusal::new(42, "no more")) } else { Ok(()) }
        }
        .boxed()
    }
}
