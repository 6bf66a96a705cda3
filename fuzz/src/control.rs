//! The handlers behind the control socket: any bytes as the request of any verb, over a real socket to a real client that
//! knows its deployment and reaches nobody.

use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Buf, BufMut};
use prost::Message;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use zipnet_dcnet::descriptor::Descriptor;
use zipnet_dcnet::params::Params;
use zipnet_dcnet::signed::encode;
use zipnet_network::universe::Relay;
use zipnet_proto::v1::{
    CancelRequest, DrainRequest, GetReceiptRequest, GetRequest, ListRequest, ReadRequest, SendRequest,
    SetLogLevelRequest, SetPausedRequest, StatusRequest, WatchRequest,
};
use zipnet_store::{Batch, MemStore, Store};
use zipnet_tdx::quote::NoTee;
use zipnetd::client::{Client, ClientConfig};
use zipnetd::config::Socket;
use zipnetd::control::{Control, Limits, Operator};
use zipnetd::telemetry;

use crate::links::identity;

/// The verbs, and whether they stream.
const VERBS: [(&str, bool); 11] = [
    ("Send", false),
    ("Get", false),
    ("Read", true),
    ("Status", false),
    ("List", false),
    ("Watch", true),
    ("Cancel", false),
    ("GetReceipt", false),
    ("Drain", false),
    ("SetPaused", false),
    ("SetLogLevel", false),
];
/// Whoever waits longer waits for something to happen.
const PATIENCE: Duration = Duration::from_millis(30);

/// Bytes as they are.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

struct Running {
    runtime: Runtime,
    channel: Channel,
    _kept: (Client, Control, tempfile::TempDir),
}

fn running() -> &'static Running {
    static RUNNING: OnceLock<Running> = OnceLock::new();
    RUNNING.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (channel, kept) = runtime.block_on(start());
        Running { runtime, channel, _kept: kept }
    })
}

async fn start() -> (Channel, (Client, Control, tempfile::TempDir)) {
    let descriptor = Descriptor::new("acme", Params::dev(1), vec![identity(100).peer_id()]).unwrap();
    let store = Arc::new(MemStore::new());
    let mut batch = Batch::new();
    batch.put("client", "instance", "acme").put("client", "descriptor", encode(&descriptor));
    store.commit(batch).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let uid = std::fs::metadata(dir.path()).unwrap().uid();
    let config = ClientConfig {
        identity: Arc::new(identity(7)),
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
        uid,
        public: true,
        quotes: Arc::new(NoTee),
        judge: None,
    };
    let client = Client::start(config).await.unwrap();
    let path = dir.path().join("c.sock");
    let socket = Socket { path: path.clone(), own_folder: false };
    let (operator, _) = Operator::new(telemetry::start("error", false), Duration::from_secs(2));
    let backend = Arc::new(client.handle());
    let control = Control::serve(&socket, uid, backend, operator, Limits::default()).await.unwrap();
    let channel =
        Endpoint::from_shared(format!("unix://{}", path.display())).unwrap().connect().await.unwrap();
    (channel, (client, control, dir))
}

/// One byte says which verb, the rest is its request. It is answered, or refused with a status that says more than that the
/// server is broken.
pub(crate) fn control(data: &[u8]) {
    let [verb, body @ ..] = data else { return };
    let Running { runtime, channel, .. } = running();
    let (verb, streams) = VERBS[usize::from(*verb) % VERBS.len()];
    let path = PathAndQuery::try_from(format!("/zipnet.v1.Control/{verb}")).unwrap();
    let mut client = tonic::client::Grpc::new(channel.clone());
    let request = Request::new(body.to_vec());
    let asked = async {
        client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        if streams {
            let mut items = client.server_streaming(request, path, Raw).await?.into_inner();
            items.message().await.map(drop)
        } else {
            client.unary(request, path, Raw).await.map(drop)
        }
    };
    if let Ok(Err(status)) = runtime.block_on(async { timeout(PATIENCE, asked).await }) {
        let broken = matches!(status.code(), tonic::Code::Unknown | tonic::Code::DataLoss);
        // tonic says `Internal` to bytes that are no message.
        let internal = status.code() == tonic::Code::Internal && !status.message().contains("decode");
        assert!(!broken && !internal, "{verb}: {status:?}");
    }
}

pub(crate) fn control_seeds() -> Vec<Vec<u8>> {
    fn seed(verb: &str, request: &impl Message) -> Vec<u8> {
        let at = VERBS.iter().position(|(name, _)| *name == verb).unwrap();
        let mut out = vec![at as u8];
        request.encode(&mut out).unwrap();
        out
    }
    let send = SendRequest {
        payload: b"hello".to_vec(),
        request_id: Some("a".to_owned()),
        ttl_ms: Some(60_000),
        receipt: true,
    };
    let id = "01a20315-e4fd-7000-ab33-9d92f0375d11".to_owned();
    vec![
        seed("Send", &send),
        seed("Get", &GetRequest { message_id: id.clone(), ..GetRequest::default() }),
        seed("Read", &ReadRequest { from_round: Some(1), follow: true }),
        seed("Status", &StatusRequest::default()),
        seed("List", &ListRequest { states: vec![1, 2], limit: 3, ..ListRequest::default() }),
        seed("Watch", &WatchRequest { message_id: id.clone(), cursor: "c".to_owned() }),
        seed("Cancel", &CancelRequest { message_id: id.clone() }),
        seed("GetReceipt", &GetReceiptRequest { message_id: id }),
        seed("Drain", &DrainRequest::default()),
        seed("SetPaused", &SetPausedRequest { paused: false }),
        seed("SetLogLevel", &SetLogLevelRequest { filter: "error".to_owned() }),
    ]
}
