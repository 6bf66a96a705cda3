//! What a server program tells the service manager (systemd): that it is ready, how it is doing, that it is alive.
//!
//! The daemon does the same in `zipnetd/src/service.rs`, on top of its control socket; it does not link this crate.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

/// Between two looks at the status: rounds end about this often, and nobody reads faster.
const LOOK: Duration = Duration::from_secs(5);

/// What the service manager wants of this process.
#[derive(Clone, Default)]
pub(crate) struct Manager {
    socket: Option<Arc<(UnixDatagram, SocketAddr)>>,
    /// It ends a process that says nothing for this long.
    watchdog: Option<Duration>,
}

impl Manager {
    /// What is meant for the process `pid` in its environment.
    pub(crate) fn new(env: &dyn Fn(&str) -> Option<OsString>, pid: u32) -> Self {
        let number = |name: &str| env(name)?.to_str()?.parse::<u64>().ok();
        // Without its pid, or with ours, the watchdog is for us.
        let watched = env("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(pid.into());
        let watchdog = number("WATCHDOG_USEC").filter(|usec| watched && *usec > 0);
        Self {
            socket: env("NOTIFY_SOCKET").and_then(|address| open(&address)),
            watchdog: watchdog.map(Duration::from_micros),
        }
    }

    /// Never waits: what cannot be told now is not told.
    fn tell(&self, text: &str) {
        let Some(both) = &self.socket else { return };
        let (socket, to) = &**both;
        if let Err(error) = socket.send_to_addr(text.as_bytes(), to) {
            debug!(%error, "the service manager was not told");
        }
    }

    /// The store is open, and links are accepted.
    pub(crate) fn ready(&self) {
        self.tell("READY=1");
    }

    /// The program ends, and may take this long.
    pub(crate) fn stopping(&self, within: Duration) {
        self.tell(&format!(
            "STOPPING=1\nSTATUS=stopping, in at most {} s\nEXTEND_TIMEOUT_USEC={}",
            within.as_secs(),
            within.as_micros()
        ));
    }

    /// Tells the status from time to time, if it is another one.
    pub(crate) async fn tell_status(self, look: impl Fn() -> String + Send) {
        if self.socket.is_none() {
            return;
        }
        let mut told = String::new();
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // One line, whatever is in it: a line break would begin another variable.
            let text = look().replace(char::is_control, " ");
            if text != told {
                self.tell(&format!("STATUS={text}"));
                told = text;
            }
        }
    }

    /// Tells that the program is alive, twice in each watchdog interval, as long as `turns` goes on counting.
    pub(crate) async fn feed(self, turns: impl Fn() -> u64 + Send) {
        let Some(within) = self.watchdog else { return };
        let mut ticks = interval(within / 2);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        loop {
            ticks.tick().await;
            let now = turns();
            if last != Some(now) {
                self.tell("WATCHDOG=1");
            }
            last = Some(now);
        }
    }
}

/// The way to `address`: a path, or an abstract name after `@`. None, or one that is not usable, is nobody.
fn open(address: &OsStr) -> Option<Arc<(UnixDatagram, SocketAddr)>> {
    if address.is_empty() {
        return None;
    }
    let to = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(address),
    };
    let opened = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        io::Result::Ok(Arc::new((socket, to?)))
    });
    opened.inspect_err(|error| debug!(%error, "the service manager cannot be told anything")).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use tokio::time::{sleep, timeout};

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    /// A manager's end, and what this process reads from its environment.
    fn manager(dir: &tempfile::TempDir, watchdog: &str, pid: Option<&str>) -> (UnixDatagram, Manager) {
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let env = |name: &str| match name {
            "NOTIFY_SOCKET" => Some(path.clone().into_os_string()),
            "WATCHDOG_USEC" => Some(watchdog.into()),
            "WATCHDOG_PID" => pid.map(Into::into),
            _ => None,
        };
        (socket, Manager::new(&env, 7))
    }

    fn said(socket: &UnixDatagram) -> Vec<String> {
        let mut bytes = [0; 256];
        let next =
            || socket.recv(&mut bytes).ok().map(|len| String::from_utf8_lossy(&bytes[..len]).into_owned());
        std::iter::from_fn(next).collect()
    }

    async fn until(what: &str, done: impl Fn() -> bool) {
        let wait = async {
            while !done() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LONG, wait).await.unwrap_or_else(|_| panic!("not yet: {what}"));
    }

    #[tokio::test]
    async fn ready_status_and_stopping_arrive_as_the_manager_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, manager) = manager(&dir, "0", None);
        manager.ready();
        manager.stopping(Duration::from_secs(20));
        let stopping = "STOPPING=1\nSTATUS=stopping, in at most 20 s\nEXTEND_TIMEOUT_USEC=20000000";
        assert_eq!(said(&socket), ["READY=1", stopping]);
        let looks = Arc::new(AtomicU64::new(0));
        let seen = looks.clone();
        let look = move || {
            seen.fetch_add(1, Ordering::SeqCst);
            "leading\nREADY=1".to_owned()
        };
        let task = tokio::spawn(manager.clone().tell_status(look));
        until("one look", || looks.load(Ordering::SeqCst) >= 1).await;
        assert_eq!(said(&socket), ["STATUS=leading READY=1"]);
        task.abort();
        // Without a watchdog nothing is fed, and that ends at once.
        timeout(LONG, manager.feed(|| 0)).await.unwrap();
    }

    #[tokio::test]
    async fn the_watchdog_is_fed_only_while_the_loop_turns_and_only_if_it_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, manager) = manager(&dir, "10000", Some("7"));
        let (looks, wedged) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let turns = {
            let (looks, wedged) = (looks.clone(), wedged.clone());
            move || {
                let look = looks.fetch_add(1, Ordering::SeqCst);
                if wedged.load(Ordering::SeqCst) { u64::MAX } else { look }
            }
        };
        let looked = async |more: u64| {
            let until_then = looks.load(Ordering::SeqCst) + more;
            until("more looks", || looks.load(Ordering::SeqCst) >= until_then).await;
        };
        tokio::spawn(manager.feed(turns));
        looked(5).await;
        assert!(said(&socket).len() >= 4, "at each look but the one under way");
        wedged.store(true, Ordering::SeqCst);
        // One look may be under way, and the next sees the last turn.
        looked(3).await;
        said(&socket);
        looked(5).await;
        assert_eq!(said(&socket), [""; 0], "a wedged loop is not alive");
        let dir = tempfile::tempdir().unwrap();
        let (socket, other) = self::manager(&dir, "10000", Some("8"));
        timeout(LONG, other.feed(|| 0)).await.expect("another's watchdog is not fed");
        assert_eq!(said(&socket), [""; 0]);
    }
}
