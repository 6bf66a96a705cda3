//! A reader of the broadcast log: pages from memory where they are, from servers where they are not; everything
//! verified, in order, without gaps.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tracing::debug;
use zipnet_dcnet::ids::{PeerId, RecordDigest};
use zipnet_dcnet::wire::{Ended, MAX_RECORDS, RecordsCall, RecordsReply};
use zipnet_proto::v1::{Progress, Published, ReadItem, read_item::Item};
use zipnet_proto::{Reason, Refused};

use super::chain::Chain;
use super::log::{Log, Next, Page};
use crate::control::backend::LogSink;

/// Rounds that a reader gets who does not say from where.
const DEFAULT_ROUNDS: u64 = 100;
/// Servers that are asked for a piece of the log before the reader is told that nobody has it.
const ATTEMPTS: usize = 6;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(300);
/// Pieces without a record that counts before the end: the last rounds may still wait for signatures.
const MAX_EMPTY: usize = 64;

/// Where pieces of the log come from.
pub(crate) trait Source: Send + Sync + 'static {
    /// What some server has: `wish` if there is a link to it, else another one than `not` where there is another. `None`
    /// when none could be reached.
    fn records(
        &self,
        call: RecordsCall,
        wish: Option<PeerId>,
        not: &[PeerId],
    ) -> BoxFuture<'_, Option<(PeerId, RecordsReply)>>;
}

/// Why another server is asked for what comes next.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// It does not answer, or says what does not hold. For the caller.
    Useless(String),
    /// Its log does not go on from what the reader has. For the caller.
    Gap(String),
    /// Its log begins only here.
    Late(u64),
    /// It ends before a round that ended, as others say or the client itself knows, or with records that do not count:
    /// another server may have more, or more signatures.
    Short,
}

/// The servers that were asked for a stretch of the log, and what is wrong with them.
#[derive(Default)]
struct Tried {
    not: Vec<PeerId>,
    useless: Option<String>,
    gap: Option<String>,
    /// The log that begins first, of those that begin late.
    late: Option<(u64, PeerId)>,
    short: bool,
}

impl Tried {
    fn note(&mut self, server: Option<PeerId>, fault: Fault) {
        self.not.extend(server);
        match fault {
            Fault::Useless(text) => self.useless = Some(text),
            Fault::Gap(text) => self.gap = Some(text),
            Fault::Late(earliest) => {
                let this = server.map(|server| (earliest, server));
                self.late = self.late.into_iter().chain(this).min();
            }
            Fault::Short => self.short = true,
        }
    }

    /// All were asked, and none has more: what the reader is told. A log that ends early is at worst the end.
    fn give_up(self) -> Result<(), Stop> {
        match (self.short, self.gap, self.useless) {
            (true, _, _) | (false, None, None) => Ok(()),
            (false, Some(text), _) => Err(refused(Reason::Lagged, text)),
            (false, None, Some(text)) => Err(refused(Reason::ConnectTimeout, text)),
        }
    }
}

/// Where a reader is.
struct Reader {
    log: Arc<Log>,
    source: Arc<dyn Source>,
    sink: LogSink,
    next: u64,
    after: Option<RecordDigest>,
    oldest: u64,
}

/// The reader has gone.
struct Gone;

/// What ends reading.
enum Stop {
    Gone,
    Refused(Refused),
}

impl From<Gone> for Stop {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

fn refused(reason: Reason, message: String) -> Stop {
    Stop::Refused(Refused { reason, message, retry_after: Some(Duration::from_secs(1)) })
}

/// Writes the log from `from` on (0: the earliest kept; `None`: the last 100 rounds) into `sink`.
pub(crate) async fn read(
    log: Arc<Log>,
    source: Arc<dyn Source>,
    from: Option<u64>,
    follow: bool,
    sink: LogSink,
) -> Result<(), Refused> {
    let mut reader = Reader { log, source, sink, next: 1, after: None, oldest: 0 };
    match reader.run(from, follow).await {
        Ok(()) | Err(Stop::Gone) => Ok(()),
        Err(Stop::Refused(refused)) => Err(refused),
    }
}

impl Reader {
    async fn run(&mut self, from: Option<u64>, follow: bool) -> Result<(), Stop> {
        let mut tip = self.log.tip();
        // The bounds of the log are a server's word: what is delivered does not depend on the earliest.
        let (earliest, latest) = self.bounds().await?;
        let latest = latest.max(*tip.borrow());
        self.oldest = earliest;
        self.next = match from {
            None => latest.saturating_sub(DEFAULT_ROUNDS - 1).max(1),
            Some(round) => round.max(1),
        };
        self.mark().await?;
        loop {
            tip.borrow_and_update();
            match self.log.next(self.next, self.after.as_ref()) {
                Next::Page(page) => {
                    self.deliver(page).await?;
                    continue;
                }
                Next::End => {}
                Next::Elsewhere => {
                    let known = latest.max(*tip.borrow());
                    self.catch_up(known).await?;
                }
            }
            if matches!(self.log.next(self.next, self.after.as_ref()), Next::Page(_)) {
                continue;
            }
            if !follow {
                return Ok(self.mark().await?);
            }
            tokio::select! {
                changed = tip.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                () = self.sink.closed() => return Err(Stop::Gone),
            }
        }
    }

