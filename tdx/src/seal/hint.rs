//! What to do about a sealed identity that cannot be opened: chosen by the kind of error, never by its text.

use std::io;

use super::file::SealError;
use super::key_file::KeyFileError;
use super::provider::ProviderError;

impl SealError {
    /// One sentence of advice, where there is any.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Missing(_) => {
                "make one with `zipnetctl identity init`, which takes the same settings; where nobody can run that, \
                 `zipnetd --init-identity` does it at the start"
            }
            Self::Envelope { .. } => {
                "put the file back from a copy; without one the identity is lost: move the file away and make a new one \
                 with `zipnetctl identity init`"
            }
            Self::OtherProvider { .. } => "configure the keeper that it was sealed with",
            Self::KeyFile(error) => return of_key_file(error),
            Self::Provider(error) => of_provider(error),
            Self::Exists(_) | Self::Generations(_) | Self::Io { .. } => return None,
        })
    }
}

fn of_key_file(error: &KeyFileError) -> Option<&'static str> {
    match error {
        KeyFileError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => Some(
            "put the key file back from a copy: without it, what is sealed with it is lost; for a new identity `zipnetctl \
             identity init` makes both",
        ),
        _ => None,
    }
}

fn of_provider(error: &ProviderError) -> &'static str {
    match error {
        ProviderError::Gone { .. } => "check that the key broker runs and can be reached, then start again",
        ProviderError::UnknownKey { .. } => {
            "it was sealed with another key file, or by another key broker or for another deployment: configure that one"
        }
        ProviderError::Old { .. } => "put the newest copy of the file back: older ones never open again",
        ProviderError::Leased { .. } => {
            "a zipnetd that was restarted has to wait until its former lease is over; if it is not yours, find the copy"
        }
        ProviderError::Refused { .. } => {
            "the key broker's policy has to list this release; its log says who was refused"
        }
        ProviderError::Quote(_) => {
            "only a TDX guest gets keys from a broker: check that zipnet-quote.socket runs, and where (quote_socket)"
        }
    }
}
