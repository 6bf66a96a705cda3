//! `describe`: asking by name for the descriptor of an instance (R1), and answering.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use mosaik::functions::{FunctionId, Handler};
use mosaik::{Network, PeerId as MosaikId};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::debug;
use zipnet_dcnet::ids::PeerId;

/// The longest answer in bytes.
pub const MAX_ANSWER: usize = 256 * 1024;
/// Peers asked at the same time.
const MAX_ASKED: usize = 8;
/// Answers worked on at the same time by a node that serves.
const MAX_SERVED: usize = 32;
/// One peer's time to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// Peers that did not answer are asked again this often.
const RETRY: Duration = Duration::from_secs(1);

/// Gives the current answer. Called for every request; it must not block.
pub type Provider = Arc<dyn Fn() -> Vec<u8> + Send + Sync>;

/// What a peer answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who: authenticated, but anybody can serve any name.
    pub from: PeerId,
    /// What; at most [`MAX_ANSWER`] bytes.
    pub bytes: Vec<u8>,
}

/// A running question.
#[derive(Clone)]
pub(super) struct Question {
    pub instance: String,
    pub deadline: Instant,
    pub answers: mpsc::Sender<Answer>,
}

impl Question {
    pub(super) fn is_open(&self) -> bool {
        !self.answers.is_closed() && self.deadline > Instant::now()
    }
}

/// The function's id on the network: from the name, whatever the types are called.
fn function_id(instance: &str) -> FunctionId {
    FunctionId::from(format!("zipnet/1 describe {instance}").as_str())
}

/// Announces and answers until the handler is dropped. `None` when this network serves the name already.
pub(super) fn serve(
    network: &Network,
    instance: &str,
    provider: Provider,
) -> Option<Handler<(), Vec<u8>, ()>> {
    let builder = network.functions().handler::<(), Vec<u8>, ()>();
    let builder = builder.with_function_id(function_id(instance)).with_max_concurrent(MAX_SERVED);
    let served = builder.serve(move |(), _| {
        let answer = provider();
        async move { if answer.len() > MAX_ANSWER { Err(()) } else { Ok(answer) } }
    });
    served.ok()
}

/// Asks everybody who announces the name, once each, and hands on what they answer, until the deadline or until nobody
/// listens any more.
pub(super) async fn ask(network: &Network, question: Question) {
    let id = function_id(&question.instance);
    let mut catalog = network.discovery().catalog_watch();
    let mut retry = interval(RETRY);
    retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut asked, mut failed) = (BTreeSet::<MosaikId>::new(), BTreeSet::<MosaikId>::new());
    let mut calls: FuturesUnordered<Asked<'_>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = question.answers.closed() => return,
            () = sleep_until(question.deadline) => return,
            Ok(()) = catalog.changed() => {}
            _ = retry.tick() => asked.retain(|peer| !failed.contains(peer)),
            Some((peer, answer)) = calls.next(), if !calls.is_empty() => match answer {
                Ok(bytes) => {
                    failed.remove(&peer);
                    let answer = Answer { from: PeerId(*peer.as_bytes()), bytes };
                    if question.answers.send(answer).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    debug!(peer = %peer.fmt_short(), error, "no description");
                    failed.insert(peer);
                }
            },
        }
        let known = catalog.borrow_and_update().clone();
        for peer in known.signed_peers().filter(|peer| peer.functions().contains(&id)) {
            if calls.len() < MAX_ASKED && asked.insert(*peer.id()) {
                failed.remove(peer.id());
                calls.push(ask_one(network, id, *peer.id()).boxed_local());
            }
        }
    }
}

/// A peer's answer to come.
type Asked<'a> = LocalBoxFuture<'a, (MosaikId, Result<Vec<u8>, String>)>;

async fn ask_one(network: &Network, id: FunctionId, peer: MosaikId) -> (MosaikId, Result<Vec<u8>, String>) {
    let caller = network.functions().caller::<(), Vec<u8>, ()>().with_function_id(id);
    let caller = caller.require(move |candidate| *candidate.id() == peer).build();
    let answer = match caller.call_with_timeout((), ASK_TIMEOUT).await {
        Ok(answer) if answer.len() <= MAX_ANSWER => Ok(answer),
        Ok(answer) => Err(format!("an answer of {} bytes, at most {MAX_ANSWER} are allowed", answer.len())),
        Err(error) => Err(error.to_string()),
    };
    (peer, answer)
}
