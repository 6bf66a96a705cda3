//! Replays the corpora, and a few altered inputs of each target. `ZIPNET_FUZZ_SECONDS=60` explores each for so long,
//! `ZIPNET_FUZZ_SEED` from another seed.

use std::time::Duration;

use zipnet_fuzz::explore::{Until, explore};
use zipnet_fuzz::{TARGETS, target};

/// Inputs of each target that are tried in every test run, seeds and corpus among them.
const QUICK: u64 = 400;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn run(name: &str) {
    let target = target(name).expect("it is listed");
    let until = number("ZIPNET_FUZZ_SECONDS")
        .map_or(Until::Count(QUICK), |seconds| Until::Time(Duration::from_secs(seconds)));
    let tried = explore(target, &until, number("ZIPNET_FUZZ_SEED").unwrap_or(1));
    println!("{name}: {tried} inputs");
}

macro_rules! tests {
    ($($name:ident)*) => {
        $( #[test] fn $name() { run(stringify!($name)); } )*

        #[test]
        fn every_target_is_replayed() {
            let tested = [$(stringify!($name)),*];
            let listed: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(listed, tested);
        }
    };
}

tests! {
    wire receipt json terminal frames hello describe entries snapshot register server aggregator client reader store control
}
