//! What the operator may tell the daemon through the socket, and who the operator is: root and the daemon's own user.

use std::time::Duration;

use tokio::sync::watch;
use tonic::Status;
use zipnet_proto::Reason;

use super::Service;
use super::backend::Caller;
use crate::telemetry::LogControl;

/// Whether the daemon is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// Not.
    No,
    /// As SIGTERM does: take no more messages, cover on for a while, end.
    Drain,
    /// As a second signal does: at once.
    Now,
}

/// The operator's hands on the daemon.
pub struct Operator {
    log: LogControl,
    ending: watch::Sender<Ending>,
    /// What ending takes at most beyond covering on.
    margin: Duration,
}

impl Operator {
    /// `margin` is what ending takes at most, covering on aside. The receiver says what the operator wants.
    pub fn new(log: LogControl, margin: Duration) -> (Self, watch::Receiver<Ending>) {
        let (ending, wish) = watch::channel(Ending::No);
        (Self { log, ending, margin }, wish)
    }

    pub(super) fn log(&self) -> &LogControl {
        &self.log
    }

    pub(super) fn margin(&self) -> Duration {
        self.margin
    }

    /// Never takes a wish back.
    pub(super) fn end(&self, ending: Ending) {
        self.ending.send_if_modified(|wish| {
            let more = *wish < ending;
            *wish = ending.max(*wish);
            more
        });
    }
}

/// Refuses everybody but the operator. `what` completes "only root and … may".
pub(super) fn only_operator(service: &Service, caller: Caller, what: &str) -> Result<(), Status> {
    allowed(service.uid, caller, what)
}

fn allowed(own: u32, caller: Caller, what: &str) -> Result<(), Status> {
    if caller.sees_all {
        return Ok(());
    }
    let uid = caller.uid;
    Err(Reason::NotYours.into_status(format!(
        "only root and the user zipnetd runs as (uid {own}) may {what}; this is uid {uid}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_told_who_may() {
        assert!(allowed(7, Caller { uid: 0, sees_all: true }, "end it").is_ok());
        let refused = allowed(7, Caller { uid: 8, sees_all: false }, "end it").unwrap_err();
        assert_eq!(Reason::of(&refused), Some(Reason::NotYours));
        let text = "only root and the user zipnetd runs as (uid 7) may end it; this is uid 8";
        assert_eq!(refused.message(), text);
    }

    #[test]
    fn a_wish_to_end_is_never_taken_back() {
        let (operator, wish) = Operator::new(crate::telemetry::start("error", false), Duration::ZERO);
        for (ending, then) in
            [(Ending::Now, Ending::Now), (Ending::Drain, Ending::Now), (Ending::No, Ending::Now)]
        {
            operator.end(ending);
            assert_eq!(*wish.borrow(), then);
        }
    }
}
