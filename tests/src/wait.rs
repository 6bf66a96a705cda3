//! Waiting for conditions.

use std::fmt::Display;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(50);

/// Asks again and again until there is an answer.
///
/// # Panics
/// After `within`, saying `what` was waited for and why it is not there.
pub fn until<T, E: Display>(within: Duration, what: &str, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) if start.elapsed() > within => panic!("waited {within:?} for {what}: {error}"),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
