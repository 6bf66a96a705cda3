//! A client that is measured: a real core of zipnetd.

use std::collections::VecDeque;
use std::sync::Arc;

use zeroize::Zeroizing;
use zipnet_committee::core::Open;
use zipnet_dcnet::header::SignedHeader;
use zipnet_dcnet::ids::{ClientId, PeerId};
use zipnet_dcnet::roster::Roster;
use zipnet_dcnet::seal::Envelope;
use zipnet_dcnet::wire::{Ended, Event, RegisterCall, RegisterReply, RosterUpdate};
use zipnetd::core::input::Command;
use zipnetd::core::{Core, CoreConfig, Input, Loaded, Output};

use super::committee::{Committee, identity};
use super::cpu::timed;

/// See the module.
pub(super) struct Sampled {
    core: Core,
    id: ClientId,
    outputs: VecDeque<Output>,
    spent: f64,
}

impl Sampled {
    pub(super) fn new(n: usize, committee: &Committee) -> Self {
        let identity = Arc::new(identity(3, n));
        let id = identity.client_bundle().client_id();
        let config = CoreConfig {
            identity,
            descriptor: committee.descriptor.clone(),
            pinned_servers: Vec::new(),
            cadence: 1,
            standing: None,
            daemon_uid: 0,
        };
        let core = Core::new(config, Loaded::default(), &Zeroizing::new([n as u8 + 1; 32]), committee.now);
        Self { core, id, outputs: VecDeque::new(), spent: 0.0 }
    }

    fn step(&mut self, now: u64, input: Input) {
        let (outputs, ms) = timed(|| self.core.step(now, input));
        self.spent += ms;
        for output in outputs {
            if let Output::Write { ticket, .. } = output {
                self.step(now, Input::Stored { ticket, result: Ok(()) });
            } else {
                self.outputs.push_back(output);
            }
        }
    }

    /// Registers with all servers, and has a message from the start.
    pub(super) fn register(&mut self, committee: &mut Committee) {
        self.step(committee.now, Input::Tick);
        while let Some(output) = self.outputs.pop_front() {
            let Output::Register { server, call } = output else { continue };
            let s = committee.descriptor.servers.binary_search(&server).expect("it is of the committee");
            let core = &mut committee.cores[s];
            let reply = match call {
                RegisterCall::Boot(_) => RegisterReply::Boot(core.boot(), core.bundle(), true),
                RegisterCall::Register(request) => {
                    let answer = core.register(committee.now, &committee.state, &Open, &request);
                    let answer = answer.expect("everybody may take part");
                    let vouch = committee.vouch(s, answer.trusted());
                    committee.apply(&[vouch]);
                    RegisterReply::Answer(Box::new(answer))
                }
            };
            self.step(committee.now, Input::Register { server, result: Ok(reply) });
        }
        let payload = self.id.0[..8].to_vec();
        let command =
            Command::Accept { uid: 1, payload, request_id: None, ttl_ms: Some(3_600_000), receipt: false };
        self.step(committee.now, Input::Command { reply: 1, command });
    }

    /// Seals for an open round; who it is, the envelope, and the milliseconds that all of it took.
    pub(super) fn seal(
        &mut self,
        now: u64,
        from: PeerId,
        header: &SignedHeader,
        roster: &Roster,
    ) -> (ClientId, Envelope, f64) {
        self.spent = 0.0;
        let event = Event::Open { header: Box::new(header.clone()), roster: RosterUpdate::Same };
        self.step(now, Input::Event { from, event });
        let mut fetched = 0.0;
        while let Some(output) = self.outputs.pop_front() {
            match output {
                Output::FetchRoster { digest, .. } => {
                    // Only at the first round: what a roster costs is measured apart.
                    let before = self.spent;
                    self.step(now, Input::Roster { digest, roster: Some(Box::new(roster.clone())) });
                    fetched += self.spent - before;
                }
                Output::SendEnvelope { envelope, .. } => return (self.id, envelope, self.spent - fetched),
                _ => {}
            }
        }
        panic!("it does not seal: {:?}", self.core.status(0).why);
    }

    /// Hears the end of the round; the milliseconds.
    pub(super) fn ended(&mut self, now: u64, from: PeerId, ended: &Ended) -> f64 {
        self.spent = 0.0;
        self.step(now, Input::Event { from, event: Event::Ended(ended.clone()) });
        self.spent
    }
}
