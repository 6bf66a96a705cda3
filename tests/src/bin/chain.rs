//! What one server serves as the broadcast log, item by item, checked: `chain DESCRIPTOR KEY-FILE IP:PORT`. The key file
//! is the server's; only its public half is used, to know whom to expect there.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::RecordDigest;
use zipnet_dcnet::signed::encode;
use zipnet_dcnet::wire::{Ended, RecordsCall, RecordsReply};
use zipnet_network::links::{Kind, Link, LinkAddr, Links, LinksConfig, Role};

const WITHIN: Duration = Duration::from_secs(20);
/// Items asked for at a time.
const PAGE: u32 = 256;

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [descriptor, key, addr] = &args[..] else {
        anyhow::bail!("usage: chain DESCRIPTOR KEY-FILE IP:PORT")
    };
    let descriptor = zipnet_role::load_descriptor(Path::new(descriptor))?;
    let server = zipnet_role::load_key(Path::new(key))?.server_bundle();
    let addr: SocketAddr = addr.parse().context("the server's address")?;
    let links = Links::bind(LinksConfig {
        identity: Arc::new(Identity::from_seed([7; 32].into())),
        role: Role::Client,
        deployment: descriptor.id(),
        listen: None,
        announce: Vec::new(),
    })
    .await?;
    let link = links.link(LinkAddr { peer_id: server.peer_id, link_pk: server.link_pk, addrs: vec![addr] });
    let walked = walk(&link, &descriptor).await;
    links.close().await;
    walked
}

fn hex(digest: &RecordDigest) -> String {
    digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

async fn walk(link: &Link, descriptor: &Descriptor) -> Result<()> {
    let deployment = descriptor.id();
    let mut from = 0;
    let mut last: Option<RecordDigest> = None;
    loop {
        let call = encode(&RecordsCall { from, limit: PAGE });
        let reply = link.call(Kind::Records, call, WITHIN).await?;
        let reply: RecordsReply = borsh::from_slice(&reply).context("its answer")?;
        for item in &reply.items {
            ensure!(item.round() >= from, "round {} comes after round {from}", item.round());
            from = item.round() + 1;
            let Ended::Final(signed) = item else {
                println!("{}", json!({ "round": item.round() }));
                continue;
            };
            let (digest, complete) = signed.verify(descriptor, &deployment)?;
            let prev = signed.record.prev;
            ensure!(last.is_none_or(|last| last == prev), "round {} has another record before it", from - 1);
            last = Some(digest);
            let messages = &signed.record.messages;
            let texts: Vec<_> = messages.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect();
            println!(
                "{}",
                json!({
                    "round": item.round(),
                    "digest": hex(&digest),
                    "complete": complete,
                    "servers": signed.record.servers.len(),
                    "participants": signed.record.count(),
                    "garbled": signed.record.garbled.len(),
                    "messages": texts,
                })
            );
        }
        if reply.items.is_empty() || from > reply.latest {
            return Ok(());
        }
    }
}
