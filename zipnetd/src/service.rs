//! What a service manager (systemd) and the daemon tell each other: the socket that it listens at for us, that we are
//! ready, how we are doing, that we are alive.
//!
//! Nothing that goes out tells talk from cover: the status says what the broadcast log tells everybody, at moments of a
//! clock, and never the queue.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use listenfd::ListenFd;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;
use zipnet_proto::v1::StatusResponse;

use crate::client::Handle;
use crate::control::SocketError;
use crate::control::backend::{Backend, Caller, Denied};

/// Between two looks at the status: rounds end about this often, and nobody reads faster.
const LOOK: Duration = Duration::from_secs(5);

/// What the service manager gave to this process.
#[derive(Default)]
pub struct Service {
    /// Where it wants to be told things.
    pub notify: Notify,
    /// It ends a process that says nothing for this long.
    pub watchdog: Option<Duration>,
    /// The control socket, if it listens there for us.
    pub listener: Option<UnixListener>,
}

/// Tells the service manager things, if there is one. Cheap to clone.
#[derive(Clone, Default)]
pub struct Notify(Option<Arc<(UnixDatagram, SocketAddr)>>);

impl Service {
    /// What is meant for the process `pid` in its environment. Takes the socket over, so it gives it once only.
    ///
    /// # Errors
    /// [`SocketError::Passed`] when what was passed is no socket to listen at, or several.
    pub fn new(env: &dyn Fn(&str) -> Option<OsString>, pid: u32) -> Result<Self, SocketError> {
        let number = |name: &str| env(name)?.to_str()?.parse::<u64>().ok();
        let ours = |name: &str| number(name) == Some(pid.into());
        // Without its pid, or with ours, the watchdog is for us.
        let watched = env("WATCHDOG_PID").is_none() || ours("WATCHDOG_PID");
        let watchdog = number("WATCHDOG_USEC").filter(|usec| watched && *usec > 0);
        Ok(Self {
            notify: Notify::new(env("NOTIFY_SOCKET").as_deref()),
            watchdog: watchdog.map(Duration::from_micros),
            listener: if ours("LISTEN_PID") { passed(number("LISTEN_FDS").unwrap_or(0))? } else { None },
        })
    }
}

/// The one socket of `count` that were passed.
fn passed(count: u64) -> Result<Option<UnixListener>, SocketError> {
    let bad = |problem: String| SocketError::Passed { problem };
    match count {
        0 => return Ok(None),
        1 => {}
        more => return Err(bad(format!("{more} sockets, and only one can be the control socket"))),
    }
    let taken = ListenFd::from_env().take_unix_listener(0).map_err(|error| bad(error.to_string()))?;
    let Some(listener) = taken else { return Ok(None) };
    // With Accept=yes it is a caller's connection.
    let stream = UnixStream::from(OwnedFd::from(listener));
    if stream.peer_addr().is_ok() {
        return Err(bad("a connection instead of a listening socket (Accept=yes?)".to_owned()));
    }
    Ok(Some(UnixListener::from(OwnedFd::from(stream))))
}

impl Notify {
    /// `address` is a path, or an abstract name after `@`; none, or one that is not usable, is nobody.
    fn new(address: Option<&OsStr>) -> Self {
        let Some(address) = address.filter(|address| !address.is_empty()) else { return Self(None) };
        let bytes = address.as_bytes();
        let to = match bytes.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(address),
        };
        let open = || {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            io::Result::Ok((socket, to?))
        };
        match open() {
            Ok(both) => Self(Some(Arc::new(both))),
            Err(error) => {
                debug!(%error, "the service manager cannot be told anything");
                Self(None)
            }
        }
    }

    /// Never waits: what cannot be told now is not told.
    fn tell(&self, text: &str) {
        let Some(both) = &self.0 else { return };
        let (socket, to) = &**both;
        if let Err(error) = socket.send_to_addr(text.as_bytes(), to) {
            debug!(%error, "the service manager was not told");
        }
    }

    /// Callers are answered; also ends what [`Notify::reloading`] began.
    pub(crate) fn ready(&self) {
        self.tell("READY=1");
    }

    /// The configuration is read again.
    pub(crate) fn reloading(&self) {
        self.tell("RELOADING=1");
    }

    /// The daemon ends, and may take this long.
    pub(crate) fn stopping(&self, within: Duration) {
        self.tell(&format!(
            "STOPPING=1\nSTATUS=stopping, in at most {} s\nEXTEND_TIMEOUT_USEC={}",
            within.as_secs(),
            within.as_micros()
        ));
    }
}

