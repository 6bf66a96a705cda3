//! The real client behind the real socket, without a network: it knows its deployment from an earlier run, takes messages
//! and keeps them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::identity::Identity;
use zipnet_dcnet::params::Params;
use zipnet_network::universe::Relay;
use zipnet_proto::v1::control_client::ControlClient;
use zipnet_proto::v1::{
    CancelRequest, GetReceiptRequest, GetRequest, ListRequest, MessageState, SendRequest, SetPausedRequest,
    StatusRequest, WatchItem, WatchRequest,
};
use zipnet_proto::{Reason, Refused};
use zipnet_store::{Batch, MemStore, Pair, Pending, Store, StoreError};
use zipnet_tdx::quote::NoTee;
use zipnetd::client::{Client, ClientConfig};
use zipnetd::config::Socket;
use zipnetd::control::{Control, Limits};

use super::fake::{my_uid, operator, reason, verbs};

const LONG: Duration = Duration::from_secs(30);

/// A daemon on this store.
struct Daemon {
    client: Client,
    control: Control,
    verbs: ControlClient<Channel>,
    dir: tempfile::TempDir,
}

async fn known_store() -> Arc<MemStore> {
    let servers = (100..103).map(|n| Identity::from_seed([n; 32].into()).peer_id());
    let mut servers: Vec<_> = servers.collect();
    servers.sort_unstable();
    let descriptor = Descriptor::new("acme", Params::standard(3), servers).unwrap();
    let store = Arc::new(MemStore::new());
    let mut batch = Batch::new();
    batch.put("client", "instance", "acme").put("client", "descriptor", borsh::to_vec(&descriptor).unwrap());
    store.commit(batch).await.unwrap();
    store
}

impl Daemon {
    async fn start(store: Arc<dyn Store>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("data"), [0; 100]).unwrap();
        let config = ClientConfig {
            identity: Arc::new(Identity::from_seed([7; 32].into())),
            sealed: None,
            instance: "acme".parse().unwrap(),
            universe: "nowhere".to_owned(),
            bootstrap: Vec::new(),
            relay: Relay::Custom("http://127.0.0.1:1/".parse().unwrap()),
            listen: Some("127.0.0.1:0".parse().unwrap()),
            store,
            state_dir: dir.path().to_owned(),
            standing: None,
            cadence: 3,
            uid: my_uid(),
            public: true,
            quotes: Arc::new(NoTee),
            judge: None,
        };
        let client = Client::start(config).await.unwrap();
        let path: PathBuf = dir.path().join("c.sock");
        let socket = Socket { path: path.clone(), own_folder: false };
        let (operator, _) = operator();
        let backend = Arc::new(client.handle());
        let control = Control::serve(&socket, my_uid(), backend, operator, Limits::default()).await.unwrap();
        Self { client, control, verbs: verbs(&path).await, dir }
    }

    async fn send(&mut self, payload: &[u8], receipt: bool) -> Result<String, Status> {
        let request = SendRequest { payload: payload.to_vec(), receipt, ..SendRequest::default() };
        self.verbs.send(request).await.map(|sent| sent.into_inner().message_id)
    }

    async fn watch(&mut self, message_id: &str, cursor: &str) -> Watch {
        let request = WatchRequest { message_id: message_id.to_owned(), cursor: cursor.to_owned() };
        Watch(self.verbs.watch(request).await.unwrap().into_inner())
    }

    async fn end(mut self) {
        self.client.end();
        timeout(LONG, self.client.ended()).await.unwrap().unwrap();
        self.control.stop(Duration::from_secs(2)).await;
        drop(self.dir);
    }
}

struct Watch(Streaming<WatchItem>);

impl Watch {
    async fn next(&mut self) -> Result<WatchItem, Status> {
        timeout(LONG, self.0.message()).await.unwrap().map(|item| item.expect("it does not just end"))
    }

    /// Items with a message up to the next mark, and its cursor.
    async fn until_mark(&mut self) -> (Vec<(String, MessageState)>, String) {
        let mut items = Vec::new();
        loop {
            let item = self.next().await.unwrap();
            match item.message {
                Some(message) => items.push((message.id.clone(), message.state())),
                None => return (items, item.cursor),
            }
        }
    }
}

/// A store that has more to write than goes out at once, the first few times that somebody wants to know.
struct Behind {
    store: Arc<dyn Store>,
    asked: AtomicU32,
}

