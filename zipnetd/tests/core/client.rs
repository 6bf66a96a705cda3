//! One core with its disk, its outbox, and what an onlooker sees of it.

use std::collections::{BTreeMap, VecDeque};

use zeroize::Zeroizing;
use zipnet_dcnet::ids::ClientId;
use zipnet_dcnet::seal::Envelope;
use zipnet_dcnet::signed::encode;
use zipnetd::core::input::StoreFailure;
use zipnetd::core::output::Op;
use zipnetd::core::{Answer, Core, CoreConfig, Input, Loaded, Notice, Output, Refusal};

/// What a core asked for, by kind, time and size: what an onlooker sees of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) at: u64,
    pub(crate) what: String,
}

pub(crate) struct Client {
    pub(crate) core: Core,
    pub(crate) id: ClientId,
    seed: u8,
    starts: u32,
    cfg: Box<dyn Fn() -> CoreConfig>,
    pub(crate) todo: VecDeque<Output>,
    pub(crate) disk: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) receipts: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Steps so far.
    steps: u64,
    pub(crate) seen: Vec<Seen>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) answers: BTreeMap<u64, Result<Answer, Refusal>>,
    pub(crate) outbox: Vec<(u64, Envelope)>,
    /// Rounds of envelopes that left.
    pub(crate) left: Vec<u64>,
    /// The last round that was sealed, over all restarts: no round twice, so no pad twice.
    sealed: u64,
    pub(crate) online: bool,
    pub(crate) stopped: bool,
    pub(crate) store: Result<(), StoreFailure>,
    /// Writes are not acknowledged.
    pub(crate) store_hangs: bool,
    pub(crate) hanging: Vec<(u64, Vec<Op>)>,
    pub(crate) next_reply: u64,
    pub(crate) writes: u64,
    /// The power fails at this write, and whether the disk still got it. Nothing of this process leaves after it.
    pub(crate) last_write: Option<(u64, bool)>,
}

impl Client {
    pub(crate) fn new(cfg: Box<dyn Fn() -> CoreConfig>, seed: u8, now: u64) -> Self {
        let made = cfg();
        let id = made.identity.client_bundle().client_id();
        let core = Core::new(made, Loaded::default(), &Zeroizing::new([seed; 32]), now);
        let mut client = Self {
            core,
            id,
            seed,
            starts: 0,
            cfg,
            todo: VecDeque::new(),
            disk: BTreeMap::new(),
            receipts: BTreeMap::new(),
            steps: 0,
            seen: vec![],
            notices: vec![],
            answers: BTreeMap::new(),
            outbox: vec![],
            left: vec![],
            sealed: 0,
            online: true,
            stopped: false,
            store: Ok(()),
            store_hangs: false,
            hanging: vec![],
            next_reply: 0,
            writes: 0,
            last_write: None,
        };
        client.feed(now, Input::Tick);
        client
    }

    pub(crate) fn restart(&mut self, now: u64) {
        self.starts += 1;
        let mut seed = Zeroizing::new([self.seed; 32]);
        seed[..4].copy_from_slice(&self.starts.to_le_bytes());
        let receipts = self.receipts.iter().map(|(key, value)| (key.clone(), value.len()));
        let loaded = Loaded::from_pairs(self.disk.clone()).unwrap().with_receipts(receipts).unwrap();
        self.core = Core::new((self.cfg)(), loaded, &seed, now);
        self.todo.clear();
        self.outbox.clear();
        self.hanging.clear();
        self.last_write = None;
        self.stopped = false;
        self.feed(now, Input::Tick);
    }

    pub(crate) fn feed(&mut self, now: u64, input: Input) {
        let local = matches!(input, Input::Command { .. });
        let outputs = self.core.step(now, input);
        self.steps += 1;
        // In every step, as long as that costs little: every message is terminal, or has a next step and a time.
        if self.disk.len() < 100 || self.steps.is_multiple_of(1_000) {
            assert_eq!(self.core.stuck(), None);
        }
        for output in outputs {
            if !local && !matches!(output, Output::Reply { .. }) {
                self.seen.push(Seen { at: now, what: describe(&output) });
            }
            match output {
                Output::Write { ticket, ops } if self.store_hangs => self.hanging.push((ticket, ops)),
                Output::Write { ticket, ops } => self.write(now, ticket, ops),
                Output::SendEnvelope { envelope, not_before, not_after, .. } => {
                    assert!(not_before <= not_after);
                    assert!(envelope.round > self.sealed, "round {} is sealed twice", envelope.round);
                    self.sealed = envelope.round;
                    self.outbox.push((not_before, envelope));
                }
                Output::Reply { reply, answer } => {
                    assert!(self.answers.insert(reply, answer).is_none(), "answered twice");
                }
                Output::Notice(notice) => self.notices.push(notice),
                Output::Stopped => self.stopped = true,
                other => self.todo.push_back(other),
            }
        }
    }

    fn write(&mut self, now: u64, ticket: u64, ops: Vec<Op>) {
        self.writes += 1;
        let last = self.last_write.filter(|(last, _)| self.writes >= *last);
        if self.store.is_ok() && last.is_none_or(|(last, kept)| kept && self.writes == last) {
            for op in ops {
                match op {
                    Op::Put { key, value } => drop(self.disk.insert(key, value)),
                    Op::Delete { key } => drop(self.disk.remove(&key)),
                    Op::PutReceipt { key, value } => drop(self.receipts.insert(key, value)),
                    Op::DeleteReceipt { key } => drop(self.receipts.remove(&key)),
                }
            }
        }
        if last.is_some() {
            // The process is gone: nobody hears of it.
            return;
        }
        let result = self.store;
        self.feed(now, Input::Stored { ticket, result });
    }
}

fn describe(output: &Output) -> String {
    match output {
        Output::Write { ops, .. } => {
            let op = |op: &Op| match op {
                Op::Put { key, value } => format!("put {} {}", key.len(), value.len()),
                Op::Delete { key } => format!("delete {}", key.len()),
                Op::PutReceipt { key, value } => format!("put receipt {} {}", key.len(), value.len()),
                Op::DeleteReceipt { key } => format!("delete receipt {}", key.len()),
            };
            format!("write {:?}", ops.iter().map(op).collect::<Vec<_>>())
        }
        Output::Register { server, call } => {
            format!("register {server} {}", encode(call).len())
        }
        Output::Attest { .. } => "attest".to_owned(),
        Output::FetchRoster { from, .. } => format!("roster {from}"),
        Output::FetchRecords { from_round, limit, not } => format!("records {from_round} {limit} {not:?}"),
        Output::SendEnvelope { aggregator, envelope: e, not_before, not_after } => {
            format!(
                "envelope {aggregator} {} {} {} {not_before} {not_after}",
                e.round,
                e.index,
                e.vector.len()
            )
        }
        Output::Reply { .. } => "reply".to_owned(),
        Output::Notice(notice) => format!("{notice:?}"),
        Output::Stopped => "stopped".to_owned(),
    }
}