/// Tells the status, from time to time and if it is another one, until the client ends. `uid` is the daemon's own.
pub(crate) async fn tell_status(notify: Notify, client: Handle, uid: u32) {
    if notify.0.is_none() {
        return;
    }
    let mut told = String::new();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let text = match client.status(Caller { uid, sees_all: false }).await {
            Ok(status) => line(&status),
            // A client that was slow once may answer the next time.
            Err(Denied::Unknown(_)) => continue,
            Err(Denied::Refused(_)) => return,
        };
        if text != told {
            notify.tell(&format!("STATUS={text}"));
            told = text;
        }
    }
}

/// The status in a line: what everybody may know.
fn line(status: &StatusResponse) -> String {
    let state = &status.state;
    if status.deployment.is_empty() {
        // One line, whatever the error has in it: a line break would begin another variable.
        return format!("{state}: {}", status.why.replace(char::is_control, " "));
    }
    let (round, participants) = (status.round, status.participants);
    format!(
        "{state}: round {round}, {participants} participants, {} of {} servers",
        status.servers.len(),
        status.servers_total
    )
}

/// Tells that the daemon is alive, twice in each `within`, as long as `turns` goes on counting.
pub(crate) async fn feed(notify: Notify, within: Option<Duration>, turns: impl Fn() -> u64 + Send) {
    let Some(within) = within else { return };
    let mut ticks = interval(within / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    loop {
        ticks.tick().await;
        let now = turns();
        if last != Some(now) {
            notify.tell("WATCHDOG=1");
        }
        last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use tokio::time::{sleep, timeout};

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn the_watchdog_is_fed_only_while_the_loop_turns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let fed = || {
            let mut bytes = [0; 64];
            std::iter::from_fn(|| manager.recv(&mut bytes).ok().map(|len| bytes[..len].to_vec())).count()
        };
        // A loop that turns between any two looks at it, until it is wedged.
        let (looks, wedged) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let turns = {
            let (looks, wedged) = (looks.clone(), wedged.clone());
            move || {
                let look = looks.fetch_add(1, Ordering::SeqCst);
                if wedged.load(Ordering::SeqCst) { u64::MAX } else { look }
            }
        };
        let looked = async |more: u64| {
            let until = looks.load(Ordering::SeqCst) + more;
            let looked = async {
                while looks.load(Ordering::SeqCst) < until {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            timeout(LONG, looked).await.unwrap();
        };
        tokio::spawn(feed(Notify::new(Some(path.as_os_str())), Some(Duration::from_millis(10)), turns));
        looked(5).await;
        assert!(fed() >= 4, "at each look but the one under way");
        wedged.store(true, Ordering::SeqCst);
        // One look may be under way, and the next sees the last turn.
        looked(3).await;
        fed();
        looked(5).await;
        assert_eq!(fed(), 0, "a wedged loop is not alive");
    }

    #[test]
    fn the_line_has_nothing_of_the_queue_and_is_one() {
        let mut status = StatusResponse {
            state: "connect_timeout".into(),
            why: "nobody\nREADY=1".into(),
            ..StatusResponse::default()
        };
        assert_eq!(line(&status), "connect_timeout: nobody READY=1");
        status.deployment = "d".into();
        status.state = "ready".into();
        (status.round, status.participants, status.servers_total) = (17, 12, 3);
        status.servers = vec!["a".into(), "b".into()];
        let without = line(&status);
        assert_eq!(without, "ready: round 17, 12 participants, 2 of 3 servers");
        status.queue = Some(zipnet_proto::v1::QueueCounts { queued: 77, ..Default::default() });
        status.oldest_age_ms = Some(88);
        assert_eq!(line(&status), without);
    }
}
