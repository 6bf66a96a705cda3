//! What the broker decides. Pure: time, randomness and storage are the caller's.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;
use zipnet_dcnet::ids::DeploymentId;

use super::super::provider::{Grant, KeyId};
use super::message::{Ask, Call, MAX_MESSAGE_BYTES, Message, Purpose, Refusal, Reply};
use super::secret::BrokerSecret;
use crate::quote::Quote;
use crate::verify::{Authenticate, Denied, Policy, Verifier};

/// How long a copy has a key without asking again, in seconds. Long enough to restart the broker, short enough to wait for
/// after a guest crashed.
pub const LEASE_SECS: u64 = 600;
/// Most keys of a broker: a million bytes or so each way.
pub const MAX_KEYS: usize = 16_384;

/// A key that was given out.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Entry {
    deployment: DeploymentId,
    /// The newest generation that was opened.
    known: u64,
    /// Which copy has it.
    instance: [u8; 32],
    /// Until when, in seconds since 1970.
    until: u64,
}

/// What the broker must not forget: written to disk before an answer leaves. No secret is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct State {
    keys: BTreeMap<KeyId, Entry>,
}

impl State {
    /// How many keys were given out.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// A key broker.
pub struct Broker<V = Verifier> {
    secret: BrokerSecret,
    verifier: V,
    policy: Policy,
    state: State,
}

impl<V: Authenticate> Broker<V> {
    /// A broker with the state of before.
    pub fn new(secret: BrokerSecret, verifier: V, policy: Policy, state: State) -> Self {
        Self { secret, verifier, policy, state }
    }

    /// Answers a message. `random` is 32 fresh random bytes. Write [`Broker::state`] to disk before the answer leaves.
    pub fn answer(&mut self, message: &[u8], now: u64, random: &Zeroizing<[u8; 32]>) -> Reply {
        if message.len() > MAX_MESSAGE_BYTES {
            return Reply::Refused(Refusal::Malformed);
        }
        match borsh::from_slice(message) {
            Err(_) => Reply::Refused(Refusal::Malformed),
            Ok(Message::Challenge) => Reply::Challenge(self.secret.challenge(now)),
            Ok(Message::Release(call)) => self.release(&call, now, random).unwrap_or_else(Reply::Refused),
        }
    }

    /// What must be on disk.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Judges from now on by this.
    pub fn judge_by(&mut self, verifier: V, policy: Policy) {
        (self.verifier, self.policy) = (verifier, policy);
    }

    fn release(&mut self, call: &Call, now: u64, random: &Zeroizing<[u8; 32]>) -> Result<Reply, Refusal> {
        let ask = &call.ask;
        if !self.secret.is_fresh(&ask.nonce, now) {
            return Err(Refusal::Challenge);
        }
        self.check(call, now).map_err(|e| Refusal::Denied(e.to_string()))?;
        // Tried with another question first: nothing is noted for one that cannot be answered.
        let (key_id, entry) = self.entry(ask, now)?;
        if let Purpose::GiveBack { .. } = ask.purpose {
            self.state.keys.insert(key_id, entry);
            return Ok(Reply::Returned);
        }
        let kek = self.secret.kek(&key_id, &ask.deployment);
        let grant = Grant { kek, key_id, lease_secs: Some(LEASE_SECS) };
        let (ephemeral, sealed) = self.secret.wrap(ask, &grant, random).ok_or(Refusal::Malformed)?;
        self.state.keys.insert(key_id, entry);
        Ok(Reply::Key { ephemeral, sealed })
    }

    /// The same questions as a server asks, by the same code.
    fn check(&self, call: &Call, now: u64) -> Result<(), Denied> {
        let expected = call.ask.report_data(&self.secret.public().0).bytes();
        if Quote::parse(&call.quote)?.contents().report_data != expected {
            return Err(Denied::ReportData);
        }
        let genuine = self.verifier.authenticate(&call.quote, now)?;
        if genuine.contents.report_data != expected {
            return Err(Denied::ReportData);
        }
        self.policy.appraise(&genuine).map(|_| ())
    }

    /// The key that is asked for, as it will be noted.
    fn entry(&self, ask: &Ask, now: u64) -> Result<(KeyId, Entry), Refusal> {
        let until = now.saturating_add(LEASE_SECS);
        let (key_id, generation) = match ask.purpose {
            Purpose::Create => {
                // Of the question, so that the same one gets the same key.
                let digest = ask.digest();
                let key_id = KeyId(*digest.first_chunk().expect("invariant: 32 bytes have 16"));
                if self.state.keys.len() >= MAX_KEYS && !self.state.keys.contains_key(&key_id) {
                    return Err(Refusal::Full);
                }
                let entry = Entry { deployment: ask.deployment, known: 0, instance: ask.instance, until };
                return Ok((key_id, self.state.keys.get(&key_id).cloned().unwrap_or(entry)));
            }
            Purpose::Open { key_id, generation } => (key_id, Some(generation)),
            Purpose::GiveBack { key_id } => (key_id, None),
        };
        let entry = self.state.keys.get(&key_id).filter(|entry| entry.deployment == ask.deployment);
        let entry = entry.ok_or(Refusal::UnknownKey)?;
        if entry.instance != ask.instance && now < entry.until {
            return Err(Refusal::Leased { secs: entry.until - now });
        }
        let Some(generation) = generation else {
            // Of a lease that another copy had in the meantime there is nothing to give back.
            let until = if entry.instance == ask.instance { now.min(entry.until) } else { entry.until };
            return Ok((key_id, Entry { until, ..entry.clone() }));
        };
        // One step at a time: an envelope that a host makes up cannot lock the real one out for good by a huge number.
        if generation < entry.known || generation > entry.known.saturating_add(1) {
            return Err(Refusal::Old { found: generation, known: entry.known });
        }
        Ok((key_id, Entry { known: generation, instance: ask.instance, until, ..entry.clone() }))
    }
}
