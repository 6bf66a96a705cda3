//! *Accepted means kept*: 200 SIGKILLs at random moments under load; `ZIPNET_KILLS=2000` for more.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use futures::future::join_all;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use tokio::runtime::Runtime;
use zipnet_proto::Client;

use super::{answers, offline};

/// Callers at the same time.
const CALLERS: usize = 4;
/// All messages together stay below the queue's 10,000.
const MESSAGES: usize = 9_000;
const TTL: Duration = Duration::from_hours(24);

/// What callers know: request id, and message id once it was acknowledged.
type Told = Mutex<BTreeMap<String, Option<String>>>;

async fn client(socket: &Path) -> Client {
    loop {
        if let Ok(client) = Client::connect(socket).await {
            return client;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Sends until the daemon is gone, or its share is used up.
async fn send(socket: &Path, told: &Told, run: usize, caller: usize, most: usize) {
    let mut client = client(socket).await;
    for n in 0..most {
        let request = format!("{run}-{caller}-{n}");
        told.lock().unwrap().insert(request.clone(), None);
        match client.send(request.clone().into_bytes(), Some(request.clone()), Some(TTL)).await {
            Ok(sent) => told.lock().unwrap().insert(request, Some(sent.message_id)),
            Err(_) => return,
        };
    }
}

#[test]
fn accepted_means_kept_whenever_the_daemon_is_killed() {
    let kills = std::env::var("ZIPNET_KILLS").map_or(200, |n| n.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = offline(dir.path());
    let socket = dir.path().join("zipnetd.sock");
    let runtime = Runtime::new().unwrap();
    let told = Told::default();
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for run in 0..kills {
        daemon.start();
        let most = (MESSAGES / kills / CALLERS).max(1);
        let callers = join_all((0..CALLERS).map(|caller| send(&socket, &told, run, caller, most)));
        // From the middle of a start to some time under load.
        let patience = Duration::from_micros(u64::from(rng.next_u32() % 150_000));
        let _ = runtime.block_on(async { tokio::time::timeout(patience, callers).await });
        daemon.process().kill();
    }
    daemon.start();
    answers(&daemon);
    let before = daemon.status().unwrap()["queue"]["queued"].as_u64().unwrap();
    let told = told.into_inner().unwrap();
    let acknowledged = told.values().flatten().count();
    assert!(acknowledged > kills, "hardly anything was acknowledged: {acknowledged}");
    assert!(before as usize >= acknowledged, "{before} of {acknowledged} are there");
    let (mut lost, mut late) = (Vec::new(), 0);
    runtime.block_on(async {
        let mut client = client(&socket).await;
        for (request, id) in &told {
            if let Some(id) = id {
                let kept = client.get(id).await;
                if !kept.as_ref().is_ok_and(|message| message.request_id == *request) {
                    lost.push(format!("{request}: {kept:?}"));
                }
            } else {
                // Nobody knows: asking again with the same id takes it once, whatever happened.
                let sent = client.send(request.clone().into_bytes(), Some(request.clone()), Some(TTL));
                late += usize::from(sent.await.unwrap().duplicate);
            }
        }
    });
    assert!(lost.is_empty(), "{} of {acknowledged} are lost: {:#?}", lost.len(), &lost[..lost.len().min(5)]);
    let after = daemon.status().unwrap()["queue"]["queued"].as_u64().unwrap();
    let seeded = after as usize - told.len();
    assert!(seeded <= 3, "{after} messages for {} requests", told.len());
    eprintln!("{kills} kills, {acknowledged} acknowledged, {late} kept without an answer");
}
