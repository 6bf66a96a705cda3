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

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use zipnet_dcnet::record::SignedRecord;

    use super::super::chain::tests::Committee;
    use super::*;

    /// Two servers; the first may have less of the log.
    struct Servers {
        logs: [Vec<Ended>; 2],
    }

    impl Source for Servers {
        fn records(
            &self,
            call: RecordsCall,
            not: Option<PeerId>,
        ) -> BoxFuture<'_, Option<(PeerId, RecordsReply)>> {
            let n = usize::from(not == Some(PeerId([0; 32])));
            let log = &self.logs[n];
            let items = log.iter().filter(|e| e.round() >= call.from).take(call.limit.min(2) as usize);
            let reply = RecordsReply {
                earliest: log.first().map_or(0, Ended::round),
                latest: log.last().map_or(0, Ended::round),
                items: items.cloned().collect(),
            };
            Box::pin(async move { Some((PeerId([n as u8; 32]), reply)) })
        }
    }

    fn source(records: &[SignedRecord]) -> Arc<Servers> {
        let all: Vec<Ended> = records.iter().map(|r| Ended::Final(Box::new(r.clone()))).collect();
        Arc::new(Servers { logs: [all.clone(), all] })
    }

    /// Everything that comes, as rounds of messages and the last mark.
    async fn collect(
        log: &Arc<Log>,
        source: Arc<Servers>,
        from: Option<u64>,
    ) -> (Vec<u64>, u64, Result<(), Refused>) {
        let (sink, mut items) = mpsc::channel(1);
        let reading = tokio::spawn(read(log.clone(), source, from, false, sink));
        let (mut rounds, mut mark) = (Vec::new(), 0);
        while let Some(item) = items.recv().await {
            match item.item.unwrap() {
                Item::Message(message) => {
                    assert_eq!(message.payload, format!("round {}", message.round).into_bytes());
                    rounds.push(message.round);
                }
                Item::Progress(progress) => mark = progress.next_round,
            }
        }
        (rounds, mark, reading.await.unwrap())
    }

    #[tokio::test]
    async fn the_log_comes_whole_from_servers_and_from_memory() {
        let committee = Committee::new();
        let records = committee.records(&[1, 2, 3, 5, 6, 7, 8], 3);
        let log = Log::new(committee.descriptor.clone());
        // Memory begins in the middle: the older part has to be fetched, two records at a time.
        for signed in &records[4..] {
            log.ended(committee.descriptor.servers[0], &Ended::Final(Box::new(signed.clone())));
        }
        let all = [1, 2, 3, 5, 6, 7, 8];
        for (from, expected) in [(0, &all[..]), (1, &all), (4, &all[3..]), (7, &all[5..]), (9, &[])] {
            let (rounds, mark, ended) = collect(&log, source(&records), Some(from)).await;
            ended.unwrap();
            assert_eq!(rounds, expected, "from {from}");
            assert_eq!(mark, 9, "from {from}");
        }
        assert_eq!(collect(&log, source(&records), None).await.0, all);
    }

    #[tokio::test]
    async fn what_does_not_count_yet_is_not_delivered() {
        let committee = Committee::new();
        let mut records = committee.records(&[1, 2], 3);
        records.push(committee.record(3, records[1].record.digest(), 2));
        let log = Log::new(committee.descriptor.clone());
        let (rounds, mark, ended) = collect(&log, source(&records), Some(0)).await;
        ended.unwrap();
        assert_eq!((rounds, mark), (vec![1, 2], 3));
    }

    #[tokio::test]
    async fn a_server_cannot_leave_a_record_out() {
        let committee = Committee::new();
        let mut records = committee.records(&[1, 2, 3, 4], 3);
        records.remove(1);
        let log = Log::new(committee.descriptor.clone());
        let (rounds, _, ended) = collect(&log, source(&records), Some(0)).await;
        assert_eq!(rounds, [1], "nothing beyond the gap");
        assert!(ended.is_err());
    }

    #[tokio::test]
    async fn a_reader_that_follows_gets_what_comes() {
        let committee = Committee::new();
        let records = committee.records(&[1, 2, 3], 3);
        let log = Log::new(committee.descriptor.clone());
        let (sink, mut items) = mpsc::channel(1);
        let reading = tokio::spawn(read(log.clone(), source(&records[..1]), Some(1), true, sink));
        let mut next = 1;
        while next < 4 {
            if let Item::Message(message) = items.recv().await.unwrap().item.unwrap() {
                assert_eq!(message.round, next);
                if let Some(signed) = records.get(next as usize) {
                    log.ended(committee.descriptor.servers[0], &Ended::Final(Box::new(signed.clone())));
                }
                next += 1;
            }
        }
        drop(items);
        reading.await.unwrap().unwrap();
    }
}
