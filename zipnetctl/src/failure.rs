//! Everything that can go wrong, and how it is told: a sentence, then a hint, then the exit code.

use std::{io, path::PathBuf, process::ExitCode, time::Duration};

use serde::Serialize;
use zipnet_dcnet::descriptor::DescriptorError;
use zipnet_dcnet::ids::DeploymentId;
use zipnet_dcnet::receipt::ReceiptError;
use zipnet_proto::{CallError, ConnectError, v1::MessageState};
use zipnet_tdx::{seal::SealError, verify::Denied};

use crate::{out, text};

/// A verb that did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// `send` lost the daemon before its answer.
    #[error("{source}")]
    SendUnknown { request_id: String, source: CallError },
    /// `send --wait` lost the daemon, which has the message, for the rest of its time.
    #[error("{source}")]
    WaitLost { id: String, source: CallError },
    /// The stream of `read` ended with an error.
    #[error("{source}")]
    ReadStopped { next_round: u64, source: CallError },
    /// `send --wait` and `watch`: the message is terminal and not published.
    #[error("message {id} {}{}", state.word(), if reason.is_empty() { String::new() } else { format!(": {reason}") })]
    Ended { id: String, state: MessageState, reason: String },
    /// `send --wait`: no terminal state in time.
    #[error("message {id} is still {} after {}", state.word(), humantime::format_duration(*after))]
    WaitTimedOut { id: String, state: MessageState, after: Duration },
    /// The health service says no.
    #[error("the daemon runs, but takes no messages")]
    NotServing,
    /// clap's complaint, or ours about a value.
    #[error("{message}")]
    Usage { message: String },
    /// `send` without a text and without anything on standard input.
    #[error("nothing to send: no text was given and standard input is a terminal or empty")]
    NothingToSend,
    /// A descriptor that cannot be.
    #[error("{what}: {source}")]
    Descriptor { what: String, source: DescriptorError },
    /// A descriptor of another deployment than expected.
    #[error("{} is deployment {found} of {instance}, expected {expected}", path.display())]
    WrongDescriptor { path: PathBuf, instance: String, found: DeploymentId, expected: String },
    /// `cancel`: it had been sealed, or had ended.
    #[error("message {id} cannot be taken back: it is {progress}")]
    TooLate { id: String, progress: String },
    /// `cancel`: whether it was published before a restart is not known yet.
    #[error(
        "message {id} cannot be taken back yet: it is from before a restart, and may be published already"
    )]
    TooEarly { id: String },
    /// The daemon gave something that is no descriptor.
    #[error("what the daemon gave is no descriptor: {problem}")]
    Fetched { problem: String },
    /// `log verify` found something.
    #[error("the log that server {server} gives does not hold: {}", text::count(*problems, "problem"))]
    Log { server: String, problems: u32 },
    /// `doctor` found something.
    #[error("{problems} of {checks} checks found a problem")]
    Unwell { problems: usize, checks: usize },
    /// A receipt that shows nothing.
    #[error("{}: the receipt does not hold: {source}", path.display())]
    Receipt { path: PathBuf, source: Box<ReceiptError> },
    /// A receipt of another deployment than the one that is meant.
    #[error("{} is a receipt of deployment {found} of {instance}, expected deployment {expected}", path.display())]
    OtherDeployment { path: PathBuf, instance: String, found: DeploymentId, expected: DeploymentId },
    /// A quote that is refused.
    #[error("{}: {source}", path.display())]
    Quote { path: PathBuf, source: Box<Denied> },
    /// A sealed identity that cannot be made, opened or replaced.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A file that cannot be read, parsed or written.
    #[error("{}: {problem}", path.display())]
    File { path: PathBuf, problem: String },
    /// Standard input.
    #[error("cannot read standard input: {source}")]
    Stdin { source: io::Error },
    /// Standard output; a closed pipe is not reported.
    #[error("cannot write to standard output: {source}")]
    Output { source: io::Error },
    /// The async runtime did not start.
    #[error("cannot start: {source}")]
    Runtime { source: io::Error },
}

