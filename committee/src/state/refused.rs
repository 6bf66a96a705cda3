//! Why an entry was refused.

use zipnet_dcnet::absence::TooManyAbsent;
use zipnet_dcnet::aggregate::FoldError;
use zipnet_dcnet::header::HeaderError;
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::partial::PartialError;
use zipnet_dcnet::signed::SignatureError;

/// An entry that the rules do not allow. It changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A signature that does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Of another deployment.
    #[error("it is of another deployment")]
    Deployment,
    /// By a node that is no server of the committee.
    #[error("{0} is no server of this committee")]
    NotServer(PeerId),
    /// Of an earlier boot of the server.
    #[error("it is of another boot of server {0}")]
    Boot(PeerId),
    /// A server started without what it wrote down before.
    #[error("server {0} started without the state folder that it had")]
    Life(PeerId),
    /// A policy with too many aggregators, or unsorted.
    #[error("the policy of {0} lists its aggregators unsorted or too many")]
    Policy(PeerId),
    /// A vouch for a session that was evicted, a bundle that is no client's, or one too many.
    #[error("the vouch cannot be taken: {0}")]
    Vouch(&'static str),
    /// R4.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A header names a server that is down, or that does not know the roster yet although enough others do.
    #[error("server {0} may not be named yet")]
    NotEligible(PeerId),
    /// A round is under way already.
    #[error("round {0} is not over yet")]
    Busy(u64),
    /// For a round that is not the one under way, or not at that stage.
    #[error("round {0} is not at the stage for this")]
    Stage(u64),
    /// R6 and section 6.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// R9.
    #[error(transparent)]
    Absence(#[from] TooManyAbsent),
    /// R7 and section 6.
    #[error(transparent)]
    Partial(#[from] PartialError),
    /// A second signature or disclosure.
    #[error("server {0} has said so already")]
    Twice(PeerId),
}

impl Refused {
    /// A short name to count by.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Signature(_) => "signature",
            Self::Deployment => "deployment",
            Self::NotServer(_) => "not_server",
            Self::Boot(_) => "boot",
            Self::Life(_) => "life",
            Self::Policy(_) => "policy",
            Self::Vouch(_) => "vouch",
            Self::Header(_) => "header",
            Self::NotEligible(_) => "not_eligible",
            Self::Busy(_) => "busy",
            Self::Stage(_) => "stage",
            Self::Fold(_) => "fold",
            Self::Absence(_) => "absence",
            Self::Partial(_) => "partial",
            Self::Twice(_) => "twice",
        }
    }
}
