//! What has to be true at every step. Each check has a name; the first that fails ends the run.
//!
//! | name | what |
//! | --- | --- |
//! | no pad twice | a client seals one envelope per round and server keys; a server makes one partial per round |
//! | no fork | servers, clients and readers have one record per round, and servers one state per entry |
//! | accepted means kept | an acknowledged message is queued, sealed, or ended with a reason; what is said to be published is |
//! | at most once | no message is in two records, and none is that was taken back or expired |
//! | never too few | no honest server commits to or reveals a partial for fewer than `min_participants`, against R9, or for |
//! | | another fold than the log's; no honest client's message is in a quiet round or below `min_anonymity` (R8) |
//! | said once | what a server signs it wrote down before, and never contradicts (R4, R7, R10, R11) |
//! | progress after healing | see `progress.rs` |

pub(crate) mod messages;
mod pads;
mod rounds;
mod said;
mod unblind;

use std::collections::BTreeMap;

use zipnet_committee::core::Marks;
use zipnet_committee::entry::Entry;
use zipnet_committee::state::{Refused, State};
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::ids::{ClientId, PeerId, RecordDigest};
use zipnet_dcnet::record::Record;
use zipnet_dcnet::seal::Envelope;
use zipnetd::core::Core;
use zipnetd::core::message::{Failure, State as MessageState};

use crate::plan::Plan;
use crate::world::Summary;

use messages::Messages;
use pads::Pads;
use rounds::Rounds;
use said::Said;

/// A check that failed.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    /// Its name.
    pub(crate) name: &'static str,
    pub(crate) text: String,
}

impl Violation {
    pub(crate) fn new(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, text: text.into() }
    }
}

/// The outcome of a check.
pub(crate) type Check = Result<(), Violation>;

/// What happened, as nobody in the world can see it.
pub(crate) struct Truth {
    descriptor: Descriptor,
    min_participants: u32,
    broken: Option<Violation>,
    results: Vec<Result<(), Refused>>,
    snapshots: BTreeMap<usize, Vec<u8>>,
    rounds: Rounds,
    pads: Pads,
    said: Said,
    pub(crate) messages: Messages,
    healed: u64,
}

impl Truth {
    pub(crate) fn new(plan: &Plan, descriptor: Descriptor) -> Self {
        Self {
            min_participants: plan.min_participants,
            descriptor,
            broken: None,
            results: Vec::new(),
            snapshots: BTreeMap::new(),
            rounds: Rounds::default(),
            pads: Pads::default(),
            said: Said::default(),
            messages: Messages::default(),
            healed: 0,
        }
    }

    /// The first check that failed.
    pub(crate) fn result(&self) -> Check {
        self.broken.clone().map_or(Ok(()), Err)
    }

    fn note(&mut self, check: Check) {
        if let (None, Err(violation)) = (&self.broken, check) {
            self.broken = Some(violation);
        }
    }

    /// A server applied an entry of the log, with this result and state.
    pub(crate) fn applied(
        &mut self,
        index: usize,
        server: usize,
        entry: &Entry,
        result: &Result<(), Refused>,
        state: &State,
    ) {
        let check = match self.results.get(index) {
            None => {
                self.results.push(result.clone());
                self.first(entry, result.is_ok(), state)
            }
            Some(first) if first == result => self.rounds.same(server, entry, state),
            Some(first) => {
                let text = format!("entry {index} is {result:?} on s{server}, and {first:?} on the first");
                Err(Violation::new("no fork", text))
            }
        };
        self.note(check);
    }

