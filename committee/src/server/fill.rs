//! Filling the archive of a server that was away for longer than its log reaches back, from the other servers.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::signed::encode;
use zipnet_dcnet::wire::{Ended, RecordsCall, RecordsReply};
use zipnet_network::links::Kind;

use super::Shared;
use super::checked::{Gap, check};

/// Rounds asked for at a time; a reply has fewer when they are long.
const AT_ONCE: u32 = 128;
/// What a call gets.
const CALL: Duration = Duration::from_secs(20);
/// From one piece to the next, so that readers and rounds come first.
const PAUSE: Duration = Duration::from_millis(100);
/// The first pause after nobody had the next piece; doubles up to [`MAX_REST`]. Also how often a gap is looked for.
const MIN_REST: Duration = Duration::from_secs(5);
/// The longest such pause.
const MAX_REST: Duration = Duration::from_mins(5);

/// Fills until `stop`, from the newest missing round down. What is kept hangs on the own log by digests.
pub(super) async fn fill(shared: Arc<Shared>, stop: CancellationToken) {
    let mut rest = MIN_REST;
    let mut filled = 0;
    loop {
        let pause = match step(&shared).await {
            Step::Nothing => {
                if std::mem::take(&mut filled) > 0 {
                    info!("the archive has no gap any more");
                }
                rest = MIN_REST;
                MIN_REST
            }
            Step::Took(rounds) => {
                filled += rounds;
                rest = MIN_REST;
                PAUSE
            }
            Step::Nobody => {
                let now = rest;
                rest = (rest * 2).min(MAX_REST);
                now
            }
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

enum Step {
    /// There is no gap.
    Nothing,
    /// So many rounds.
    Took(usize),
    /// No server has the rounds below.
    Nobody,
}

async fn step(shared: &Shared) -> Step {
    let last = shared.applied().state.last_digest();
    let gap = match shared.archive.gap(last) {
        Ok(Some(gap)) => gap,
        Ok(None) => return Step::Nothing,
        Err(error) => {
            debug!(%error, "the archive cannot be read");
            return Step::Nobody;
        }
    };
    // What is on the disk already, from before the gap, is as good as a server's.
    let own = shared.archive.below(&gap, AT_ONCE).unwrap_or_default();
    let mut best = check(&shared.descriptor, &gap, own).ok().filter(|kept| !kept.is_empty());
    if best.is_none() {
        for server in shared.descriptor.servers.iter().filter(|server| **server != shared.me) {
            let Some(found) = ask(shared, server, &gap).await else { continue };
            let signed = |kept: &[Ended]| kept.iter().map(signatures).sum::<usize>();
            // One that holds signatures back must not be the one who is believed.
            if best.as_ref().is_none_or(|best| signed(&found) > signed(best)) {
                best = Some(found);
            }
            if best.as_ref().is_some_and(|kept| kept.iter().all(|ended| is_complete(shared, ended))) {
                break;
            }
        }
    }
    let Some(kept) = best else { return Step::Nobody };
    let rounds = kept.len();
    match shared.archive.fill(&gap, kept).await {
        Ok(()) => Step::Took(rounds),
        Err(error) => {
            debug!(%error, "the archive cannot be filled");
            Step::Nobody
        }
    }
}

fn signatures(ended: &Ended) -> usize {
    match ended {
        Ended::Final(signed) => signed.signatures.len(),
        Ended::Abandoned(abandoned) => abandoned.disclosures.len(),
    }
}

/// Whether nobody can have more signatures that matter to a reader (R11).
fn is_complete(shared: &Shared, ended: &Ended) -> bool {
    match ended {
        Ended::Final(signed) => signed.signatures.len() >= shared.descriptor.params.min_servers as usize,
        Ended::Abandoned(abandoned) => abandoned.disclosures.len() == shared.descriptor.servers.len(),
    }
}

async fn ask(shared: &Shared, server: &PeerId, gap: &Gap) -> Option<Vec<Ended>> {
    let link = shared.directory.link(server)?;
    let limit = AT_ONCE.min(u32::try_from(gap.below - gap.down_to).unwrap_or(AT_ONCE));
    let mut from = gap.below - u64::from(limit);
    // A reply that is too long ends early: then fewer are asked for, those next to what is here.
    loop {
        let call = RecordsCall { from, limit: u32::try_from(gap.below - from).unwrap_or(limit) };
        let reply = link.call(Kind::Records, encode(&call), CALL).await;
        let reply = match reply.map(|body| borsh::from_slice::<RecordsReply>(&body)) {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => {
                debug!(server = %server.short(), %error, "malformed records");
                return None;
            }
            Err(error) => {
                debug!(server = %server.short(), %error, "no records");
                return None;
            }
        };
        let last = reply.items.last()?.round();
        if last + 1 < gap.below && last >= from && from < gap.below - 1 {
            from = (last + 1).min(gap.below - 1);
            continue;
        }
        return match check(&shared.descriptor, gap, reply.items) {
            Ok(kept) if !kept.is_empty() => Some(kept),
            Ok(_) => None,
            Err(why) => {
                debug!(server = %server.short(), %why, "records refused");
                None
            }
        };
    }
}
