//! The status as callers see it.

use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::params::Gossip;
use zipnet_proto::v1::{Message, MessageState, QueueCounts, StatusResponse};

use super::ClientConfig;
use super::clock;
use super::disk::Room;
use super::find::NotFound;
use crate::core::message::{MessageView, SealedAt, State};
use crate::core::status::{Phase, Standing, Status};
use crate::identity::described;

/// What the runner knows besides the core.
pub(super) struct Connection {
    /// Why the instance was not found, at the last attempt.
    pub missing: Option<NotFound>,
    /// Since when some server is reachable, in Unix milliseconds.
    pub since: Option<u64>,
}

/// What the runner says about itself.
pub(super) struct Own {
    pub paused: bool,
    pub started_at: u64,
    pub now: u64,
    pub room: Room,
}

/// Puts the answer together. `core` is what the core tells this caller, with the deployment, once that is known.
pub(super) fn status(
    config: &ClientConfig,
    connection: &Connection,
    own: &Own,
    core: Option<(&Descriptor, &Status)>,
) -> StatusResponse {
    let mut out = StatusResponse {
        instance: config.instance.name.clone(),
        universe: config.universe.clone(),
        pinned: config.instance.pin.is_some(),
        peer_id: config.identity.peer_id().to_string(),
        identity: described(config.sealed.as_ref()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        connected_since_ms: connection.since,
        queue: Some(QueueCounts::default()),
        paused: own.paused,
        cadence: config.cadence,
        now_ms: own.now,
        started_at_ms: own.started_at,
        store_bytes: own.room.store,
        disk_free_bytes: own.room.free,
        ..StatusResponse::default()
    };
    if let Some((descriptor, status)) = core {
        deployment(&mut out, descriptor);
        of_core(&mut out, status);
    }
    let connecting = core.is_none_or(|(_, status)| status.phase == Phase::Connecting);
    if connecting {
        "connecting".clone_into(&mut out.state);
        "looking for the instance".clone_into(&mut out.why);
    }
    if let (true, Some(missing)) = (connecting && connection.since.is_none(), &connection.missing) {
        "connect_timeout".clone_into(&mut out.state);
        out.why = missing.to_string();
    }
    out.warnings = warnings(config, connection, core.map(|(_, status)| status));
    out
}

fn deployment(out: &mut StatusResponse, descriptor: &Descriptor) {
    let params = &descriptor.params;
    out.deployment = descriptor.id().to_string();
    out.servers_total = descriptor.servers.len() as u32;
    out.min_servers = params.min_servers;
    out.min_anonymity = params.min_anonymity;
    out.slots = params.slots;
    out.slot_bytes = params.slot_bytes;
    out.max_payload = params.max_payload() as u32;
    out.gossip = match params.gossip {
        Gossip::All => "all",
        Gossip::Servers => "servers",
    }
    .to_owned();
}

fn of_core(out: &mut StatusResponse, status: &Status) {
    out.client_id = status.client_id.to_string();
    out.registered = status.registered;
    out.cadence = status.cadence;
    out.round = status.round;
    out.round_at_ms = status.round_at;
    out.participants = status.participants.unwrap_or(0);
    out.participants_low_1h = status.participants_low_1h;
    out.servers = status.servers.iter().map(ToString::to_string).collect();
    out.state = match status.phase {
        Phase::Connecting => "connecting",
        Phase::Registering => "registering",
        Phase::WarmingUp => "warming_up",
        Phase::Ready => "ready",
        Phase::Holding | Phase::Stopping => "holding",
    }
    .to_owned();
    out.why = status.why.map(|why| why.to_string()).unwrap_or_default();
    let q = status.queue;
    out.queue = Some(QueueCounts {
        queued: q.queued,
        reserved: q.reserved,
        sealed: q.sealed,
        published: q.published,
        cancelled: q.cancelled,
        expired: q.expired,
        failed: q.failed,
    });
    out.cadence = status.cadence;
    out.draining = status.phase == Phase::Stopping;
    out.oldest_age_ms = status.oldest_accepted_at.map(|at| clock::wall().saturating_sub(at));
}

fn warnings(config: &ClientConfig, connection: &Connection, core: Option<&Status>) -> Vec<String> {
    let mut out = Vec::new();
    if config.instance.pin.is_none() {
        out.push("unpinned: the deployment was, or will be, taken on the bootstrap peer's word".to_owned());
    }
    if let Some(missing @ NotFound::OtherDeployment { .. }) = &connection.missing {
        out.push(format!("{missing}; a changed deployment is never adopted by itself"));
    }
    if core.is_some_and(|status| status.standing == Standing::Stopped) {
        out.push(
            "the standing message may have been read and tied to this client: it is not sent again"
                .to_owned(),
        );
    }
    out
}

/// A state as callers know it.
pub(super) fn state(state: &State, reserved: bool) -> MessageState {
    match state {
        State::Queued if reserved => MessageState::Reserved,
        State::Queued => MessageState::Queued,
        State::Sealed(_) => MessageState::Sealed,
        State::Published { .. } => MessageState::Published,
        State::Cancelled => MessageState::Cancelled,
        State::Expired => MessageState::Expired,
        State::Failed(_) => MessageState::Failed,
    }
}

/// A message as its owner sees it.
pub(super) fn message(view: MessageView) -> Message {
    let (round, slot) = match &view.state {
        State::Sealed(SealedAt { round, slot, .. }) => (Some(*round), Some(*slot)),
        State::Published { round, slot } => (Some(*round), *slot),
        _ => (None, None),
    };
    let reason = match &view.state {
        State::Failed(failure) => failure.as_str().to_owned(),
        _ => String::new(),
    };
    Message {
        id: view.id.to_string(),
        request_id: view.request_id.unwrap_or_default(),
        state: state(&view.state, view.reserved).into(),
        reason,
        round,
        slot,
        accepted_at_ms: view.accepted_at,
        expires_at_ms: view.expires_at,
        attempts: view.attempts,
        length: view.length.unwrap_or(0),
        last_reason: view.last_reason.to_owned(),
        next_step: view.next_step,
        next_at_ms: view.next_at,
        receipt: view.receipt,
        uid: view.uid,
    }
}
