//! The table and the plot of docs/scale.md.

use std::fmt::Write as _;

/// What was measured with so many clients. CPU in milliseconds, sizes in bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) n: usize,
    pub(super) participants: u32,
    pub(super) published: usize,
    pub(super) client_cpu: f64,
    pub(super) client_in: u64,
    pub(super) client_out: u64,
    pub(super) aggregator_cpu: f64,
    pub(super) aggregator_in: u64,
    pub(super) aggregator_out: u64,
    pub(super) leader_cpu: f64,
    pub(super) leader_in: u64,
    pub(super) leader_out: u64,
    pub(super) follower_cpu: f64,
    pub(super) follower_in: u64,
    pub(super) follower_out: u64,
    /// Of the servers' CPU, what applying the log took.
    pub(super) applying_cpu: f64,
    /// A turn of a server's loop in which nothing is to be done.
    pub(super) idle_cpu: f64,
    pub(super) record: u64,
    pub(super) roster: u64,
    pub(super) snapshot: u64,
    /// One client joins: the delta, what making it costs, and what each who has the roster pays for it.
    pub(super) delta: u64,
    pub(super) delta_server: f64,
    pub(super) delta_client: f64,
    /// Registering one client: its CPU with all servers, the CPU of each server, bytes with all servers.
    pub(super) register_client: f64,
    pub(super) register_server: f64,
    pub(super) register_bytes: u64,
    /// The vouches of all servers for one client: applying them, and one in the log.
    pub(super) vouch_cpu: f64,
    pub(super) vouch_bytes: u64,
    /// Of the process that measured.
    pub(super) memory: u64,
}

type Column = (&'static str, fn(&Row) -> f64);

const CPU: [Column; 5] = [
    ("client", |r| r.client_cpu),
    ("aggregator", |r| r.aggregator_cpu),
    ("leader", |r| r.leader_cpu),
    ("follower", |r| r.follower_cpu),
    ("idle turn of a server", |r| r.idle_cpu),
];

const BYTES: [Column; 6] = [
    ("client in", |r| r.client_in as f64),
    ("client out", |r| r.client_out as f64),
    ("aggregator in", |r| r.aggregator_in as f64),
    ("leader out", |r| r.leader_out as f64),
    ("follower in", |r| r.follower_in as f64),
    ("follower out", |r| r.follower_out as f64),
];

const ONCE: [Column; 10] = [
    ("roster", |r| r.roster as f64),
    ("record", |r| r.record as f64),
    ("snapshot", |r| r.snapshot as f64),
    ("delta of one join", |r| r.delta as f64),
    ("delta, made (ms)", |r| r.delta_server),
    ("delta, taken in (ms)", |r| r.delta_client),
    ("registering, client (ms)", |r| r.register_client),
    ("registering, each server (ms)", |r| r.register_server),
    ("vouches applied (ms)", |r| r.vouch_cpu),
    ("memory of the measurement", |r| r.memory as f64),
];

fn bytes(b: f64) -> String {
    match b {
        b if b >= 1e9 => format!("{:.2} GB", b / 1e9),
        b if b >= 1e6 => format!("{:.1} MB", b / 1e6),
        b if b >= 1e4 => format!("{:.0} kB", b / 1e3),
        b => format!("{b:.0} B"),
    }
}

fn ms(ms: f64) -> String {
    match ms {
        ms if ms >= 1e4 => format!("{:.1} s", ms / 1e3),
        ms if ms >= 10.0 => format!("{ms:.0} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

/// One table, with the growth from the first to the last row as an exponent of N.
fn one(out: &mut String, title: &str, columns: &[Column], rows: &[Row], show: fn(f64) -> String) {
    let _ = write!(out, "\n| {title} |");
    for column in columns {
        let _ = write!(out, " {} |", column.0);
    }
    let _ = write!(out, "\n| --- |{}\n", " --- |".repeat(columns.len()));
    for row in rows {
        let _ = write!(out, "| {} |", row.n);
        for column in columns {
            let value = column.1(row);
            let _ = write!(out, " {} |", if column.0.ends_with("(ms)") { ms(value) } else { show(value) });
        }
        out.push('\n');
    }
    if let [.., before, last] = rows {
        let _ = write!(out, "| last step, N to the power of |");
        for (_, value) in columns {
            let power = (value(last) / value(before)).ln() / (last.n as f64 / before.n as f64).ln();
            let _ = write!(out, " {power:.2} |");
        }
        out.push('\n');
    }
}

/// The tables, in Markdown.
pub(super) fn table(rows: &[Row]) -> String {
    let mut out = String::new();
    one(&mut out, "CPU per round, N =", &CPU, rows, ms);
    one(&mut out, "bytes per round, N =", &BYTES, rows, bytes);
    one(&mut out, "once, N =", &ONCE, rows, bytes);
    out
}

const COLOURS: [&str; 6] = ["#1b6ca8", "#d1495b", "#2a7f3f", "#edae49", "#7d5ba6", "#555555"];
/// A panel: its width and height, and room for its labels.
const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;

/// Both on logarithmic axes.
pub(super) fn plot(rows: &[Row]) -> String {
    let mut out = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1120 400\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"1120\" height=\"400\" fill=\"white\"/>\n",
    );
    panel(&mut out, 0.0, "CPU per round, ms", &CPU, rows);
    panel(&mut out, 560.0, "bytes per round", &BYTES, rows);
    out.push_str("</svg>\n");
    out
}

fn panel(out: &mut String, x0: f64, title: &str, columns: &[Column], rows: &[Row]) {
    let values = || rows.iter().flat_map(|row| columns.iter().map(move |c| c.1(row).max(1e-3).log10()));
    let (low, high) = (values().fold(f64::MAX, f64::min).floor(), values().fold(f64::MIN, f64::max).ceil());
    let ns = || rows.iter().map(|row| (row.n as f64).log10());
    let (left, right) = (ns().fold(f64::MAX, f64::min), ns().fold(f64::MIN, f64::max));
    let x = |n: f64| x0 + LEFT + (n.log10() - left) / (right - left).max(1e-9) * WIDTH;
    let y = |v: f64| TOP + HEIGHT - (v.max(1e-3).log10() - low) / (high - low).max(1e-9) * HEIGHT;
    let _ = writeln!(out, "<text x=\"{}\" y=\"22\" font-size=\"14\">{title}</text>", x0 + LEFT);
    for power in low as i32..=high as i32 {
        let (at, value) = (y(10f64.powi(power)), 10f64.powi(power));
        let _ = writeln!(
            out,
            "<path d=\"M{} {at:.1}h{WIDTH}\" stroke=\"#dddddd\"/><text x=\"{}\" y=\"{:.1}\" \
             text-anchor=\"end\">{value}</text>",
            x0 + LEFT,
            x0 + LEFT - 6.0,
            at + 4.0
        );
    }
    for row in rows {
        let at = x(row.n as f64);
        let _ = writeln!(
            out,
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            TOP + HEIGHT + 18.0,
            row.n
        );
    }
    for (i, (name, value)) in columns.iter().enumerate() {
        let points: Vec<String> =
            rows.iter().map(|row| format!("{:.1} {:.1}", x(row.n as f64), y(value(row)))).collect();
        let colour = COLOURS[i % COLOURS.len()];
        let _ = writeln!(
            out,
            "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{}\" y=\"{}\" \
             fill=\"{colour}\">{name}</text>",
            points.join("L"),
            x0 + LEFT + WIDTH + 10.0,
            TOP + 16.0 * (i as f64 + 1.0)
        );
    }
}
