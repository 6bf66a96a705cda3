//! Whether nothing was lost, nothing is there twice, and everybody tells the same.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::hosts::Path;
use crate::{Fleet, Load, Message, Outcome, bin, until};

const WITHIN: Duration = Duration::from_mins(4);

/// A server's broadcast log: how each round ended, by round.
pub(crate) type Chain = BTreeMap<u64, Value>;

impl Fleet {
    /// What a server serves, fetched and checked by somebody on the first daemon's host.
    ///
    /// # Errors
    /// It cannot be reached, or its log does not hang together.
    pub fn chain(&self, server: usize) -> anyhow::Result<Chain> {
        let node = &self.servers[server];
        let mut command = self.clients[0].host.command(bin("chain"));
        command.arg(self.descriptor()).arg(node.state_dir().join("identity.key")).arg(Self::links(node));
        let out = command.output()?;
        ensure!(out.status.success(), "{}: {}", node.name(), String::from_utf8_lossy(&out.stderr).trim());
        let text = String::from_utf8(out.stdout)?;
        let item = |line| {
            let item: Value = serde_json::from_str(line)?;
            Ok((item["round"].as_u64().context("a round")?, item))
        };
        text.lines().map(item).collect()
    }

    /// The log that all running servers serve, once they do.
    ///
    /// # Panics
    /// At two that differ.
    pub fn one_chain(&self) -> Chain {
        until(WITHIN, "all servers to serve one log", || {
            let running = (0..self.servers.len()).filter(|i| self.servers[*i].runs());
            let chains: Vec<Chain> = running.map(|i| self.chain(i)).collect::<anyhow::Result<_>>()?;
            let longest = chains.iter().max_by_key(|chain| chain.len()).context("a server")?;
            for chain in &chains {
                for (round, item) in chain {
                    let other = longest.get(round).map(|other| &other["digest"]);
                    assert!(other.is_none_or(|other| *other == item["digest"]), "a fork in round {round}");
                }
                // The end may be under way.
                ensure!(chain.len() + 3 >= longest.len(), "{} rounds of {}", chain.len(), longest.len());
            }
            Ok(longest.clone())
        })
    }

    /// Keeps what is served now, for an audit after the servers have dropped it.
    ///
    /// # Panics
    /// At a round that ended otherwise before.
    pub fn remember(&self) {
        let chain = self.one_chain();
        let mut all = self.remembered.lock().expect("nobody panicked with it");
        for (round, item) in chain {
            let digest = item["digest"].clone();
            let before = all.insert(round, item);
            assert!(
                before.is_none_or(|item| item["digest"] == digest),
                "round {round} ended otherwise before"
            );
        }
    }

    /// Waits until all messages of the load have ended, and compares that with what is published: everywhere the same,
    /// nothing twice, nothing lost but what was said to be.
    ///
    /// # Panics
    /// When something is not as it should be.
    pub fn audit(&self, load: &Load) -> Outcome {
        load.rest();
        let (outcome, told) = until(WITHIN, "all messages to end", || load.ended());
        self.remember();
        let chain = self.remembered.lock().expect("nobody panicked with it");
        let mut count = BTreeMap::<&str, usize>::new();
        for item in chain.values() {
            let texts = item["messages"].as_array().into_iter().flatten();
            texts.filter_map(Value::as_str).for_each(|text| *count.entry(text).or_default() += 1);
        }
        for (text, published) in &told {
            let times = count.get(text.as_str()).copied().unwrap_or(0);
            assert!(times <= 1, "`{text}` was published {times} times");
            assert!(times == 1 || !published, "`{text}` is said to be published, and is not");
        }
        outcome
    }

    /// The logs that the daemons read, each through another server only: all the same, as far back as servers keep it. Leaves the
    /// network as it was before anything was set.
    ///
    /// # Panics
    /// At two that differ.
    pub fn readers_agree(&self) {
        let running: Vec<usize> = (0..self.servers.len()).filter(|i| self.servers[*i].runs()).collect();
        for (i, client) in self.clients.iter().enumerate() {
            let only = running[i % running.len()];
            for (j, server) in self.servers.iter().enumerate().filter(|(j, _)| *j != only) {
                debug_assert_ne!(j, only);
                self.hosts.set_one_way(&client.host, server.host(), Path::CUT);
                self.hosts.set_one_way(server.host(), &client.host, Path::CUT);
            }
        }
        let wanted = self.one_chain_from(running[0]);
        for client in &self.clients {
            until(WITHIN, "a daemon to read what its server serves", || {
                let log = client.daemon.read()?;
                // A daemon that was there all along remembers more than one that has just started can read.
                let kept = *self.chain(running[0])?.keys().next().context("a round")?;
                let from = |log: &[Message]| log.iter().position(|m| m.round >= kept).unwrap_or(log.len());
                let (log, wanted) = (&log[from(&log)..], &wanted[from(&wanted)..]);
                ensure!(log.len() >= wanted.len(), "{} messages of {}", log.len(), wanted.len());
                assert!(
                    log[..wanted.len()] == *wanted,
                    "{} reads another log",
                    client.daemon.socket().display()
                );
                Ok(())
            });
        }
        self.hosts.heal();
    }

    fn one_chain_from(&self, server: usize) -> Vec<Message> {
        until(WITHIN, "a daemon to read a log", || {
            let reader = self.clients.iter().enumerate().find(|(i, _)| i % self.servers.len() == server);
            reader.context("a reader")?.1.daemon.read()
        })
    }
}