    /// Earliest and last ended round of some server; the log in memory if none answers.
    async fn bounds(&self) -> Result<(u64, u64), Stop> {
        let call = RecordsCall { from: 1, limit: 1 };
        let reply = self.ask(call).await;
        match reply {
            Some((_, reply)) => Ok((reply.earliest, reply.latest)),
            None if *self.log.tip().borrow() > 0 => Ok((0, *self.log.tip().borrow())),
            None => {
                Err(refused(Reason::ConnectTimeout, "no server answers for the broadcast log".to_owned()))
            }
        }
    }

    /// Fetches pieces from `next` on until nothing more counts, from one server after the other: each has the chance to
    /// go on where the one before it had no more to give.
    async fn catch_up(&mut self, latest: u64) -> Result<(), Stop> {
        let attempts = self.log.descriptor().servers.len().max(ATTEMPTS);
        let mut tried = Tried::default();
        let mut left = attempts;
        while left > 0 {
            left -= 1;
            // The last one may be the one whose log begins first: nobody has what is before.
            let wish = if left == 0 { tried.late.map(|(_, server)| server) } else { None };
            let before = self.next;
            let Err((server, fault)) = self.stretch(wish, &tried.not, latest, left == 0).await? else {
                return Ok(());
            };
            debug!(server = ?server.map(|s| s.short()), ?fault, round = self.next, "asking another server for the log");
            if self.next > before {
                tried = Tried::default();
                left = attempts;
            }
            let again = server.is_none_or(|server| tried.not.contains(&server));
            tried.note(server, fault);
            if again && tried.late.is_some() {
                // Everybody was asked.
                left = left.min(1);
            } else if again && tried.short {
                break;
            } else if again {
                tokio::time::sleep(PAUSE).await;
            }
        }
        tried.give_up()
    }

    /// What one server has from `next` on. Its records are looked at by themselves: what another one said before may be
    /// why they do not fit. `anywhere`: its log may begin later.
    async fn stretch(
        &mut self,
        wish: Option<PeerId>,
        not: &[PeerId],
        latest: u64,
        anywhere: bool,
    ) -> Result<Result<(), (Option<PeerId>, Fault)>, Gone> {
        let mut chain = Chain::new(self.log.descriptor().clone(), self.next);
        let (mut from, mut empty, mut wish) = (self.next, 0, wish);
        loop {
            let call = RecordsCall { from, limit: MAX_RECORDS };
            let Some((server, reply)) = self.source.records(call, wish, not).await else {
                let text = format!("no server answers for the broadcast log from round {from} on");
                return Ok(Err((wish, Fault::Useless(text))));
            };
            if wish.is_some_and(|wish| wish != server) {
                // The link to it is gone: the other one is asked from the start.
                return Ok(Err((wish, Fault::Useless(format!("server {} is gone", server.short())))));
            }
            wish = Some(server);
            let fault = |fault| Ok(Err((Some(server), fault)));
            let rounds: Vec<u64> = reply.items.iter().map(Ended::round).collect();
            if rounds.first().is_some_and(|first| *first < from) || rounds.windows(2).any(|w| w[0] >= w[1]) {
                return fault(Fault::Useless(format!("server {} gave rounds out of order", server.short())));
            }
            if self.after.is_none() && reply.earliest > self.next && !anywhere {
                return fault(Fault::Late(reply.earliest));
            }
            self.oldest = self.oldest.max(reply.earliest);
            let Some(last) = rounds.last() else {
                return if from <= latest || chain.waits() { fault(Fault::Short) } else { Ok(Ok(())) };
            };
            let before = self.next;
            for item in &reply.items {
                let Ended::Final(signed) = item else { continue };
                let counted = match chain.record(signed) {
                    Ok(counted) => counted,
                    Err(error) => {
                        return fault(Fault::Useless(format!("server {} gave: {error}", server.short())));
                    }
                };
                for page in counted.into_iter().map(Page::from) {
                    // Every page names the one before: a server can end the log early, but leave nothing out.
                    if self.after.is_some_and(|digest| digest != page.prev) {
                        let (next, round) = (self.next, page.round);
                        let text = format!("the log between rounds {next} and {round} is not kept any more");
                        return fault(Fault::Gap(text));
                    }
                    self.deliver(page).await?;
                }
            }
            from = last + 1;
            empty = if self.next > before { 0 } else { empty + 1 };
            // In memory, or at the end, where the last rounds wait for what makes them count.
            let here = matches!(self.log.next(self.next, self.after.as_ref()), Next::Page(_));
            if here {
                return Ok(Ok(()));
            }
            if from > reply.latest || empty >= MAX_EMPTY {
                return if from <= latest || chain.waits() { fault(Fault::Short) } else { Ok(Ok(())) };
            }
        }
    }

    async fn deliver(&mut self, page: Page) -> Result<(), Gone> {
        let Page { round, digest, messages, .. } = page;
        let any = !messages.is_empty();
        for (slot, payload) in messages {
            self.put(Item::Message(Published { round, slot, payload })).await?;
        }
        self.next = round + 1;
        self.after = Some(digest);
        if any { self.mark().await } else { Ok(()) }
    }

    async fn mark(&self) -> Result<(), Gone> {
        self.put(Item::Progress(Progress { next_round: self.next, oldest_round: self.oldest })).await
    }

    async fn put(&self, item: Item) -> Result<(), Gone> {
        self.sink.send(ReadItem { item: Some(item) }).await.map_err(|_| Gone)
    }

    /// The first answer.
    async fn ask(&self, call: RecordsCall) -> Option<(PeerId, RecordsReply)> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let answer = self.source.records(call.clone(), None, &[]).await;
            if answer.is_some() {
                return answer;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
