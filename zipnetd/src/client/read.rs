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

/// Where pieces of the log come from: some server, another one than `not` where there is another.
pub(crate) trait Source: Send + Sync + 'static {
    /// What it has; `None` when none could be reached.
    fn records(
        &self,
        call: RecordsCall,
        not: Option<PeerId>,
    ) -> BoxFuture<'_, Option<(PeerId, RecordsReply)>>;
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
                Next::Elsewhere => self.catch_up().await?,
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
        let reply = self.ask(call, |_| true).await;
        match reply {
            Some((_, reply)) => Ok((reply.earliest, reply.latest)),
            None if *self.log.tip().borrow() > 0 => Ok((0, *self.log.tip().borrow())),
            None => {
                Err(refused(Reason::ConnectTimeout, "no server answers for the broadcast log".to_owned()))
            }
        }
    }

    /// Fetches pieces from `next` on until nothing more counts.
    async fn catch_up(&mut self) -> Result<(), Stop> {
        let mut chain = Chain::new(self.log.descriptor().clone(), self.next);
        let mut from = self.next;
        let mut empty = 0;
        loop {
            let call = RecordsCall { from, limit: MAX_RECORDS };
            let in_order = |reply: &RecordsReply| {
                let rounds: Vec<u64> = reply.items.iter().map(Ended::round).collect();
                rounds.first().is_none_or(|first| *first >= from) && rounds.windows(2).all(|w| w[0] < w[1])
            };
            let Some((server, reply)) = self.ask(call, in_order).await else {
                return Err(refused(
                    Reason::ConnectTimeout,
                    format!("no server answers for the broadcast log from round {from} on"),
                ));
            };
            self.oldest = self.oldest.max(reply.earliest);
            let Some(last) = reply.items.last().map(Ended::round) else { return Ok(()) };
            let before = self.next;
            for item in &reply.items {
                let Ended::Final(signed) = item else { continue };
                let counted = chain.record(signed).map_err(|error| {
                    debug!(server = %server.short(), %error, "a piece of the log does not hold");
                    refused(Reason::ConnectTimeout, format!("server {} gave: {error}", server.short()))
                })?;
                for page in counted.into_iter().map(Page::from) {
                    self.link(&page)?;
                    self.deliver(page).await?;
                }
            }
            from = last + 1;
            empty = if self.next > before { 0 } else { empty + 1 };
            // In memory, or at the end, where the last rounds wait for what makes them count.
            let here = matches!(self.log.next(self.next, self.after.as_ref()), Next::Page(_));
            if here || from > reply.latest || empty >= MAX_EMPTY {
                return Ok(());
            }
        }
    }

    /// Every page names the one before: a server can end the log early, but leave nothing out.
    fn link(&self, page: &Page) -> Result<(), Stop> {
        if self.after.is_none_or(|digest| digest == page.prev) {
            return Ok(());
        }
        let text = format!("the log between rounds {} and {} is not kept any more", self.next, page.round);
        Err(refused(Reason::Lagged, text))
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

    /// The first answer that will do.
    async fn ask(
        &self,
        call: RecordsCall,
        will_do: impl Fn(&RecordsReply) -> bool,
    ) -> Option<(PeerId, RecordsReply)> {
        let mut not = None;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            match self.source.records(call.clone(), not).await {
                Some((server, reply)) if will_do(&reply) => return Some((server, reply)),
                Some((server, _)) => not = Some(server),
                None => {}
            }
        }
        None
    }
}
