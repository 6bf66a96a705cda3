//! What the daemon says of itself, judged.

use zipnet_proto::{CallError, Health, v1::StatusResponse};

use super::{Check, Level};
use crate::text;

const OURS: &str = env!("CARGO_PKG_VERSION");

/// Daemon and caller are on one host: more than this apart, one of the clocks is somebody's invention.
const CLOCK_MS: u64 = 5_000;
/// 2025-01-01 and 2100-01-01. Outside, times to live and identifiers by time make no sense.
const SANE_MS: std::ops::Range<u64> = 1_735_689_600_000..4_102_444_800_000;
/// Less than this and a store stops taking messages soon.
const DISK_PROBLEM_BYTES: u64 = 64 * 1024 * 1024;
/// Less than this and somebody should look.
const DISK_WARNING_BYTES: u64 = 1024 * 1024 * 1024;
/// A daemon finds its instance and registers within this, or something is in its way.
const STARTING_MS: u64 = 5 * 60 * 1000;
/// With an open channel a message leaves within seconds.
const STUCK_MS: u64 = 5 * 60 * 1000;

const CHECK_NETWORK: &str = "`zipnetd --check`, with the daemon's settings, says what can be reached";

/// It accepted the connection and then did not answer as it should.
pub(super) fn fails(error: &CallError) -> Check {
    let (text, mend) = match error {
        CallError::Refused(refused) => {
            let reason = refused.reason.as_str();
            (format!("it refuses to say how it is: {reason}"), "`zipnetctl status` says more".to_owned())
        }
        CallError::TimedOut { call, after } => (
            format!("it did not answer {call} within {} s", after.as_secs()),
            "restart zipnetd, its log may say what holds it up".into(),
        ),
        CallError::Lost { call, .. } => {
            (format!("it went away during {call}"), "`zipnetctl doctor` again in a minute".into())
        }
        CallError::Failed { call, code, .. } => {
            (format!("it failed at {call} ({code:?})"), "zipnetd's log may say more".into())
        }
    };
    Check::problem("daemon", text, mend)
}

/// Every check, in the order in which they should be mended.
pub(super) fn all(health: Health, s: &StatusResponse, now_ms: u64) -> Vec<Check> {
    let mut checks = vec![daemon(health, s), version(s), clock(s, now_ms), disk(s), instance(s)];
    // Nothing further is known without.
    if !s.deployment.is_empty() {
        checks.extend([pinned(s), servers(s), registered(s), round(s), participants(s)]);
    }
    checks.extend([sending(s), queue(s), remarks(s)]);
    checks
}

/// It came up a moment ago.
fn starting(s: &StatusResponse) -> bool {
    s.now_ms.saturating_sub(s.started_at_ms) < STARTING_MS
}

fn daemon(health: Health, s: &StatusResponse) -> Check {
    const CHECK: &str = "daemon";
    if s.draining {
        return Check::warning(CHECK, "it is on its way down and takes no messages", "start zipnetd again");
    }
    match health {
        Health::Serving => Check::ok(CHECK, "it answers and takes messages"),
        Health::NotServing => {
            Check::warning(CHECK, "it answers, but takes no messages", "`zipnetctl status` says what it does")
        }
    }
}

/// All that is known of versions without a daemon.
pub(super) fn our_version() -> Check {
    Check::ok("version", format!("zipnetctl is {OURS}"))
}

fn version(s: &StatusResponse) -> Check {
    const CHECK: &str = "version";
    if s.version == OURS {
        return Check::ok(CHECK, format!("zipnetctl and zipnetd are {OURS}"));
    }
    let text = format!("zipnetctl is {OURS}, zipnetd is {}", text::tame(&s.version));
    Check::problem(CHECK, text, "install the same version of both, and restart zipnetd")
}

/// All that is known of clocks without a daemon.
pub(super) fn our_clock(now_ms: u64) -> Check {
    if SANE_MS.contains(&now_ms) {
        return Check::ok("clock", "the year makes sense");
    }
    let text = format!("this host thinks it is {}", text::moment(now_ms));
    Check::problem("clock", text, "`sudo timedatectl set-ntp true`")
}

fn clock(s: &StatusResponse, now_ms: u64) -> Check {
    let ours = our_clock(now_ms);
    if ours.level != Level::Ok {
        return ours;
    }
    let apart = now_ms.abs_diff(s.now_ms);
    if apart > CLOCK_MS {
        let text = format!("the daemon's is {} from ours", text::span(apart));
        return Check::problem("clock", text, "restart zipnetd; both should run on this host");
    }
    Check::ok("clock", "the daemon's is ours, and the year makes sense")
}

fn disk(s: &StatusResponse) -> Check {
    const CHECK: &str = "disk";
    const FREE: &str = "free some where the daemon's state is: `df -h`";
    match s.disk_free_bytes {
        None => Check::warning(CHECK, "nobody knows how much is free", "`df -h` where the daemon's state is"),
        Some(free) => {
            let text = format!("{} free", text::size(free));
            if free < DISK_PROBLEM_BYTES {
                Check::problem(CHECK, text, FREE)
            } else if free < DISK_WARNING_BYTES {
                Check::warning(CHECK, text, FREE)
            } else {
                Check::ok(CHECK, text)
            }
        }
    }
}

fn instance(s: &StatusResponse) -> Check {
    const CHECK: &str = "instance";
    let name = text::tame(&s.instance);
    if !s.deployment.is_empty() {
        let deployment: String = s.deployment.chars().take(8).collect();
        return Check::ok(CHECK, format!("{name}, deployment {}", text::tame(&deployment)));
    }
    let mend = format!("check the name (ZIPNET_INSTANCE) and the bootstrap peer: {CHECK_NETWORK}");
    if starting(s) && s.state != "connect_timeout" {
        Check::warning(CHECK, format!("{name} is not found yet"), "`zipnetctl doctor` again in a minute")
    } else {
        Check::problem(CHECK, format!("nobody serves {name}, as far as the daemon can see"), mend)
    }
}

