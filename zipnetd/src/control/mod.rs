//! The control socket: `zipnet.v1` and the standard health and reflection services, for programs on this host. One file
//! per verb.

mod accept;
pub mod backend;
mod cancel;
mod descriptor;
mod drain;
mod get;
mod limits;
mod list;
mod log_level;
mod operator;
mod pause;
mod places;
mod read;
mod receipt;
mod send;
mod servers;
mod socket;
mod status;
mod stream;
mod verify_log;
mod watch;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};
use zipnet_proto::v1::control_server::{Control as Verbs, ControlServer};
use zipnet_proto::v1::{
    CancelRequest, CancelResponse, DrainRequest, DrainResponse, GetDescriptorRequest, GetDescriptorResponse,
    GetReceiptRequest, GetReceiptResponse, GetRequest, ListRequest, ListResponse, Message, ReadItem,
    ReadRequest, SendRequest, SendResponse, ServersRequest, ServersResponse, SetLogLevelRequest,
    SetLogLevelResponse, SetPausedRequest, SetPausedResponse, StatusRequest, StatusResponse, VerifyLogItem,
    VerifyLogRequest, WatchItem, WatchRequest,
};
use zipnet_proto::{MAX_GRPC_REQUEST_BYTES, MAX_GRPC_RESPONSE_BYTES, Reason};

use crate::config::Socket;
use backend::{Backend, Caller, Denied};
pub use limits::Limits;
use limits::{BUSY_RETRY, KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT};
pub use operator::{Ending, Operator};
use places::{Place, Places};
pub use socket::{Listening, SocketError, probe};

/// What health is asked about besides the whole daemon.
const SERVICE: &str = "zipnet.v1.Control";
/// Longest message id that is looked up, in bytes; ours have 36.
const MAX_ID_BYTES: usize = 64;

/// A control socket that serves.
pub struct Control {
    /// Streams and waits end.
    stop: CancellationToken,
    /// No more messages are taken.
    draining: CancellationToken,
    health: HealthReporter,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    /// Our own file; none of a service manager's.
    bound: Option<socket::Bound>,
}

impl Control {
    /// Binds the socket and serves `backend` there, for callers of any uid that the socket's mode lets in; `uid` is the
    /// daemon's own. Health says *not serving* until [`Control::set_serving`].
    ///
    /// # Errors
    /// [`SocketError`] when another daemon answers there, or the place is not usable.
    pub async fn serve(
        socket: &Socket,
        uid: u32,
        backend: Arc<dyn Backend>,
        operator: Operator,
        limits: Limits,
    ) -> Result<Self, SocketError> {
        Ok(Self::serve_at(Listening::bind(socket, uid).await?, uid, backend, operator, limits).await)
    }

    /// As [`Control::serve`], where somebody listens already.
    pub async fn serve_at(
        listening: Listening,
        uid: u32,
        backend: Arc<dyn Backend>,
        operator: Operator,
        limits: Limits,
    ) -> Self {
        let Listening { listener, bound, .. } = listening;
        let (stop, draining) = (CancellationToken::new(), CancellationToken::new());
        let (health, health_service) = health_reporter();
        let service = Service {
            backend,
            operator,
            uid,
            limits,
            calls: Places::new(limits.calls, limits.calls_per_uid),
            readers: Places::new(limits.readers, limits.readers_per_uid),
            verifiers: Places::new(limits.verifiers, limits.verifiers_per_uid),
            subscribers: Places::new(limits.subscribers, limits.subscribers_per_uid),
            stop: stop.clone(),
            draining: draining.clone(),
        };
        let service = ControlServer::new(service)
            .max_decoding_message_size(MAX_GRPC_REQUEST_BYTES)
            .max_encoding_message_size(MAX_GRPC_RESPONSE_BYTES);
        set_health(&health, false).await;
        // Callers without the .proto (grpcurl and the like) find out what there is.
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(zipnet_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .expect("invariant: the descriptors were made by the build");
        let server = Server::builder()
            .max_concurrent_streams(limits.streams_per_connection)
            .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
            .add_service(service)
            .add_service(health_service)
            .add_service(reflection)
            .serve_with_incoming_shutdown(
                accept::connections(listener, limits),
                stop.clone().cancelled_owned(),
            );
        Self { stop, draining, health, bound, server: tokio::spawn(server) }
    }

    /// What the health service says: whether messages are taken.
    pub async fn set_serving(&self, serving: bool) {
        set_health(&self.health, serving).await;
    }

    /// From now on messages are refused as `Draining`; everything else goes on.
    pub async fn drain(&self) {
        self.draining.cancel();
        self.set_serving(false).await;
    }

    /// Ends streams and waits, lets calls under way finish, at most `within`, and removes the socket if it bound it.
    pub async fn stop(mut self, within: Duration) {
        self.draining.cancel();
        self.stop.cancel();
        // A silent client can hold a graceful shutdown up for ever.
        if timeout(within, &mut self.server).await.is_err() {
            self.server.abort();
        }
        drop(self.bound);
    }
}

async fn set_health(health: &HealthReporter, serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in ["", SERVICE] {
        health.set_service_status(service, status).await;
    }
}

/// The verbs, as tonic calls them.
struct Service {
    backend: Arc<dyn Backend>,
    operator: Operator,
    uid: u32,
    limits: Limits,
    calls: Places,
    readers: Places,
    subscribers: Places,
    verifiers: Places,
    stop: CancellationToken,
    draining: CancellationToken,
}

impl Service {
    /// Who calls, and a place among the calls under way.
    fn admit<T>(&self, request: &Request<T>) -> Result<(Caller, Place), Status> {
        let cred = request.extensions().get::<UdsConnectInfo>().and_then(|info| info.peer_cred);
        let uid = cred.map(|cred| cred.uid()).ok_or_else(|| {
            Reason::NotYours
                .into_status("the system does not say which user is at the other end of the socket")
        })?;
        let permit = place(&self.calls, uid, "calls")?;
        Ok((Caller { uid, sees_all: uid == 0 || uid == self.uid }, permit))
    }
}

fn place(among: &Places, uid: u32, what: &str) -> Result<Place, Status> {
    among.take(uid).ok_or_else(|| {
        let Places { total, per_uid, .. } = among;
        let text =
            format!("the daemon serves at most {per_uid} {what} of one user at a time, and {total} in all");
        Reason::TooManyCallers.into_status_retry(text, BUSY_RETRY)
    })
}

/// A status without a reason leaves open what happened; the typed client tells the caller so.
fn deny(denied: Denied) -> Status {
    match denied {
        Denied::Refused(refused) => match refused.retry_after {
            Some(after) => refused.reason.into_status_retry(refused.message, after),
            None => refused.reason.into_status(refused.message),
        },
        Denied::Unknown(why) => Status::aborted(why),
    }
}

/// Before anything of that length is looked for, or shown in a text.
fn check_id(id: &str) -> Result<(), Status> {
    if id.len() <= MAX_ID_BYTES {
        return Ok(());
    }
    Err(Reason::InvalidRequest.into_status(format!("a message id of {} bytes is none of ours", id.len())))
}

#[tonic::async_trait]
impl Verbs for Service {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<ReadItem, Status>> + Send>>;
    type VerifyLogStream = Pin<Box<dyn Stream<Item = Result<VerifyLogItem, Status>> + Send>>;
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchItem, Status>> + Send>>;