    /// The first server applied an entry.
    fn first(&mut self, entry: &Entry, taken: bool, state: &State) -> Check {
        if !taken {
            return Ok(());
        }
        match entry {
            Entry::Open(_) => self.rounds.opened(state),
            Entry::Fold { round, .. } => self.rounds.folded(*round, state),
            Entry::Commitment(commitment) => self.rounds.committed(commitment.trusted().round),
            Entry::Partial(partial) => {
                let Some(record) = self.rounds.finished(partial.trusted().round, state) else {
                    return Ok(());
                };
                let record = record.clone();
                self.messages.record(&record)?;
                self.rounds.check_talk(&record, &self.descriptor.params, &self.messages)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A server has this state after so many entries.
    pub(crate) fn snapshot(&mut self, index: usize, server: usize, bytes: &[u8]) {
        let first = self.snapshots.entry(index).or_insert_with(|| bytes.to_vec());
        if *first != bytes {
            let text =
                format!("the state of s{server} after {index} entries is another one than the first's");
            self.note(Err(Violation::new("no fork", text)));
        }
    }

    /// An honest server proposes an entry. `durable` is what its disk has at this moment.
    pub(crate) fn proposed(
        &mut self,
        server: usize,
        durable: &Marks,
        entry: &Entry,
        descriptor: &Descriptor,
    ) {
        let check = self.said.proposed(server, durable, entry);
        self.note(check);
        let check = self.pads.proposed(server, entry);
        self.note(check);
        let check = self.rounds.may_unblind(server, entry, self.min_participants, descriptor);
        self.note(check);
    }

    /// A client sealed an envelope.
    pub(crate) fn sealed(&mut self, client: usize, id: &ClientId, envelope: &Envelope) {
        let check = self.pads.sealed(client, id, envelope, &self.rounds);
        self.note(check);
    }

    /// The last record that a client verified.
    pub(crate) fn verified(&mut self, client: usize, last: Option<(u64, RecordDigest)>) {
        if let Some((round, digest)) = last {
            let check = self.rounds.verified(client, round, &digest);
            self.note(check);
        }
    }

    /// A reader finds this record in the log of a server.
    pub(crate) fn read(&self, server: usize, record: &Record) -> Check {
        self.rounds.read(server, record)
    }

    /// A caller brings a message to a client; its number.
    pub(crate) fn offered(&mut self, client: usize, ttl_ms: u64) -> usize {
        self.messages.offered(client, ttl_ms)
    }

    pub(crate) fn accepted(&mut self, message: usize, id: zipnetd::core::MessageId) {
        let check = self.messages.accepted(message, id);
        self.note(check);
    }

    pub(crate) fn cancelled(&mut self, message: usize) {
        let check = self.messages.cancelled(message);
        self.note(check);
    }

    /// A client made a step: what became of its messages?
    pub(crate) fn client_stepped(&mut self, client: usize, core: &Core) {
        let check = self.messages.look(client, core, &self.rounds);
        self.note(check);
    }

    /// A client started again: are all still there?
    pub(crate) fn client_started(&mut self, client: usize, core: &Core) {
        self.messages.started(client);
        self.client_stepped(client, core);
    }

    /// The last opened round.
    pub(crate) fn opened(&self) -> u64 {
        self.rounds.last_opened()
    }

    /// The last final record.
    pub(crate) fn last(&self) -> Option<(&u64, &Record)> {
        self.rounds.last_final()
    }

    /// All took part again after so many rounds.
    pub(crate) fn healed(&mut self, rounds: u64) {
        self.healed = rounds;
    }

    /// What the run was like, as far as this knows.
    pub(crate) fn summary(&self) -> Summary {
        let all = &self.messages.all;
        let ended =
            |state: &MessageState| all.iter().filter(|m| m.seen.as_ref() == Some(state)).count() as u64;
        Summary {
            opened: self.opened(),
            finals: self.rounds.finals(),
            quiet: self.rounds.quiet(),
            messages: all.iter().filter(|m| m.id.is_some()).count() as u64,
            published: all.iter().filter(|m| m.is_published()).count() as u64,
            exposed: ended(&MessageState::Failed(Failure::Exposed)),
            unknown: ended(&MessageState::Failed(Failure::Unknown)),
            expired: ended(&MessageState::Expired),
            healed: self.healed,
            ..Summary::default()
        }
    }
}

/// A server's name in texts.
fn short(server: &PeerId) -> String {
    server.short()
}
