//! What this thread used.

use std::time::Duration;

/// Nanoseconds of CPU of this thread so far.
fn used() -> u64 {
    // The kernel counts a running thread's time only now and then, but always when it goes to sleep.
    std::thread::sleep(Duration::from_nanos(1));
    let text =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with scheduler statistics");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}

/// Runs something; its result and the milliseconds of CPU it took in this thread.
pub(super) fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let before = used();
    let out = work();
    (out, (used() - before) as f64 / 1e6)
}

/// Resident bytes of this process.
pub(super) fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("it is there");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number") * 1_024
}