    async fn send(&self, request: Request<SendRequest>) -> Result<Response<SendResponse>, Status> {
        let (caller, _permit) = self.admit(&request)?;
        send::send(self, caller, request.into_inner()).await.map(Response::new)
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Message>, Status> {
        let (caller, _permit) = self.admit(&request)?;
        get::get(self, caller, request.into_inner()).await.map(Response::new)
    }

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let (caller, _permit) = self.admit(&request)?;
        Ok(Response::new(Box::pin(read::read(self, caller, &request.into_inner())?)))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let (caller, _permit) = self.admit(&request)?;
        status::status(self, caller).await.map(Response::new)
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let (caller, _permit) = self.admit(&request)?;
        list::list(self, caller, request.into_inner()).await.map(Response::new)
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (caller, _permit) = self.admit(&request)?;
        Ok(Response::new(Box::pin(watch::watch(self, caller, request.into_inner())?)))
    }

    async fn cancel(&self, request: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        let (caller, _permit) = self.admit(&request)?;
        cancel::cancel(self, caller, request.into_inner()).await.map(Response::new)
    }

    async fn get_receipt(
        &self,
        request: Request<GetReceiptRequest>,
    ) -> Result<Response<GetReceiptResponse>, Status> {
        let (caller, _permit) = self.admit(&request)?;
        receipt::receipt(self, caller, request.into_inner()).await.map(Response::new)
    }

    async fn get_descriptor(
        &self,
        request: Request<GetDescriptorRequest>,
    ) -> Result<Response<GetDescriptorResponse>, Status> {
        let (_, _permit) = self.admit(&request)?;
        descriptor::descriptor(self).await.map(Response::new)
    }

    async fn servers(&self, request: Request<ServersRequest>) -> Result<Response<ServersResponse>, Status> {
        let (_, _permit) = self.admit(&request)?;
        servers::servers(self).await.map(Response::new)
    }

    async fn verify_log(
        &self,
        request: Request<VerifyLogRequest>,
    ) -> Result<Response<Self::VerifyLogStream>, Status> {
        let (caller, _permit) = self.admit(&request)?;
        Ok(Response::new(Box::pin(verify_log::verify_log(self, caller, request.get_ref())?)))
    }

    async fn drain(&self, request: Request<DrainRequest>) -> Result<Response<DrainResponse>, Status> {
        let (caller, _permit) = self.admit(&request)?;
        drain::drain(self, caller, request.into_inner()).map(Response::new)
    }

    async fn set_paused(
        &self,
        request: Request<SetPausedRequest>,
    ) -> Result<Response<SetPausedResponse>, Status> {
        let (caller, _permit) = self.admit(&request)?;
        pause::pause(self, caller, request.into_inner()).await.map(Response::new)
    }

    async fn set_log_level(
        &self,
        request: Request<SetLogLevelRequest>,
    ) -> Result<Response<SetLogLevelResponse>, Status> {
        let (caller, _permit) = self.admit(&request)?;
        log_level::log_level(self, caller, request.get_ref()).map(Response::new)
    }
}
