//! Five servers over one state, and an aggregator.

use std::sync::Arc;

use tokio::runtime::Runtime;
use zeroize::Zeroizing;
use zipnet_aggregator::folding::Folding;
use zipnet_committee::core::{Action, Core, Marks};
use zipnet_committee::entry::Entry;
use zipnet_committee::state::{Stage, State};
use zipnet_dcnet::aggregate::{Aggregate, Bitmap};
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::ids::ClientId;
use zipnet_dcnet::params::{Gossip, Params};
use zipnet_dcnet::register::Answer;
use zipnet_dcnet::seal::Envelope;
use zipnet_dcnet::signed::{Signed, encode};
use zipnet_dcnet::statement::{Vouch, vouch_digest};
use zipnet_dcnet::wire::{AggregateCall, Event, RosterUpdate};

use super::cpu::timed;
use super::others::Others;
use super::report::Row;
use super::sampled::Sampled;

pub(super) const SERVERS: u32 = 5;

/// An identity from a number.
pub(super) fn identity(kind: u8, n: usize) -> Identity {
    let mut seed = Zeroizing::new([kind; 32]);
    seed[..8].copy_from_slice(&(n as u64).to_le_bytes());
    Identity::from_seed(seed)
}

/// See the module.
pub(super) struct Committee {
    pub(super) descriptor: Descriptor,
    pub(super) identities: Vec<Arc<Identity>>,
    pub(super) cores: Vec<Core>,
    pub(super) state: State,
    pub(super) now: u64,
    applied: u64,
    folding: Folding,
    runtime: Runtime,
    /// Milliseconds that applying took.
    applying: f64,
    /// Bytes of the entries, by who proposes them.
    proposed: Vec<u64>,
}

impl Committee {
    pub(super) fn new() -> Self {
        let params = Params { warm_up: 0, gossip: Gossip::Servers, ..Params::standard(SERVERS) };
        let mut identities: Vec<_> = (0..SERVERS as usize).map(|n| Arc::new(identity(1, n))).collect();
        identities.sort_by_key(|i| i.peer_id());
        let ids = identities.iter().map(|i| i.peer_id()).collect();
        let descriptor = Descriptor::new("scale", params, ids).expect("the defaults hold");
        let aggregator = Arc::new(identity(2, 0));
        let policy = vec![aggregator.peer_id()];
        let core = |(n, identity): (usize, &Arc<Identity>)| {
            Core::new(identity.clone(), policy.clone(), Marks::default(), &Zeroizing::new([n as u8 + 1; 32]))
        };
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
        let mut committee = Self {
            cores: identities.iter().enumerate().map(core).collect(),
            state: State::new(descriptor.clone()),
            now: 1_000,
            applied: 0,
            folding: Folding::new(aggregator.clone(), descriptor.clone()),
            runtime,
            applying: 0.0,
            proposed: vec![0; SERVERS as usize],
            identities,
            descriptor,
        };
        // Lapses, then policies.
        for _ in 0..2 {
            committee.now += 2_000;
            (0..SERVERS as usize).for_each(|s| drop(committee.react(s)));
        }
        committee
    }

    /// A server's vouch for what it answered.
    pub(super) fn vouch(&self, server: usize, answer: &Answer) -> Entry {
        let vouch = Vouch {
            deployment: self.descriptor.id(),
            server: self.identities[server].peer_id(),
            boot: self.cores[server].boot(),
            client: answer.client,
            session: answer.session,
            digest: vouch_digest(&answer.client_ephemeral, &answer.ephemeral),
        };
        Entry::Vouch(Box::new(Signed::new(&self.identities[server], vouch)))
    }

    /// Applies entries of the log; the milliseconds.
    pub(super) fn apply(&mut self, entries: &[Entry]) -> f64 {
        self.applied += entries.len() as u64;
        let state = &mut self.state;
        let ((), ms) = timed(|| entries.iter().for_each(|e| state.apply(e).expect("nobody lies here")));
        self.applying += ms;
        ms
    }

    /// One turn of a server, and its entries applied; milliseconds of the core, and whether it asks for aggregates.
    fn react(&mut self, s: usize) -> (f64, Option<AggregateCall>) {
        let all = self.cores.iter().map(Core::me).collect();
        let (core, state) = (&mut self.cores[s], &self.state);
        let (actions, ms) = timed(|| core.react(self.now, state, self.applied, (s == 0).then_some(&all)));
        let mut call = None;
        for action in actions {
            match action {
                Action::Propose(entry) if !matches!(entry, Entry::Vouch(_)) => {
                    self.proposed[s] += encode(&entry).len() as u64;
                    self.apply(&[entry]);
                }
                Action::Collect { digest, .. } => {
                    let without = Bitmap::new(0);
                    call = Some(AggregateCall { header_digest: digest, within_ms: 0, without });
                }
                Action::Propose(_)
                | Action::Mark(_)
                | Action::Campaign
                | Action::StepBack
                | Action::Forgot => {}
            }
        }
        (ms, call)
    }

