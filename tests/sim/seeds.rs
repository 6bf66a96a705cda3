//! Running seeds: on all cores, with the seed and the last events of the first that fails.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::plan::Plan;
use crate::trace::Trace;
use crate::truth::Violation;
use crate::world::{Summary, World};

/// A run that failed.
pub(crate) struct Failed {
    pub(crate) plan: Plan,
    pub(crate) violation: Violation,
    pub(crate) last: String,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { plan, violation, last } = self;
        write!(
            f,
            "{last}\n{plan:#?}\nseed {}: {}: {}\nagain: ZIPNET_SIM_SEED={} cargo nextest run --release --workspace -E \
             'binary(sim) and test(seeds)' --no-capture",
            plan.seed, violation.name, violation.text, plan.seed
        )
    }
}

/// Runs one plan. A panic is a violation too.
pub(crate) fn run(plan: Plan) -> Result<Summary, Box<Failed>> {
    let trace = Rc::new(RefCell::new(Trace::new()));
    let kept = trace.clone();
    let again = plan.clone();
    // What a panic leaves behind is not looked at, but for the trace.
    let ran = catch_unwind(AssertUnwindSafe(|| World::new(again, trace).run()));
    let result = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(Violation::new("no panic", text.unwrap_or_default()))
    });
    result.map_err(|violation| {
        let last = kept.borrow().last();
        Box::new(Failed { plan, violation, last })
    })
}

/// Runs these seeds on all cores; the summaries in the order of the seeds, or the failure of the smallest seed that was
/// run and failed.
pub(crate) fn run_all(seeds: std::ops::Range<u64>) -> Result<Vec<Summary>, String> {
    let (next, end) = (AtomicU64::new(seeds.start), seeds.end);
    let (done, failed) = (Mutex::new(Vec::new()), Mutex::new(None::<(u64, String)>));
    let work = || {
        // Sums of pads stay in this thread: a world is as fast as one core.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end || failed.lock().expect("no panic in here").is_some() {
                return;
            }
            match pool.install(|| run(Plan::of(seed))) {
                Ok(summary) => done.lock().expect("no panic in here").push((seed, summary)),
                Err(failure) => {
                    let mut first = failed.lock().expect("no panic in here");
                    if first.as_ref().is_none_or(|(known, _)| seed < *known) {
                        *first = Some((seed, failure.to_string()));
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    if let Some((_, failure)) = failed.into_inner().expect("no panic in here") {
        return Err(failure);
    }
    let mut done = done.into_inner().expect("no panic in here");
    done.sort_by_key(|(seed, _)| *seed);
    Ok(done.into_iter().map(|(_, summary)| summary).collect())
}