impl Store for Behind {
    fn get(&self, tree: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(tree, key)
    }
    fn scan(&self, tree: &str, from: &[u8], limit: usize) -> Result<Vec<Pair>, StoreError> {
        self.store.scan(tree, from, limit)
    }
    fn last(&self, tree: &str) -> Result<Option<Pair>, StoreError> {
        self.store.last(tree)
    }
    fn commit(&self, batch: Batch) -> Pending {
        assert!(self.asked.load(Ordering::SeqCst) > 5, "somebody wrote while the store was behind");
        self.store.commit(batch)
    }
    fn behind(&self) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst) < 5
    }
}

#[tokio::test]
async fn callers_wait_while_the_store_is_behind() {
    let store = Behind { store: known_store().await, asked: AtomicU32::new(0) };
    let mut daemon = Daemon::start(Arc::new(store)).await;
    let id = daemon.send(b"patient", false).await.unwrap();
    let list = daemon.verbs.list(ListRequest::default()).await.unwrap().into_inner();
    assert_eq!(list.messages[0].id, id);
    daemon.end().await;
}

#[tokio::test]
async fn messages_are_listed_taken_back_and_have_no_receipt_before_they_are_out() {
    let mut daemon = Daemon::start(known_store().await).await;
    let first = daemon.send(b"first", true).await.unwrap();
    let second = daemon.send(b"second", false).await.unwrap();
    let verbs = &mut daemon.verbs;
    let list = verbs.list(ListRequest { limit: 1, ..ListRequest::default() }).await.unwrap().into_inner();
    assert_eq!((&list.messages[0].id, &list.next_page), (&first, &first));
    assert!(list.messages[0].receipt && list.messages[0].uid == my_uid());
    let rest = ListRequest { page: list.next_page, ..ListRequest::default() };
    let list = verbs.list(rest).await.unwrap().into_inner();
    assert_eq!((list.messages.len(), &list.messages[0].id, list.next_page.as_str()), (1, &second, ""));
    let bad = verbs.list(ListRequest { page: "x".into(), ..ListRequest::default() }).await.unwrap_err();
    assert_eq!(reason(&bad), Reason::InvalidRequest);

    let receipt = async |verbs: &mut ControlClient<Channel>, id: &str| {
        verbs.get_receipt(GetReceiptRequest { message_id: id.to_owned() }).await.unwrap_err()
    };
    let not_yet = receipt(verbs, &first).await;
    assert_eq!(reason(&not_yet), Reason::NotFound);
    assert!(not_yet.message().contains("not published yet"), "{not_yet}");
    assert!(receipt(verbs, &second).await.message().contains("without asking"));

    let cancel = CancelRequest { message_id: first.clone() };
    let cancelled = verbs.cancel(cancel.clone()).await.unwrap().into_inner();
    assert!(cancelled.cancelled && cancelled.message.unwrap().state() == MessageState::Cancelled);
    let cancelled = verbs.cancel(cancel).await.unwrap().into_inner();
    assert!(!cancelled.cancelled && cancelled.message.unwrap().id == first);
    let only = ListRequest { states: vec![MessageState::Cancelled.into()], ..ListRequest::default() };
    assert_eq!(verbs.list(only).await.unwrap().into_inner().messages.len(), 1);
    let unknown = CancelRequest { message_id: "019a0000-0000-7000-8000-000000000000".into() };
    assert_eq!(reason(&verbs.cancel(unknown).await.unwrap_err()), Reason::NotFound);
    daemon.end().await;
}

