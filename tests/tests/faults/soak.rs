//! Many rounds with churn: memory, disk and file descriptors stay flat.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use zipnet_tests::FleetConfig;

use crate::scene::{PARAMS, Scene, Setting};

/// Rounds, unless `ZIPNET_SOAK_ROUNDS` says otherwise.
const ROUNDS: u64 = 200;
/// Something ends and starts again after so many.
const CHURN: u64 = 40;
/// Growth from the first half to the second that is not called growth: allocators and segments of the store come in steps.
const STEPS: Usage = Usage { memory: 24 << 20, disk: 8 << 20, files: 24 };

/// What a process uses.
#[derive(Clone, Copy, Default, Debug)]
struct Usage {
    /// Resident bytes.
    memory: u64,
    /// Bytes of its state folder.
    disk: u64,
    /// Open file descriptors.
    files: u64,
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn memory_disk_and_files_stay_flat_under_churn() {
    let rounds = std::env::var("ZIPNET_SOAK_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    // A log that is as long after the first part as at the end.
    let retain = format!("retain={}", (rounds / 4).max(16));
    let params = [PARAMS, &["min_servers=2", "absence_limit=12", &retain]].concat();
    let config = FleetConfig {
        instance: "soak.faults",
        servers: 3,
        aggregators: 2,
        clients: 8,
        params: &params,
        small_disk: None,
    };
    let mut scene = Scene::start(&config, Setting { period: 1, deadline: 6 });
    let (began, first) = (Instant::now(), scene.round());
    let mut samples = BTreeMap::<String, Vec<(u64, Usage)>>::new();
    let mut churned = 0;
    loop {
        let round = scene.round() - first;
        for (name, pid, state) in processes(&mut scene) {
            samples.entry(name).or_default().push((round, usage(pid, &state)));
        }
        if round >= rounds {
            break;
        }
        if round / CHURN > churned {
            churned = round / CHURN;
            churn(&mut scene, churned);
            // Servers drop old rounds, more of them than these in a long run.
            scene.fleet.remember();
        }
        // A sample for each two hundredth of the way, and not more than one a round.
        let next = round + (rounds / 200).max(1);
        while scene.round() - first < next {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }
    scene.note(&format!("{rounds} rounds in {} s, {churned} restarts", began.elapsed().as_secs()));
    if let Some(file) = std::env::var_os("ZIPNET_SOAK_SVG") {
        fs::write(file, svg(&samples)).unwrap();
    }
    // What is never restarted has to be flat: the first server and the reader.
    for name in ["server-0", "client-0"] {
        flat(&mut scene, name, &samples[name]);
    }
    scene.end();
}

/// Kills or stops one that may be churned, and starts it again; the audit comes at the end.
fn churn(scene: &mut Scene, turn: u64) {
    let fleet = &mut scene.fleet;
    match turn % 4 {
        0 => {
            fleet.servers[2].stop();
            fleet.servers[2].start();
        }
        1 => {
            fleet.clients[7].daemon.process().kill();
            fleet.clients[7].start();
        }
        2 => {
            fleet.aggregators[1].kill();
            fleet.aggregators[1].start();
        }
        _ => {
            fleet.clients[6].daemon.process().kill();
            fleet.clients[6].start();
        }
    }
}

fn processes(scene: &mut Scene) -> Vec<(String, u32, std::path::PathBuf)> {
    let fleet = &mut scene.fleet;
    let nodes = fleet.servers.iter().chain(&fleet.aggregators);
    let mut all: Vec<_> =
        nodes.filter_map(|node| Some((node.name().to_owned(), node.id()?, node.state_dir()))).collect();
    for client in &mut fleet.clients {
        let state = client.daemon.socket().with_file_name("state");
        let process = client.daemon.process();
        all.push((process.name().to_owned(), process.id(), state));
    }
    all
}

fn usage(pid: u32, state: &Path) -> Usage {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = rss.and_then(|rss| rss.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    let files = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |dir| dir.count() as u64);
    Usage { memory: kib << 10, disk: size(state), files }
}

fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let one =
        |path: &Path| if path.is_dir() { size(path) } else { fs::metadata(path).map_or(0, |m| m.len()) };
    entries.map(|entry| one(&entry.path())).sum()
}

/// One of the figures.
type Figure = fn(&Usage) -> u64;

/// The highest of the last quarter is no higher than the highest of the second, but for [`STEPS`] and a tenth.
fn flat(scene: &mut Scene, name: &str, samples: &[(u64, Usage)]) {
    let quarter = samples.len() / 4;
    let most = |part: &[(u64, Usage)], of: Figure| part.iter().map(|(_, u)| of(u)).max().unwrap_or(0);
    let figures: [(&str, Figure); 3] =
        [("memory", |u| u.memory), ("disk", |u| u.disk), ("files", |u| u.files)];
    for (what, of) in figures {
        let (early, late) = (most(&samples[quarter..quarter * 2], of), most(&samples[quarter * 3..], of));
        scene.note(&format!("{what} of {name}: at most {early} in the second quarter, {late} in the last"));
        assert!(late <= early + early / 10 + of(&STEPS), "{what} of {name} grows: {early}, then {late}");
    }
}

/// Three plots, one under the other: a line for each process.
fn svg(samples: &BTreeMap<String, Vec<(u64, Usage)>>) -> String {
    const WIDE: f64 = 720.0;
    const HIGH: f64 = 180.0;
    const LEFT: f64 = 90.0;
    const GAP: f64 = 50.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        WIDE + LEFT + 160.0,
        (HIGH + GAP) * 3.0 + 20.0
    );
    let rounds = samples.values().flatten().map(|(round, _)| *round).max().unwrap_or(1).max(1) as f64;
    let figures: [(&str, f64, Figure); 3] = [
        ("memory, MiB", 1_048_576.0, |u| u.memory),
        ("disk, MiB", 1_048_576.0, |u| u.disk),
        ("file descriptors", 1.0, |u| u.files),
    ];
    for (plot, (what, unit, of)) in figures.into_iter().enumerate() {
        let top = plot as f64 * (HIGH + GAP) + 30.0;
        let values = samples.values().flatten().map(|(_, usage)| of(usage) as f64 / unit);
        let most = values.fold(1.0_f64, f64::max);
        let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"{}\">{what}</text>", top - 8.0);
        let _ = writeln!(
            out,
            "<text x=\"10\" y=\"{}\">{most:.0}</text><text x=\"10\" y=\"{}\">0</text>",
            top + 10.0,
            top + HIGH
        );
        let _ = writeln!(
            out,
            "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{WIDE}\" height=\"{HIGH}\" fill=\"none\" stroke=\"#999\"/>"
        );
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\">round {rounds:.0}</text>",
            LEFT + WIDE - 70.0,
            top + HIGH + 15.0
        );
        for (name, line) in samples {
            let colour = match name.split('-').next() {
                Some("server") => "#c0392b",
                Some("aggregator") => "#2471a3",
                _ => "#229954",
            };
            let point = |(round, usage): &(u64, Usage)| {
                let y = top + HIGH - of(usage) as f64 / unit / most * HIGH;
                format!("{:.1},{y:.1}", LEFT + *round as f64 / rounds * WIDE)
            };
            let points: Vec<String> = line.iter().map(point).collect();
            let _ = writeln!(
                out,
                "<polyline fill=\"none\" stroke=\"{colour}\" points=\"{}\"/>",
                points.join(" ")
            );
        }
    }
    for (i, (name, colour)) in
        [("servers", "#c0392b"), ("aggregators", "#2471a3"), ("clients", "#229954")].into_iter().enumerate()
    {
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" fill=\"{colour}\">{name}</text>",
            LEFT + WIDE + 20.0,
            45.0 + i as f64 * 18.0
        );
    }
    out + "</svg>\n"
}
