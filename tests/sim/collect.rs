//! The leader's collection of a round's aggregates, as `committee/src/server/collect.rs` does it.

use std::cell::RefCell;
use std::rc::Rc;

use zipnet_dcnet::aggregate::{Aggregate, Bitmap, Fold, FoldError};
use zipnet_dcnet::header::Header;
use zipnet_dcnet::ids::{HeaderDigest, PeerId};
use zipnet_dcnet::signed::Signed;
use zipnet_dcnet::wire::AggregateCall;

use crate::clock::Ms;
use crate::net::Node;
use crate::world::World;

/// What an aggregator gets beyond the fold deadline to bring its answer over.
const GRACE: Ms = 1_000;

type Part = Option<Signed<Aggregate>>;

struct Job {
    server: usize,
    header: Header,
    digest: HeaderDigest,
    call: AggregateCall,
    answers: Vec<Option<Part>>,
    fold: Fold,
    parts: Vec<Signed<Aggregate>>,
}

impl World {
    pub(crate) fn collect(
        &mut self,
        server: usize,
        header: Header,
        digest: HeaderDigest,
        within_ms: u32,
        without: Bitmap,
    ) {
        let call = AggregateCall { header_digest: digest, within_ms, without };
        let aggregators = header.aggregators.clone();
        let job = Rc::new(RefCell::new(Job {
            server,
            fold: Fold::new(&self.plan.params, &header),
            header,
            digest,
            call: call.clone(),
            answers: vec![None; aggregators.len()],
            parts: Vec::new(),
        }));
        for (n, aggregator) in aggregators.into_iter().enumerate() {
            let job = job.clone();
            self.ask(server, aggregator, call.clone(), move |w, part| {
                job.borrow_mut().answers[n] = Some(part);
                if job.borrow().answers.iter().all(Option::is_some) {
                    merge_from(w, &job, 0);
                }
            });
        }
    }

    fn ask(
        &mut self,
        server: usize,
        aggregator: PeerId,
        call: AggregateCall,
        done: impl FnOnce(&mut World, Part) + 'static,
    ) {
        let a = self.aggregators.iter().position(|a| a.id() == aggregator).expect("all are known");
        let (from, timeout) = (self.servers[server].id(), Ms::from(call.within_ms) + GRACE);
        self.call(
            Node::Server(server),
            Node::Aggregator(a),
            timeout,
            move |w, answer| w.aggregate(a, from, call.clone(), answer),
            move |w, part: Option<Part>| done(w, part.flatten()),
        );
    }
}

/// Merges the answers from number `n` on; where one overlaps, it is asked once more without the shared entries.
fn merge_from(w: &mut World, job: &Rc<RefCell<Job>>, n: usize) {
    let mut j = job.borrow_mut();
    if n == j.answers.len() {
        let (s, digest, parts) = (j.server, j.digest, std::mem::take(&mut j.parts));
        w.servers[s].core.collected(digest, parts);
        return w.wake(s);
    }
    let answer = j.answers[n].take().flatten();
    let again = matches!(j.merge(n, answer.as_ref()), Some(FoldError::Overlap(_)));
    if !again {
        drop(j);
        return merge_from(w, job, n + 1);
    }
    let call = AggregateCall { without: j.fold.participants.clone(), within_ms: 0, ..j.call.clone() };
    let (server, aggregator) = (j.server, j.header.aggregators[n]);
    drop(j);
    let job = job.clone();
    w.ask(server, aggregator, call, move |w, part| {
        let _ = job.borrow_mut().merge(n, part.as_ref());
        merge_from(w, &job, n + 1);
    });
}

impl Job {
    /// Folds a part in; what stands against it, if anything does.
    fn merge(&mut self, n: usize, answer: Option<&Signed<Aggregate>>) -> Option<FoldError> {
        let (part, from) = (answer?, self.header.aggregators[n]);
        let aggregate = part.verify().ok().filter(|a| a.aggregator == from);
        let result = match aggregate {
            Some(aggregate) => self.fold.merge(&self.header, aggregate),
            None => Err(FoldError::NotAggregator(from)),
        };
        if result.is_ok() {
            self.parts.push(part.clone());
        }
        result.err()
    }
}
