//! What to do about it: chosen by the kind of failure, never by its text.

use zipnet_proto::{CallError, ConnectError, Reason, v1::MessageState};

use crate::failure::Failure;

impl Failure {
    /// One sentence of advice, where there is any.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Connect(error) => return of_connect(error),
            Self::Call(error) => return Some(of_call(error)),
            Self::SendUnknown { source, request_id } => match source {
                CallError::TimedOut { .. } | CallError::Lost { .. } | CallError::Failed { .. } => {
                    format!(
                        "it may have been accepted; sending the same again with `--request-id {request_id}` is safe, \
                         it is taken only once"
                    )
                }
                CallError::Refused(_) => return Some(of_call(source)),
            },
            Self::WaitLost { id, .. } => {
                format!("the daemon keeps the message: `zipnetctl show {id}` when it is back")
            }
            Self::ReadStopped { source, next_round } => match source {
                CallError::Refused(refused) if refused.reason != Reason::Lagged => {
                    return Some(of_call(source));
                }
                _ => format!("go on with `zipnetctl read --from {next_round}`"),
            },
            Self::Ended { state, reason, id } => return of_end(*state, reason, id),
            Self::WaitTimedOut { id, .. } => format!(
                "it stays in the daemon's queue: `zipnetctl show {id}` follows it, `zipnetctl status` says why nothing \
                 is sent if so"
            ),
            Self::NotServing => "`zipnetctl status` shows what it is doing".into(),
            Self::NothingToSend => {
                "zipnetctl send \"some text\", or pipe the message in; an empty message is \"\"".into()
            }
            Self::Descriptor { .. } => {
                "the parameters and their limits are in docs/protocol.md, section 1".into()
            }
            Self::WrongDescriptor { .. } => {
                "ask the operators which one is right; a new deployment has a new id and is pinned by hand"
                    .into()
            }
            Self::TooLate { id, .. } => {
                format!(
                    "only what was not sealed yet can be taken back; `zipnetctl show {id}` tells its story"
                )
            }
            Self::TooEarly { id } => {
                format!("it is not sent before that is known: `zipnetctl show {id}` says what it waits for")
            }
            Self::Receipt { .. } => {
                "whoever gave it to you may ask their daemon again: `zipnetctl show --receipt ID`".into()
            }
            Self::OtherDeployment { .. } => {
                "the descriptor is not of the deployment that signed this: ask the operators for the right one, or do \
                 not believe the receipt"
                    .into()
            }
            Self::Log { .. } => {
                "compare with another server, `zipnetctl servers` lists them; tell the deployment's operators".into()
            }
            Self::Fetched { .. } => {
                "install the same version of zipnetctl and zipnetd; `zipnetctl version` shows both".into()
            }
            Self::Seal(error) => return error.hint().map(str::to_owned),
            Self::Unwell { .. }
            | Self::Usage { .. }
            | Self::Quote { .. }
            | Self::File { .. }
            | Self::Stdin { .. }
            | Self::Output { .. }
            | Self::Runtime { .. } => return None,
        };
        Some(hint)
    }
}

fn of_connect(error: &ConnectError) -> Option<String> {
    Some(match error {
        ConnectError::NoSocket { .. } => {
            "start one: `zipnetd --dev` runs a whole network to try things with; a daemon elsewhere is named by --socket \
             or ZIPNET_SOCKET"
                .into()
        }
        ConnectError::NobodyListening { .. } => {
            "the daemon ended without removing its socket; start it again, it replaces the file itself".into()
        }
        ConnectError::NotASocket { .. } | ConnectError::Handshake { .. } => {
            "check --socket and ZIPNET_SOCKET: they must name the control socket of zipnetd".into()
        }
        ConnectError::SocketPermission { path } => {
            format!("join the group of the socket (`ls -l {}` shows it) and log in again", path.display())
        }
        ConnectError::DirPermission { dir, .. } => {
            format!("`ls -ld {}` shows who may enter; join that group and log in again", dir.display())
        }
        ConnectError::PathTooLong { .. } => "use a shorter path for the socket, for the daemon too".into(),
        ConnectError::Untrusted { .. } => {
            "somebody else may have put it there; if it is yours, name it with --socket".into()
        }
        ConnectError::Wedged { .. } => "restart the daemon; its log may say what holds it up".into(),
        ConnectError::Io { .. } => return None,
    })
}

fn of_call(error: &CallError) -> String {
    match error {
        CallError::Refused(refused) => {
            let advice = of_reason(refused.reason);
            match refused.retry_after {
                Some(after) => format!("{advice}; try again in {}", humantime::format_duration(after)),
                None => advice.to_owned(),
            }
        }
        CallError::TimedOut { .. } => "restart the daemon; its log may say what holds it up".into(),
        CallError::Lost { .. } => "the daemon ended or was restarted; try again".into(),
        CallError::Failed { .. } => "the daemon's log may say more".into(),
    }
}

fn of_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::InvalidRequest => "`zipnetctl --help` describes what can be asked",
        Reason::MessageTooLong => {
            "split it; `zipnetctl status` shows the longest message that fits, and nothing was queued"
        }
        Reason::RequestIdReused => {
            "one request id names one message: leave --request-id away to send another, nothing was queued"
        }
        Reason::QueueFull => {
            "messages leave with the rounds, `zipnetctl status` says why if they do not; nothing was queued"
        }
        Reason::TooManyCallers => "end other readers of this daemon first",
        Reason::InstanceUnknown => {
            "the daemon has not found its instance yet: `zipnetctl status` shows its name, check it for typos; nothing \
             was queued"
        }
        Reason::ConnectTimeout => {
            "check the instance's name for typos (ZIPNET_INSTANCE) and that its bootstrap peer can be reached"
        }
        Reason::Unpinned => {
            "name the deployment: ZIPNET_INSTANCE=\"name#id\", with the id that the operators publish"
        }
        Reason::Draining => "start the daemon again, or wait until it is back",
        Reason::Paused => {
            "the operator paused sending, `zipnetctl resume` ends that; messages already queued are kept"
        }
        Reason::NotFound => {
            "the id is the line that `zipnetctl send` printed; only the daemon that took it knows it"
        }
        Reason::NotYours => {
            "only the user who sent a message may see it, besides root and the daemon's own user, who alone may drain, \
             pause and set the log level"
        }
        Reason::Lagged => "read faster, or less: --from names the first round",
        Reason::StoreLocked => {
            "another zipnetd uses the same state directory: stop it, or set ZIPNET_STATE_DIR"
        }
        Reason::StoreCorrupt => "the daemon's log names the folder where the damaged store was put",
        Reason::StoreFailed => {
            "look at the disk and at the daemon's log, then start the daemon again; what was accepted before is kept"
        }
        Reason::StoreFull => "free some space where the state directory is; what was accepted before is kept",
        Reason::VersionMismatch => {
            "install the same version of zipnetctl and zipnetd; `zipnetctl version` shows both"
        }
    }
}

fn of_end(state: MessageState, reason: &str, id: &str) -> Option<String> {
    Some(match (state, reason) {
        (MessageState::Expired, _) => {
            "it was never published; `zipnetctl status` says why nothing is sent, --ttl gives more time"
                .into()
        }
        // The words of R10 and section 7 of docs/protocol.md.
        (MessageState::Failed, "exposed") => {
            "it may have been read and tied to this client; it is not sent again by itself: decide".into()
        }
        (MessageState::Failed, "unknown") => {
            "it may be published or not: look for it with `zipnetctl read` before you send it again".into()
        }
        (MessageState::Failed, _) => format!("`zipnetctl show {id}` tells its story"),
        _ => return None,
    })
}
