//! The guest's side.

use std::io;

use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;
use zipnet_dcnet::ids::DeploymentId;
use zipnet_dcnet::signed::encode;

use super::super::envelope::Header;
use super::super::provider::{Grant, KekProvider, Provider, ProviderError};
use super::message::{Ask, Call, Message, Purpose, Refusal, Reply};
use super::secret::BrokerKey;
use crate::quote::QuoteSource;

/// Carries a message to the broker and its answer back. Need not be trusted: what is said is bound to both ends.
pub trait Transport {
    /// One question, one answer of at most [`super::MAX_MESSAGE_BYTES`]. Bounded in time.
    ///
    /// # Errors
    /// Why there is no answer.
    fn call(&mut self, message: &[u8]) -> io::Result<Vec<u8>>;
}

/// Keys from a broker.
pub struct BrokerClient<T, Q, R> {
    transport: T,
    source: Q,
    random: R,
    broker: BrokerKey,
    deployment: DeploymentId,
    instance: [u8; 32],
}

impl<T: Transport, Q: QuoteSource, R: CryptoRng> BrokerClient<T, Q, R> {
    /// A client of this broker, for this deployment: both come from the measured part of the guest, never from its host.
    pub fn new(transport: T, source: Q, mut random: R, broker: BrokerKey, deployment: DeploymentId) -> Self {
        let mut instance = [0; 32];
        random.fill_bytes(&mut instance);
        Self { transport, source, random, broker, deployment, instance }
    }

    fn key(&mut self, purpose: Purpose) -> Result<Grant, ProviderError> {
        let (ask, secret, reply) = self.ask(purpose)?;
        match reply {
            Reply::Key { ephemeral, sealed } => {
                self.broker.unwrap(&ask, &secret, &ephemeral, &sealed).ok_or_else(|| ProviderError::Refused {
                    provider: Provider::Broker,
                    problem: "the answer is not by the broker whose key this guest was built with".to_owned(),
                })
            }
            other => Err(refused(&other, purpose)),
        }
    }

    /// What was asked, with whose secret, and the answer.
    fn ask(&mut self, purpose: Purpose) -> Result<(Ask, StaticSecret, Reply), ProviderError> {
        let nonce = match self.call(&Message::Challenge)? {
            Reply::Challenge(nonce) => nonce,
            other => return Err(refused(&other, purpose)),
        };
        let mut random = Zeroizing::new([0; 32]);
        self.random.fill_bytes(&mut *random);
        let secret = StaticSecret::from(*random);
        let ephemeral = PublicKey::from(&secret).to_bytes();
        let ask = Ask { nonce, ephemeral, instance: self.instance, deployment: self.deployment, purpose };
        let quote = self.source.quote(&ask.report_data(&self.broker.0))?;
        let reply = self.call(&Message::Release(Call { ask: ask.clone(), quote }))?;
        Ok((ask, secret, reply))
    }

    fn call(&mut self, message: &Message) -> Result<Reply, ProviderError> {
        let gone = |problem: String| ProviderError::Gone { provider: Provider::Broker, problem };
        let answer = self.transport.call(&encode(message)).map_err(|e| gone(e.to_string()))?;
        if answer.len() > super::MAX_MESSAGE_BYTES {
            return Err(gone(format!("its answer has {} bytes", answer.len())));
        }
        borsh::from_slice(&answer).map_err(|e| gone(format!("its answer makes no sense: {e}")))
    }
}

/// Anybody on the way can say no, which does no more than not to answer.
fn refused(reply: &Reply, purpose: Purpose) -> ProviderError {
    let provider = Provider::Broker;
    match (reply, purpose) {
        (
            Reply::Refused(Refusal::UnknownKey),
            Purpose::Open { key_id, .. } | Purpose::GiveBack { key_id },
        ) => ProviderError::UnknownKey { provider, key_id },
        (Reply::Refused(Refusal::Old { found, known }), _) => {
            ProviderError::Old { found: *found, known: *known }
        }
        (Reply::Refused(Refusal::Leased { secs }), _) => ProviderError::Leased { secs: *secs },
        (Reply::Refused(refusal), _) => ProviderError::Refused { provider, problem: refusal.to_string() },
        (Reply::Challenge(_) | Reply::Key { .. } | Reply::Returned, _) => {
            ProviderError::Gone { provider, problem: "it answers another question".to_owned() }
        }
    }
}

impl<T: Transport, Q: QuoteSource, R: CryptoRng> KekProvider for BrokerClient<T, Q, R> {
    fn provider(&self) -> Provider {
        Provider::Broker
    }

    fn create(&mut self) -> Result<Grant, ProviderError> {
        self.key(Purpose::Create)
    }

    fn open(&mut self, header: &Header) -> Result<Grant, ProviderError> {
        self.key(Purpose::Open { key_id: header.key_id, generation: header.generation })
    }

    fn give_back(&mut self, header: &Header) -> Result<(), ProviderError> {
        let purpose = Purpose::GiveBack { key_id: header.key_id };
        match self.ask(purpose)?.2 {
            Reply::Returned => Ok(()),
            other => Err(refused(&other, purpose)),
        }
    }
}
