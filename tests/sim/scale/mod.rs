//! What a round costs each role, and how that grows with the number of clients. Not a simulation: one round after the
//! other with everything at hand, real crypto and encodings, the default parameters, five servers, one aggregator.
//!
//! `ZIPNET_SIM_SCALE=100,1000 cargo nextest run --release --workspace --run-ignored only -E 'binary(sim) and test(scale)'
//! --no-capture` prints the table of docs/scale.md and draws docs/scale.svg anew; without the variable it goes up to
//! 100,000 clients and takes a quarter of an hour, so run the test binary itself then, which nextest's limit does not end.
//!
//! What is shared, because it is the same everywhere: the state of the log, which each server has for itself (its CPU is
//! counted for each). What is a sample: the CPU and the bytes of a client are those of real cores of zipnetd, a few among
//! many; up to 10,000 clients all the others seal for real too and the record comes out right, beyond that most of them
//! send zeros, which costs aggregator and servers the same.

mod committee;
mod cpu;
mod others;
mod report;
mod sampled;

use committee::Committee;
use others::Others;
use report::Row;
use sampled::Sampled;

/// Clients that are real cores of zipnetd.
const SAMPLE: usize = 4;
/// Rounds before the one that is measured: the first ones are quiet, and then reservations have to come in.
const BEFORE: u64 = 2;

#[test]
#[ignore = "takes minutes: see the module"]
fn scale() {
    let sizes = std::env::var("ZIPNET_SIM_SCALE").unwrap_or_else(|_| "100,1000,10000,100000".to_owned());
    let sizes = sizes.split(',').map(|n| n.trim().parse::<usize>().expect("numbers of clients"));
    let rows: Vec<Row> = sizes
        .map(|n| {
            let row = measure(n);
            println!("{row:#?}");
            row
        })
        .collect();
    println!("{}", report::table(&rows));
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scale.svg");
    std::fs::write(&path, report::plot(&rows)).expect("docs/ can be written");
}

/// The smallest run of it, so that it works when somebody needs it.
#[test]
fn a_round_of_forty_is_measured() {
    let row = measure(40);
    assert!(row.published > 0, "{row:?}");
    assert!(report::table(std::slice::from_ref(&row)).contains("| 40 |"));
    assert!(report::plot(&[row.clone(), Row { n: 400, ..row }]).ends_with("</svg>\n"));
}

fn measure(n: usize) -> Row {
    // One thread, so that what it used is what the work took.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let mut committee = Committee::new();
    let mut sampled: Vec<Sampled> = (0..SAMPLE).map(|i| Sampled::new(i, &committee)).collect();
    let mut row = Row { n, ..Row::default() };
    let mut others = Others::register(n - SAMPLE, &mut committee, &mut row);
    for client in &mut sampled {
        client.register(&mut committee);
    }
    pool.install(|| {
        for round in 0..=BEFORE {
            let measured = (round == BEFORE).then_some(&mut row);
            committee.round(&mut sampled, &mut others, measured);
        }
        committee.idle(&mut row);
        Others::joins(&committee, &mut row);
    });
    row.memory = cpu::memory();
    row
}