#[derive(Serialize)]
struct JsonError<'a> {
    error: &'a str,
    reason: &'a str,
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Failure {
    /// Tells the user, and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if let Self::Output { source } = self
            && source.kind() == io::ErrorKind::BrokenPipe
        {
            // Whoever read our output has enough: `zipnetctl read | head`.
            return ExitCode::SUCCESS;
        }
        // The daemon's words are quoted in errors: they get no control of the terminal either.
        let error = text::tame(&self.to_string());
        let hint = self.hint().map(|hint| text::tame(&hint));
        if json {
            let retry_after_ms = self.retry_after().and_then(|after| u64::try_from(after.as_millis()).ok());
            let object =
                JsonError { error: &error, reason: self.reason(), hint: hint.as_deref(), retry_after_ms };
            out::note(&serde_json::to_string(&object).expect("invariant: strings and integers serialize"));
        } else {
            out::note(&format!("error: {error}"));
            if let Some(hint) = hint {
                out::note(&format!("hint: {hint}"));
            }
        }
        ExitCode::from(self.exit() as u8)
    }

    /// When the daemon says trying again makes sense.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Call(CallError::Refused(refused))
            | Self::SendUnknown { source: CallError::Refused(refused), .. }
            | Self::ReadStopped { source: CallError::Refused(refused), .. } => refused.retry_after,
            _ => None,
        }
    }

    /// One word for programs: the daemon's reason, or one of ours.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Connect(error) => of_connect(error),
            Self::Call(error)
            | Self::SendUnknown { source: error, .. }
            | Self::WaitLost { source: error, .. }
            | Self::ReadStopped { source: error, .. } => of_call(error),
            Self::Ended { state: MessageState::Cancelled, .. } => "MessageCancelled",
            Self::Ended { state: MessageState::Expired, .. } => "MessageExpired",
            Self::Ended { .. } => "MessageFailed",
            Self::WaitTimedOut { .. } => "WaitTimedOut",
            Self::NotServing => "NotServing",
            Self::Usage { .. } | Self::NothingToSend => "Usage",
            Self::Descriptor { .. } | Self::Fetched { .. } => "InvalidDescriptor",
            Self::Log { .. } => "InvalidLog",
            Self::WrongDescriptor { .. } => "WrongDescriptor",
            Self::TooLate { .. } => "TooLate",
            Self::TooEarly { .. } => "TooEarly",
            Self::Unwell { .. } => "Unwell",
            Self::Receipt { .. } => "InvalidReceipt",
            Self::OtherDeployment { .. } => "WrongDeployment",
            Self::Quote { .. } => "QuoteRefused",
            Self::Seal(error) => of_seal(error),
            Self::File { .. } | Self::Stdin { .. } | Self::Output { .. } | Self::Runtime { .. } => "Io",
        }
    }
}

fn of_connect(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::NoSocket { .. } => "NoDaemon",
        ConnectError::NobodyListening { .. } => "StaleSocket",
        ConnectError::NotASocket { .. } => "NotASocket",
        ConnectError::SocketPermission { .. } => "SocketPermission",
        ConnectError::DirPermission { .. } => "DirPermission",
        ConnectError::PathTooLong { .. } => "PathTooLong",
        ConnectError::Untrusted { .. } => "UntrustedSocket",
        ConnectError::Wedged { .. } => "DaemonSilent",
        ConnectError::Handshake { .. } => "NotZipnetd",
        ConnectError::Io { .. } => "Io",
    }
}

fn of_call(error: &CallError) -> &'static str {
    match error {
        CallError::Refused(refused) => refused.reason.as_str(),
        CallError::TimedOut { .. } => "DaemonSilent",
        CallError::Lost { .. } => "ConnectionLost",
        CallError::Failed { .. } => "DaemonFailed",
    }
}

fn of_seal(error: &SealError) -> &'static str {
    match error {
        SealError::Missing(_) => "IdentityMissing",
        SealError::Exists(_) => "IdentityExists",
        SealError::Envelope { .. } => "IdentityDamaged",
        SealError::OtherProvider { .. } => "OtherKeeper",
        SealError::Provider(_) | SealError::KeyFile(_) => "NoKey",
        SealError::Generations(_) | SealError::Io { .. } => "Io",
    }
}
