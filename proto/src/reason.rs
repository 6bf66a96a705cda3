//! Why the daemon refuses: one list for daemon, command line and documentation.
//!
//! A refusal is a gRPC status whose metadata names the reason, so that hints and exit codes never depend on its text.

use std::{fmt, str::FromStr, time::Duration};

use tonic::{Code, Status, metadata::MetadataValue};

/// Metadata key that holds the name of the [`Reason`].
pub const REASON_KEY: &str = "zipnet-reason";

/// Metadata key that holds, in milliseconds, after what time trying again makes sense.
pub const RETRY_AFTER_KEY: &str = "zipnet-retry-after-ms";

macro_rules! reasons {
    ($($(#[doc = $text:literal])+ $name:ident => $code:ident,)+) => {
        /// Why a request was refused, or why the daemon cannot work.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[doc = $text])+ $name,)+ }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name that travels: `MessageTooLong`, …
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What it means, as the documentation has it.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($text),+).trim_ascii(),)+ }
            }

            /// The gRPC code of statuses with this reason.
            pub fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)+ }
            }
        }
    };
}

reasons! {
    /// The request itself makes no sense: a malformed id, a ttl of zero.
    InvalidRequest => InvalidArgument,
    /// The payload is longer than a slot holds; the text names both lengths. Nothing was queued.
    MessageTooLong => InvalidArgument,
    /// The request id was used before, by the same uid, for another payload. Nothing was queued.
    RequestIdReused => AlreadyExists,
    /// The queue is at its bound of messages or bytes. Nothing was queued.
    QueueFull => ResourceExhausted,
    /// As many readers or callers as the daemon serves at a time are there already.
    TooManyCallers => ResourceExhausted,
    /// No descriptor of the instance is known yet, so nobody can say what a message may be.
    InstanceUnknown => FailedPrecondition,
    /// Nobody on the network serves the instance by this name.
    ConnectTimeout => Unavailable,
    /// The operator demands a pinned deployment and none is named.
    Unpinned => FailedPrecondition,
    /// The daemon is on its way down and takes no more messages.
    Draining => Unavailable,
    /// The operator paused sending.
    Paused => FailedPrecondition,
    /// No message has this id (any longer).
    NotFound => NotFound,
    /// The caller's uid may not do this, or the message is somebody else's.
    NotYours => PermissionDenied,
    /// This reader was too slow for the stream; it resumes at its last progress mark.
    Lagged => Aborted,
    /// Another process has the store open.
    StoreLocked => FailedPrecondition,
    /// The store is damaged; it was set aside, nothing was started empty.
    StoreCorrupt => DataLoss,
    /// The disk, or the store's share of it, is full. Nothing was queued.
    StoreFull => ResourceExhausted,
    /// The disk failed. What was accepted before is kept; nothing is written until the daemon was started again.
    StoreFailed => Internal,
    /// Daemon and caller, or daemon and network, do not speak the same version.
    VersionMismatch => Unimplemented,
}

impl Reason {
    /// A status with this reason's code and name. `message` says what was wrong with which value.
    pub fn into_status(self, message: impl Into<String>) -> Status {
        let mut status = Status::new(self.code(), message);
        status.metadata_mut().insert(REASON_KEY, MetadataValue::from_static(self.as_str()));
        status
    }

    /// As [`Reason::into_status`], and tells the caller when trying again makes sense (rounded down to milliseconds).
    pub fn into_status_retry(self, message: impl Into<String>, after: Duration) -> Status {
        let mut status = self.into_status(message);
        let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        status.metadata_mut().insert(RETRY_AFTER_KEY, MetadataValue::from(millis));
        status
    }

    /// The reason `status` carries. A call that the daemon does not know at all is a [`Reason::VersionMismatch`];
    /// `None` for what no daemon of ours said (connection lost, a name this client does not know).
    pub fn of(status: &Status) -> Option<Self> {
        match status.metadata().get(REASON_KEY) {
            Some(name) => name.to_str().ok()?.parse().ok(),
            None => (status.code() == Code::Unimplemented).then_some(Self::VersionMismatch),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no [`Reason`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of an error reason")]
pub struct UnknownReason(String);

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        Self::ALL.iter().find(|r| r.as_str() == text).copied().ok_or_else(|| UnknownReason(text.to_owned()))
    }
}

/// A refusal as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// Why; hints and exit codes are chosen by it.
    pub reason: Reason,
    /// What was wrong with which value, one sentence.
    pub message: String,
    /// When trying again makes sense, if the daemon says so.
    pub retry_after: Option<Duration>,
}

impl Refused {
    /// The refusal in `status`; `None` where [`Reason::of`] finds none.
    pub fn of(status: &Status) -> Option<Self> {
        let reason = Reason::of(status)?;
        let retry_after = status
            .metadata()
            .get(RETRY_AFTER_KEY)
            .and_then(|v| v.to_str().ok()?.parse().ok())
            .map(Duration::from_millis);
        Some(Self { reason, message: status.message().to_owned(), retry_after })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_way_through_a_status() {
        for &reason in Reason::ALL {
            let status = reason.into_status_retry("42 bytes, at most 41", Duration::from_millis(1500));
            assert_eq!(status.code(), reason.code());
            let refused = Refused::of(&status).unwrap();
            assert_eq!(refused.reason, reason);
            assert_eq!(refused.message, "42 bytes, at most 41");
            assert_eq!(refused.retry_after, Some(Duration::from_millis(1500)));
            assert_eq!(reason.to_string().parse(), Ok(reason));
        }
    }

    /// docs/agents.md has a row for each.
    #[test]
    fn the_documentation_has_every_reason_and_its_code() {
        let docs =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/agents.md")).unwrap();
        for &reason in Reason::ALL {
            let mut code = String::new();
            for c in format!("{:?}", reason.code()).chars() {
                if c.is_ascii_uppercase() && !code.is_empty() {
                    code.push('_');
                }
                code.push(c.to_ascii_uppercase());
            }
            let row = format!("\n| `{reason}` | `{code}` | ");
            assert!(docs.contains(&row), "{row}");
        }
    }

    #[test]
    fn what_carries_no_reason_has_none() {
        assert_eq!(Reason::of(&Status::unavailable("gone")), None);
        assert_eq!(Reason::of(&Status::unimplemented("Watch")), Some(Reason::VersionMismatch));
        let mut newer = Status::unavailable("something of a later version");
        newer.metadata_mut().insert(REASON_KEY, MetadataValue::from_static("Sunspots"));
        assert_eq!(Reason::of(&newer), None);
        assert_eq!(Refused::of(&Reason::Paused.into_status("paused")).unwrap().retry_after, None);
        assert_eq!("paused".parse::<Reason>(), Err(UnknownReason("paused".into())));
    }
}
