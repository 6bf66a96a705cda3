//! The leader's collection of a round's aggregates (R6).

use std::time::Duration;

use futures::future::join_all;
use tracing::{debug, warn};
use zipnet_dcnet::aggregate::{Aggregate, Bitmap, Fold, FoldError};
use zipnet_dcnet::header::Header;
use zipnet_dcnet::ids::{HeaderDigest, PeerId};
use zipnet_dcnet::params::Params;
use zipnet_dcnet::signed::{Signed, encode};
use zipnet_dcnet::wire::AggregateCall;
use zipnet_network::links::Kind;

use super::directory::Directory;
use crate::raft::MAX_ENTRY_BYTES;

/// What an entry holds besides its aggregates.
const ENTRY_MARGIN: usize = 1_024;

/// What an aggregator gets beyond the fold deadline to bring its answer over.
const GRACE: Duration = Duration::from_secs(1);

/// Asks all aggregators of the header and gives their disjoint aggregates. Where two overlap, the later one is asked
/// once more without the shared entries. One that fails or lies is left out.
pub(super) async fn collect(
    directory: &Directory,
    params: &Params,
    header: &Header,
    header_digest: HeaderDigest,
    within_ms: u32,
    without: Bitmap,
) -> Vec<Signed<Aggregate>> {
    let call = AggregateCall { header_digest, within_ms, without };
    let asked = header.aggregators.iter().map(|a| ask(directory, *a, &call));
    let mut fold = Fold::new(params, header);
    let (mut parts, mut room) = (Vec::new(), MAX_ENTRY_BYTES - ENTRY_MARGIN);
    for (aggregator, mut answer) in join_all(asked).await {
        let mut error = merge(&mut fold, header, aggregator, answer.as_ref(), room);
        if matches!(error, Some(FoldError::Overlap(_))) {
            let again = AggregateCall { without: fold.participants.clone(), within_ms: 0, ..call.clone() };
            answer = ask(directory, aggregator, &again).await.1;
            error = merge(&mut fold, header, aggregator, answer.as_ref(), room);
        }
        match (answer, error) {
            (Some(part), None) => {
                room -= len(&part);
                parts.push(part);
            }
            (Some(_), Some(error)) => {
                crate::metrics::aggregate_refused(error.reason());
                warn!(aggregator = %aggregator.short(), %error, round = header.round, "aggregate refused");
            }
            (None, _) => {}
        }
    }
    parts
}

/// Bytes of an aggregate in the log's entry.
fn len(part: &Signed<Aggregate>) -> usize {
    encode(part).len()
}

/// Folds a part in that has at most `room` bytes; what stands against it, if anything does.
fn merge(
    fold: &mut Fold,
    header: &Header,
    from: PeerId,
    answer: Option<&Signed<Aggregate>>,
    room: usize,
) -> Option<FoldError> {
    let answer = answer?;
    let aggregate = answer.verify().ok().filter(|a| a.aggregator == from);
    let result = match aggregate {
        Some(aggregate) if len(answer) <= room => fold.merge(header, aggregate),
        Some(_) => Err(FoldError::Length { given: len(answer), expected: room }),
        None => Err(FoldError::NotAggregator(from)),
    };
    result.err()
}

async fn ask(
    directory: &Directory,
    aggregator: PeerId,
    call: &AggregateCall,
) -> (PeerId, Option<Signed<Aggregate>>) {
    let Some(link) = directory.link(&aggregator) else {
        debug!(aggregator = %aggregator.short(), "no address known yet");
        return (aggregator, None);
    };
    let timeout = Duration::from_millis(call.within_ms.into()) + GRACE;
    match link.call(Kind::Aggregate, encode(call), timeout).await {
        Ok(body) => (aggregator, borsh::from_slice(&body).ok()),
        Err(error) => {
            debug!(aggregator = %aggregator.short(), %error, "no aggregate");
            (aggregator, None)
        }
    }
}
