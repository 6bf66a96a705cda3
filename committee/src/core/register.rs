//! Registration at a server (R2).

use rand_core::Rng;
use zeroize::Zeroizing;
use zipnet_dcnet::descriptor;
use zipnet_dcnet::ids::{ClientId, Session};
use zipnet_dcnet::record::Record;
use zipnet_dcnet::register::{self, Answer, RegisterError, Request};
use zipnet_dcnet::signed::Signed;
use zipnet_tdx::verify::Admitted;

use super::Core;
use super::chains::Shared;
use crate::state::State;

/// Decides who may register. Evidence is what the request carries; open admission asks for none.
pub trait Admission: Send + Sync + 'static {
    /// What a descriptor calls it: a server admits as its deployment says, or does not start.
    fn kind(&self) -> descriptor::Admission;

    /// A record became final. Said at least once of each, in ascending order.
    fn record(&self, record: &Record);

    /// Whether this request, whose signature holds, is admitted.
    ///
    /// # Errors
    /// What is wrong with the evidence.
    fn admit(&self, request: &Request) -> Result<Admitted, String>;

    /// Whether who was admitted so may stay.
    ///
    /// # Errors
    /// Why its vouch has to be taken back.
    fn still(&self, admitted: &Admitted) -> Result<(), String>;
}

/// Everybody may take part.
pub struct Open;

impl Admission for Open {
    fn kind(&self) -> descriptor::Admission {
        descriptor::Admission::Open
    }

    fn record(&self, _: &Record) {}

    fn admit(&self, _: &Request) -> Result<Admitted, String> {
        Ok(Admitted { release: String::new(), until: u64::MAX })
    }

    fn still(&self, _: &Admitted) -> Result<(), String> {
        Ok(())
    }
}

/// A registration that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterRefused {
    /// The request itself is wrong.
    #[error(transparent)]
    Request(#[from] RegisterError),
    /// The admission says no.
    #[error("not admitted: {0}")]
    Admission(String),
    /// The session left for good.
    #[error("the session was evicted: start a new one")]
    Evicted,
    /// The session is registered with another ephemeral key.
    #[error("the session is registered here with another ephemeral key: start a new one")]
    OtherKey,
    /// Its vouch was taken back, and the round under way still needs its chain.
    #[error("the session was withdrawn, and the round under way needs it: try again when that has ended")]
    Withdrawn,
    /// This server has not logged its boot yet.
    #[error("the server is starting: try again")]
    Starting,
    /// This server is about to stop.
    #[error("the server is stopping: try again later")]
    Stopping,
    /// No room.
    #[error("the server has no room for another session")]
    Full,
}

impl RegisterRefused {
    /// A short name to count by.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Request(error) => error.reason(),
            Self::Admission(_) => "admission",
            Self::Evicted => "evicted",
            Self::OtherKey => "other_key",
            Self::Withdrawn => "withdrawn",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Full => "full",
        }
    }
}

impl Core {
    /// Whether this session is registered here, and will not have to be anew.
    pub fn shares(&self, state: &State, client: &ClientId, session: &Session) -> bool {
        self.chains.get(client, session).is_some() && !self.chains.is_void(state, &self.me(), client, session)
    }

    /// Answers a registration. The vouch follows by itself once the chain is here.
    ///
    /// # Errors
    /// [`RegisterRefused`] says why not.
    pub fn register(
        &mut self,
        now: u64,
        state: &State,
        admission: &dyn Admission,
        request: &Signed<Request>,
    ) -> Result<Signed<Answer>, RegisterRefused> {
        let own = state.server(&self.me()).and_then(|s| s.boot);
        if own.is_none_or(|(boot, _)| boot != self.boot) {
            return Err(RegisterRefused::Starting);
        }
        if self.leaving {
            return Err(RegisterRefused::Stopping);
        }
        let asked = request.verify().map_err(RegisterError::from)?;
        if state.registry().is_evicted(&asked.session) {
            return Err(RegisterRefused::Evicted);
        }
        let client = asked.client.client_id();
        if !self.chains.drop_void(state, &self.me(), &client, &asked.session) {
            return Err(RegisterRefused::Withdrawn);
        }
        if let Some(shared) = self.chains.get(&client, &asked.session) {
            let answer = shared.answer.trusted();
            let same = answer.client_ephemeral == asked.ephemeral && answer.boot == asked.boot;
            return if same { Ok(shared.answer.clone()) } else { Err(RegisterRefused::OtherKey) };
        }
        if !state.registry().has_room(&client) {
            return Err(RegisterRefused::Full);
        }
        let admitted = admission.admit(asked).map_err(RegisterRefused::Admission)?;
        let mut random = Zeroizing::new([0; 32]);
        self.rng.fill_bytes(&mut *random);
        // The chain starts after every round that this server may be done with already.
        let start = state.opened().max(self.chains.done()) + 1;
        let (chain, answer) =
            register::answer(&self.identity, state.deployment(), self.boot, start, request, &random)?;
        let shared = Shared::new(chain, answer.clone(), admitted, now);
        if self.chains.insert(client, asked.session, shared) {
            Ok(answer)
        } else {
            Err(RegisterRefused::Full)
        }
    }
}