#[tokio::test]
async fn a_watch_tells_what_is_open_then_what_changes_and_resumes_across_a_restart() {
    let store = known_store().await;
    let mut daemon = Daemon::start(store.clone()).await;
    let gone = daemon.send(b"gone", false).await.unwrap();
    daemon.verbs.cancel(CancelRequest { message_id: gone.clone() }).await.unwrap();
    let open = daemon.send(b"open", false).await.unwrap();
    let mut watch = daemon.watch("", "").await;
    let (items, start) = watch.until_mark().await;
    assert!(items.is_empty(), "the first item is a mark");
    let (items, caught_up) = watch.until_mark().await;
    assert_eq!(items, [(open.clone(), MessageState::Queued)], "what is over is not told");
    let late = daemon.send(b"late", false).await.unwrap();
    let (items, _) = watch.until_mark().await;
    assert_eq!(items, [(late.clone(), MessageState::Queued)]);
    daemon.verbs.cancel(CancelRequest { message_id: late.clone() }).await.unwrap();
    let (items, last) = watch.until_mark().await;
    assert_eq!(items, [(late.clone(), MessageState::Cancelled)]);

    // Resumed: what changed since, as it is now; from the start, too.
    for (cursor, expected) in [
        (&caught_up, vec![(late.clone(), MessageState::Cancelled)]),
        (&start, vec![(open.clone(), MessageState::Queued), (late.clone(), MessageState::Cancelled)]),
    ] {
        let mut again = daemon.watch("", cursor).await;
        assert!(again.until_mark().await.0.is_empty(), "the first item is a mark");
        assert_eq!(again.until_mark().await.0, expected);
    }
    let mut one = daemon.watch(&open, "").await;
    one.until_mark().await;
    assert_eq!(one.until_mark().await.0.len(), 1);
    for bad in ["x", "0:0", &format!("{last}9"), &last.replace(':', ";")] {
        let mut refused = daemon.watch("", bad).await;
        assert_eq!(reason(&refused.next().await.unwrap_err()), Reason::InvalidRequest, "{bad}");
    }
    let mut nobody = daemon.watch("019a0000-0000-7000-8000-000000000000", "").await;
    assert_eq!(reason(&nobody.next().await.unwrap_err()), Reason::NotFound);
    daemon.end().await;
    assert_eq!(reason(&watch.next().await.unwrap_err()), Reason::Draining);

    // Another start: everything that is remembered, once; then it goes on.
    let mut daemon = Daemon::start(store).await;
    let mut watch = daemon.watch("", &last).await;
    watch.until_mark().await;
    let (mut items, _) = watch.until_mark().await;
    items.sort();
    let mut all = vec![
        (gone, MessageState::Cancelled),
        (open.clone(), MessageState::Queued),
        (late, MessageState::Cancelled),
    ];
    all.sort();
    assert_eq!(items, all);
    // What the log since its acceptance says was not read yet: nobody may claim that it was never published.
    let answer = daemon.verbs.cancel(CancelRequest { message_id: open.clone() }).await.unwrap().into_inner();
    assert!(!answer.cancelled && answer.message.unwrap().state() == MessageState::Queued);
    let new = daemon.send(b"new", false).await.unwrap();
    assert_eq!(watch.until_mark().await.0, [(new.clone(), MessageState::Queued)]);
    daemon.verbs.cancel(CancelRequest { message_id: new.clone() }).await.unwrap();
    assert_eq!(watch.until_mark().await.0, [(new, MessageState::Cancelled)]);
    daemon.end().await;
}

#[tokio::test]
async fn paused_takes_nothing_keeps_what_there_is_and_says_so() {
    let store = known_store().await;
    let mut daemon = Daemon::start(store.clone()).await;
    let id = daemon.send(b"before", false).await.unwrap();
    assert!(!daemon.verbs.set_paused(SetPausedRequest { paused: true }).await.unwrap().into_inner().was);
    let status = daemon.send(b"after", false).await.unwrap_err();
    let refused = Refused::of(&status).unwrap();
    assert_eq!((refused.reason, refused.retry_after), (Reason::Paused, None));
    let get = GetRequest { message_id: id, ..GetRequest::default() };
    assert_eq!(daemon.verbs.get(get).await.unwrap().into_inner().state(), MessageState::Queued);
    assert!(daemon.verbs.status(StatusRequest {}).await.unwrap().into_inner().paused);
    daemon.end().await;
    let mut daemon = Daemon::start(store).await;
    assert!(!daemon.verbs.status(StatusRequest {}).await.unwrap().into_inner().paused);
    daemon.send(b"after", false).await.unwrap();
    daemon.end().await;
}

#[tokio::test]
async fn the_status_has_clock_cadence_and_room() {
    let mut daemon = Daemon::start(known_store().await).await;
    let measured = async {
        loop {
            let status = daemon.verbs.status(StatusRequest {}).await.unwrap().into_inner();
            if status.store_bytes.is_some() {
                return status;
            }
            tokio::task::yield_now().await;
        }
    };
    let status = timeout(LONG, measured).await.unwrap();
    assert!(status.store_bytes.unwrap() >= 100 && status.disk_free_bytes.unwrap() > 0);
    assert_eq!(status.cadence, 3);
    assert!(status.started_at_ms > 1_600_000_000_000 && status.now_ms >= status.started_at_ms);
    assert!(!status.draining && !status.paused);
    daemon.end().await;
}