    /// All servers turn until the round is at `stage`, or there is none; milliseconds by server.
    fn turns(&mut self, stage: Option<Stage>, spent: &mut [f64]) -> Option<AggregateCall> {
        for _ in 0..10 {
            for (s, spent) in spent.iter_mut().enumerate() {
                if self.state.round().map(zipnet_committee::state::Round::stage) == stage {
                    return None;
                }
                let (ms, call) = self.react(s);
                *spent += ms;
                if call.is_some() {
                    return call;
                }
            }
        }
        panic!(
            "stage {stage:?} is not reached: {:?}",
            self.state.round().map(|r| (r.stage(), r.doomed.clone()))
        );
    }

    /// A round, from its opening to its signed record.
    pub(super) fn round(&mut self, sampled: &mut [Sampled], others: &mut Others, row: Option<&mut Row>) {
        self.now += 3_000;
        self.applying = 0.0;
        self.proposed.fill(0);
        let mut spent = vec![0.0; self.cores.len()];
        self.turns(Some(Stage::Folding), &mut spent);
        let round = self.state.round().expect("it is open").clone();
        let header = round.signed_header().expect("it is open");
        let open = Event::Open { header: Box::new(header.clone()), roster: RosterUpdate::Same };
        let from = header.header.servers[0];
        // The clients, and what the aggregator does with their envelopes.
        let mut client = 0.0;
        let (mut folded, mut aggregator) = (0_u64, 0.0);
        aggregator += timed(|| self.folding.open(&header, round.roster.clone())).1;
        let roster = &round.roster;
        let mut fold = |envelopes: Vec<(ClientId, Envelope)>| {
            folded += envelopes.len() as u64;
            let (runtime, folding) = (&self.runtime, &self.folding);
            let take = |(who, envelope)| {
                runtime.block_on(folding.envelope(who, envelope)).expect("nobody lies here");
            };
            aggregator += timed(|| envelopes.into_iter().for_each(take)).1;
        };
        for one in sampled.iter_mut() {
            let (id, envelope, ms) = one.seal(self.now, from, &header, roster);
            client += ms;
            fold(vec![(id, envelope)]);
        }
        let envelope_bytes = others.seal(&self.descriptor, &header.header, roster, &mut fold);
        // The servers.
        let call = self.turns(None, &mut spent).expect("the leader collects");
        let leader = self.identities[0].peer_id();
        let (aggregate, ms) = timed(|| self.runtime.block_on(self.folding.aggregate(leader, &call)));
        aggregator += ms;
        let aggregate: Signed<Aggregate> = aggregate.expect("it has it");
        let aggregate_bytes = encode(&aggregate).len() as u64;
        self.cores[0].collected(call.header_digest, vec![aggregate]);
        self.turns(None, &mut spent);
        // Everybody signs the record; it is told when all have.
        for (s, spent) in spent.iter_mut().enumerate() {
            *spent += self.react(s).0;
        }
        let end = self.state.recent().get(&round.header.round).expect("the round is final").clone();
        for one in sampled.iter_mut() {
            client += one.ended(self.now, from, &end);
        }
        let told = encode(&Event::Ended(end.clone())).len() as u64;
        let Some(row) = row else { return };
        let servers = self.cores.len() as u64;
        let (entries, n) = (self.proposed.iter().sum::<u64>(), row.n as u64);
        let to_client = encode(&open).len() as u64 + told;
        row.published = self.state.last().map_or(0, |record| record.messages.len());
        row.participants = self.state.last().map_or(0, zipnet_dcnet::record::Record::count);
        row.client_cpu = client / sampled.len() as f64;
        (row.client_out, row.client_in) = (envelope_bytes, to_client);
        row.aggregator_cpu = aggregator;
        (row.aggregator_in, row.aggregator_out) =
            (folded * envelope_bytes + encode(&open).len() as u64, aggregate_bytes);
        row.leader_cpu = spent[0] + self.applying;
        row.follower_cpu = spent[1] + self.applying;
        row.applying_cpu = self.applying;
        // A server's share of the clients listens to it.
        row.leader_out = entries * (servers - 1) + n / servers * to_client;
        row.leader_in = aggregate_bytes + entries - self.proposed[0];
        row.follower_out = self.proposed[1] + n / servers * to_client;
        row.follower_in = entries;
        row.record = encode(&end).len() as u64;
        row.roster = encode(&round.roster).len() as u64;
    }

    /// What a turn costs in which nothing is to be done, and what a snapshot has.
    pub(super) fn idle(&mut self, row: &mut Row) {
        (1..4).for_each(|_| drop(self.react(1)));
        row.idle_cpu = (0..4).map(|_| self.react(1).0).sum::<f64>() / 4.0;
        row.snapshot = encode(&self.state).len() as u64;
    }
}
