//! For the crate `fuzz/`: the broadcast log as readers get it, from servers that say what they like.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::wire::{Event, RecordsCall, RecordsReply};
use zipnet_proto::v1::ReadItem;

use super::log::Log;
use super::read::{Source, read};

/// Most items that are looked at.
const MAX_ITEMS: usize = 4_096;

/// Servers that give one answer after the other, whatever they are asked.
struct Answers {
    servers: Vec<PeerId>,
    left: Mutex<VecDeque<(u8, RecordsReply)>>,
}

impl Source for Answers {
    fn records(
        &self,
        _: RecordsCall,
        wish: Option<PeerId>,
        _: &[PeerId],
    ) -> BoxFuture<'_, Option<(PeerId, RecordsReply)>> {
        let next = self.left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let answer = next.map(|(server, reply)| {
            let any = self.servers[usize::from(server) % self.servers.len()];
            (wish.filter(|_| server % 2 == 0).unwrap_or(any), reply)
        });
        Box::pin(async move { answer })
    }
}

/// What a reader from `from` on gets, when servers said and say this: everything up to where it would wait.
pub fn reading(
    descriptor: &Descriptor,
    heard: &[(u8, Event)],
    answers: Vec<(u8, RecordsReply)>,
    from: Option<u64>,
) -> Vec<ReadItem> {
    let servers = descriptor.servers.clone();
    let log = Log::new(descriptor.clone());
    for (server, event) in heard {
        let server = servers[usize::from(*server) % servers.len()];
        match event {
            Event::Open { header, .. } => log.opened(server, header),
            Event::Ended(ended) => log.ended(server, ended),
            Event::Boot(_) => {}
        }
    }
    let source = Arc::new(Answers { servers, left: Mutex::new(answers.into()) });
    let (sink, mut items) = mpsc::channel(MAX_ITEMS);
    // Pending: it pauses before it asks again, or it has all there is room for.
    let _ = read(log, source, from, false, sink).now_or_never();
    let mut out = Vec::new();
    while let Ok(item) = items.try_recv() {
        out.push(item);
    }
    out
}
