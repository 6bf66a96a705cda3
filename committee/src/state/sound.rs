//! Whether a state that another server handed over can be one.

use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::params::MAX_ROUND;
use zipnet_dcnet::record::Record;

use super::{RECENT, Round, State};

impl State {
    /// Whether this is a state of this deployment that holds together: what the log makes does. It says nothing about what
    /// the log said; nodes go by signatures for that.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self, descriptor: &Descriptor) -> Result<(), &'static str> {
        let fits = |fits: bool, what| if fits { Ok(()) } else { Err(what) };
        fits(self.descriptor == *descriptor && self.deployment == descriptor.id(), "another deployment")?;
        fits(self.servers.keys().eq(&descriptor.servers), "other servers")?;
        fits(self.opened < MAX_ROUND, "a round that nobody opened")?;
        fits(self.servers.values().all(|s| s.returned <= self.opened), "a server that returned later")?;
        fits(
            self.registry.is_sound(descriptor.servers.len() as u32),
            "a registry that is too large or counted too far",
        )?;
        fits(self.last_roster.is_canonical(), "a roster out of order")?;
        let last = self.last.as_ref().map_or(self.deployment.0, Record::digest);
        fits(self.last_digest == last, "another last record")?;
        if let Some(record) = &self.last {
            record.check(descriptor, &self.deployment).map_err(|_| "a last record that cannot be")?;
        }
        let recent =
            self.recent.iter().all(|(round, ended)| *round == ended.round() && *round <= self.opened);
        fits(recent && self.recent.len() <= RECENT, "rounds that did not end")?;
        let Some(round) = &self.round else { return Ok(()) };
        fits(round.header.round == self.opened, "a round that is not the last")?;
        round.check(self)
    }
}

impl Round {
    fn check(&self, state: &State) -> Result<(), &'static str> {
        let fits = |fits: bool, what| if fits { Ok(()) } else { Err(what) };
        let bytes = state.descriptor.params.vector_bytes();
        let named = |server: &PeerId| self.has(server);
        self.header.check(&state.descriptor, &state.deployment).map_err(|_| "a header that cannot be")?;
        fits(self.digest == self.header.digest(), "another header")?;
        fits(self.roster.is_canonical() && self.roster.is_of(&self.header), "another roster")?;
        fits(self.owned <= state.descriptor.params.slots, "more owners than slots")?;
        let said = self.signatures.keys().chain(self.commitments.keys()).chain(self.partials.keys());
        fits(said.into_iter().all(named), "a server that is not in the header")?;
        fits(self.partials.values().all(|partial| partial.len() == bytes), "a partial of another length")?;
        fits(self.partials.len() < self.header.servers.len(), "a round that is over")?;
        fits(self.fold.is_some() || self.commitments.is_empty(), "commitments to no fold")?;
        fits(self.fold.is_some() || self.partials.is_empty(), "partials of no fold")?;
        let Some((fold, digest)) = &self.fold else { return Ok(()) };
        let set = fold.participants.is_canonical() && fold.participants.len() == self.header.roster_len;
        fits(set && fold.vector.len() == bytes && fold.digest() == *digest, "a fold that cannot be")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use zipnet_dcnet::params::Params;

    use super::*;

    #[test]
    fn a_state_of_another_deployment_or_that_cannot_be_is_not_taken_over() {
        let descriptor = |name: &str| Descriptor::new(name, Params::dev(1), vec![PeerId([1; 32])]).unwrap();
        let (ours, theirs) = (descriptor("ours"), descriptor("theirs"));
        let good = State::new(ours.clone());
        good.check(&ours).unwrap();
        assert!(good.check(&theirs).is_err());
        let wrong = |change: fn(&mut State)| {
            let mut state = good.clone();
            change(&mut state);
            state.check(&ours).unwrap_err()
        };
        assert_eq!(wrong(|s| s.opened = u64::MAX), "a round that nobody opened");
        assert_eq!(wrong(|s| s.last_digest = [1; 32]), "another last record");
        assert_eq!(wrong(|s| s.servers.clear()), "other servers");
        assert_eq!(
            wrong(|s| s.servers.values_mut().for_each(|s| s.returned = 5)),
            "a server that returned later"
        );
    }
}