fn pinned(s: &StatusResponse) -> Check {
    const CHECK: &str = "pinned";
    if s.pinned {
        return Check::ok(CHECK, "the deployment was named by the operator");
    }
    let pin = format!("{}#{}", text::tame(&s.instance), text::tame(&s.deployment));
    let mend =
        format!("compare with the id that its operators publish, then start with ZIPNET_INSTANCE=\"{pin}\"");
    Check::warning(CHECK, "the deployment was taken on the bootstrap peer's word", mend)
}

fn servers(s: &StatusResponse) -> Check {
    const CHECK: &str = "servers";
    let named = s.servers.len();
    let text = format!("{named} of {} in the last round, {} are needed", s.servers_total, s.min_servers);
    if named >= s.min_servers as usize {
        Check::ok(CHECK, text)
    } else {
        let mend = format!("messages are held until the committee is back; {CHECK_NETWORK}");
        Check::problem(CHECK, text, mend)
    }
}

fn registered(s: &StatusResponse) -> Check {
    const CHECK: &str = "registered";
    if s.registered {
        Check::ok(CHECK, "with every server of the last round")
    } else if starting(s) {
        Check::warning(CHECK, "not yet", "`zipnetctl doctor` again in a minute")
    } else {
        Check::problem(CHECK, "not with every server of the last round", CHECK_NETWORK)
    }
}

fn round(s: &StatusResponse) -> Check {
    const CHECK: &str = "round";
    if s.round > 0 {
        Check::ok(CHECK, format!("the last one is {}", s.round))
    } else {
        Check::warning(CHECK, "none was seen yet", CHECK_NETWORK)
    }
}

fn participants(s: &StatusResponse) -> Check {
    const CHECK: &str = "anonymity";
    let low = s.participants_low_1h.map(|low| format!(", {low} at the lowest in the last hour"));
    let low = low.unwrap_or_default();
    let text = format!("{} participants{low}; at least {} to send", s.participants, s.min_anonymity);
    if s.participants >= s.min_anonymity {
        Check::ok(CHECK, text)
    } else {
        Check::warning(CHECK, text, "messages are held until more take part: every zipnetd helps")
    }
}

fn sending(s: &StatusResponse) -> Check {
    const CHECK: &str = "sending";
    const WAIT: &str = "`zipnetctl status` says why";
    if s.paused {
        return Check::warning(CHECK, "it is paused: only cover leaves", "`zipnetctl resume`");
    }
    match s.state.as_str() {
        "ready" => Check::ok(CHECK, "what is queued leaves"),
        "warming_up" => Check::ok(CHECK, "warming up: what is queued leaves in a minute or two"),
        state => Check::warning(CHECK, format!("nothing leaves: {}", text::tame(state)), WAIT),
    }
}

/// Whether a message waits is nobody's business; only that one waits too long is told.
fn queue(s: &StatusResponse) -> Check {
    const CHECK: &str = "queue";
    let limit = text::span(STUCK_MS);
    if s.oldest_age_ms.is_some_and(|age| age > STUCK_MS) {
        let text = format!("something waits for longer than {limit}");
        Check::warning(CHECK, text, "`zipnetctl list` says what and why")
    } else {
        Check::ok(CHECK, format!("nothing waits for longer than {limit}"))
    }
}

fn remarks(s: &StatusResponse) -> Check {
    const CHECK: &str = "remarks";
    match s.warnings.len() {
        0 => Check::ok(CHECK, "the daemon has none"),
        n => {
            let text = format!("the daemon has {}", text::count(n as u32, "warning"));
            Check::warning(CHECK, text, "`zipnetctl status` shows them")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_at_their_edges() {
        let now = SANE_MS.start;
        assert_eq!(our_clock(now).level, Level::Ok);
        assert_eq!(our_clock(now - 1).text, "this host thinks it is 2024-12-31T23:59:59Z");
        assert_eq!(our_clock(SANE_MS.end).text, "this host thinks it is 2100-01-01T00:00:00Z");
        let daemon = StatusResponse { now_ms: now, ..StatusResponse::default() };
        assert_eq!(clock(&daemon, now + CLOCK_MS).level, Level::Ok);
        assert_eq!(clock(&daemon, now + CLOCK_MS + 1).level, Level::Problem);
        assert_eq!(clock(&daemon, 0).level, Level::Problem);
    }

    #[test]
    fn limits_at_their_edges() {
        let free = |bytes| {
            let status = StatusResponse { disk_free_bytes: Some(bytes), ..StatusResponse::default() };
            disk(&status).level
        };
        assert_eq!(free(DISK_WARNING_BYTES), Level::Ok);
        assert_eq!(free(DISK_WARNING_BYTES - 1), Level::Warning);
        assert_eq!(free(DISK_PROBLEM_BYTES), Level::Warning);
        assert_eq!(free(DISK_PROBLEM_BYTES - 1), Level::Problem);
        let oldest = |age| {
            let status = StatusResponse { oldest_age_ms: age, ..StatusResponse::default() };
            queue(&status).level
        };
        assert_eq!(oldest(Some(STUCK_MS)), Level::Ok);
        assert_eq!(oldest(Some(STUCK_MS + 1)), Level::Warning);
        let age =
            |ms| starting(&StatusResponse { now_ms: ms, started_at_ms: 0, ..StatusResponse::default() });
        assert!(age(STARTING_MS - 1) && !age(STARTING_MS));
    }
}
