//! Exit codes; listed in `zipnetctl --help` and fixed: scripts rely on them.

use zipnet_proto::{CallError, ConnectError, Reason};

use crate::failure::Failure;

/// What the process says to its caller when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The daemon said no, or an error of no other kind.
    Refused = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// No daemon, or it does not answer, or nobody serves its instance.
    Unreachable = 3,
    /// The caller may not.
    Permission = 4,
    /// The message will not be published, or nobody knows whether it was.
    Undelivered = 5,
    /// The message is still on its way.
    WaitTimedOut = 6,
}

impl Failure {
    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Connect(error) => of_connect(error),
            Self::Call(error)
            | Self::SendUnknown { source: error, .. }
            | Self::WaitLost { source: error, .. }
            | Self::ReadStopped { source: error, .. } => of_call(error),
            Self::Ended { .. } => Exit::Undelivered,
            Self::WaitTimedOut { .. } => Exit::WaitTimedOut,
            Self::Usage { .. } | Self::NothingToSend => Exit::Usage,
            Self::NotServing
            | Self::Descriptor { .. }
            | Self::WrongDescriptor { .. }
            | Self::TooLate { .. }
            | Self::TooEarly { .. }
            | Self::Unwell { .. }
            | Self::Fetched { .. }
            | Self::Log { .. }
            | Self::Receipt { .. }
            | Self::OtherDeployment { .. }
            | Self::Quote { .. }
            | Self::Seal(_)
            | Self::File { .. }
            | Self::Stdin { .. }
            | Self::Output { .. }
            | Self::Runtime { .. } => Exit::Refused,
        }
    }
}

fn of_connect(error: &ConnectError) -> Exit {
    match error {
        ConnectError::SocketPermission { .. }
        | ConnectError::DirPermission { .. }
        | ConnectError::Untrusted { .. } => Exit::Permission,
        ConnectError::NoSocket { .. }
        | ConnectError::NobodyListening { .. }
        | ConnectError::NotASocket { .. }
        | ConnectError::PathTooLong { .. }
        | ConnectError::Wedged { .. }
        | ConnectError::Handshake { .. }
        | ConnectError::Io { .. } => Exit::Unreachable,
    }
}

fn of_call(error: &CallError) -> Exit {
    match error {
        CallError::Refused(refused) => of_reason(refused.reason),
        CallError::TimedOut { .. } | CallError::Lost { .. } => Exit::Unreachable,
        CallError::Failed { .. } => Exit::Refused,
    }
}

fn of_reason(reason: Reason) -> Exit {
    match reason {
        Reason::NotYours => Exit::Permission,
        Reason::ConnectTimeout => Exit::Unreachable,
        Reason::InvalidRequest
        | Reason::MessageTooLong
        | Reason::RequestIdReused
        | Reason::QueueFull
        | Reason::TooManyCallers
        | Reason::InstanceUnknown
        | Reason::Unpinned
        | Reason::Draining
        | Reason::Paused
        | Reason::NotFound
        | Reason::Lagged
        | Reason::StoreLocked
        | Reason::StoreCorrupt
        | Reason::StoreFailed
        | Reason::StoreFull
        | Reason::VersionMismatch => Exit::Refused,
    }
}
