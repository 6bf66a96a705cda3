//! What was acknowledged survives SIGKILL, and nothing is published twice.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use zipnet_tests::{Deployment, DeploymentConfig, until};

use crate::processes::PARAMS;

const KILLS: usize = 20;

#[test]
fn twenty_sigkills_lose_nothing_acknowledged_and_publish_nothing_twice() {
    let config = DeploymentConfig { instance: "acme.kill", servers: 3, params: PARAMS };
    let deployment = Deployment::start(&config);
    let cover: Vec<_> = (0..4).map(|i| deployment.daemon(&format!("cover-{i}"))).collect();
    for daemon in &cover {
        daemon.wait_registered(Duration::from_secs(90));
    }
    let mut talker = deployment.daemon("talker");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut acknowledged = BTreeMap::new();
    for kill in 0..KILLS {
        // Some kills hit a daemon that just started, some one that is registered and sealing.
        until(Duration::from_mins(1), "the socket to answer", || {
            let text = format!("first of run {kill}");
            let id = talker.send(&text)?;
            acknowledged.insert(id, text);
            anyhow::Ok(())
        });
        if kill % 2 == 0 {
            talker.wait_registered(Duration::from_secs(90));
        }
        for i in 0..=rng.next_u32() % 5 {
            let text = format!("run {kill} message {i}");
            if let Ok(id) = talker.send(&text) {
                acknowledged.insert(id, text);
            }
        }
        std::thread::sleep(Duration::from_millis(u64::from(rng.next_u32() % 2_000)));
        talker.process().kill();
        talker.start();
    }
    let finals = until(Duration::from_mins(4), "every message to end", || {
        let states = acknowledged.keys().map(|id| Ok((id.clone(), talker.state(id)?)));
        let states: BTreeMap<_, _> = states.collect::<anyhow::Result<_>>()?;
        let open = states.values().filter(|s| !["published", "failed"].contains(&s.as_str())).count();
        ensure!(open == 0, "{open} are under way: {states:?}");
        Ok(states)
    });
    let mut published = BTreeMap::<String, usize>::new();
    for message in cover[0].read().unwrap() {
        *published.entry(message.payload).or_default() += 1;
    }
    let mut unknown = 0;
    for (id, text) in &acknowledged {
        let count = published.get(text).copied().unwrap_or(0);
        assert!(count <= 1, "`{text}` was published {count} times");
        match finals[id].as_str() {
            "published" => assert_eq!(count, 1, "`{text}` is said to be published"),
            // What cannot be known ends failed(unknown), what may have been read failed(exposed): reported, not lost.
            _ => unknown += 1,
        }
    }
    eprintln!("{} acknowledged, {unknown} ended failed", acknowledged.len());
    assert!(unknown * 4 <= acknowledged.len(), "{unknown} of {} ended failed", acknowledged.len());
}
