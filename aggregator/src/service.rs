//! What an aggregator answers over links.

use std::sync::Arc;

use futures::future::BoxFuture;
use zipnet_dcnet::signed::encode;
use zipnet_dcnet::wire::refusal;
use zipnet_network::links::{FrameSink, Kind, Refusal, Remote};

use crate::folding::{Folding, Refused};

/// See the module.
pub(crate) struct Service(pub(crate) Arc<Folding>);

fn refused(error: &Refused) -> Refusal {
    let (code, reason) = match error {
        Refused::NotOpen(_) => (refusal::NOT_OPEN, "not_open"),
        Refused::Folded(_) => (refusal::NOT_OPEN, "folded"),
        Refused::NotYours(_) => (refusal::FORBIDDEN, "not_yours"),
        Refused::NotServer(_) => (refusal::FORBIDDEN, "not_server"),
        Refused::UnknownHeader => (refusal::UNKNOWN, "unknown_header"),
        Refused::Fold(error) => (refusal::ENVELOPE, error.reason()),
    };
    crate::metrics::refused(reason);
    Refusal::new(code, error.to_string())
}

impl Service {
    async fn answer(&self, from: Remote, kind: Kind, body: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        match kind {
            Kind::Envelope => {
                let client = from.bundle.client_id();
                self.0.envelope(client, Refusal::decode(&body)?).await.map_err(|e| refused(&e))?;
                Ok(Vec::new())
            }
            Kind::Aggregate => {
                let aggregate = self
                    .0
                    .aggregate(from.peer_id, &Refusal::decode(&body)?)
                    .await
                    .map_err(|e| refused(&e))?;
                Ok(encode(&aggregate))
            }
            _ => Err(Refusal::new(Refusal::NOT_ALLOWED, "an aggregator does not answer this")),
        }
    }
}

impl zipnet_network::links::Service for Service {
    fn call(&self, from: &Remote, kind: Kind, body: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, Refusal>> {
        Box::pin(self.answer(from.clone(), kind, body))
    }

    fn stream(&self, _: &Remote, _: Kind, _: Vec<u8>, _: FrameSink) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(async { Err(Refusal::new(Refusal::NOT_ALLOWED, "an aggregator does not stream")) })
    }
}
