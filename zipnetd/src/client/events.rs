//! The subscription to one server's events, moved to another server when it ends or stalls.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::debug;
use zipnet_dcnet::ids::PeerId;
use zipnet_dcnet::signed::encode;
use zipnet_dcnet::wire::{Event, EventsCall};
use zipnet_network::links::{FrameStream, Kind};

use super::Feed;
use super::log::Log;
use super::peers::Peers;
use crate::core::input::Input;

/// The first pause before the next server; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A subscription that lasted this long was a good one: the next pause is short again.
const GOOD: Duration = Duration::from_secs(10);

/// The subscriber names no roster that it has: the core fetches the first one by digest, unless it has just that.
const NO_ROSTER: [u8; 32] = [0; 32];

/// What the subscription works with.
pub(crate) struct Subscription {
    pub peers: Arc<Peers>,
    pub log: Option<Arc<Log>>,
    pub feed: mpsc::Sender<Feed>,
    /// A server that says nothing for this long is left.
    pub stall: Duration,
}

impl Subscription {
    /// Runs until the core is gone.
    pub(crate) async fn run(self) {
        let mut pause = PAUSE_MIN;
        let mut not = None;
        while !self.feed.is_closed() {
            let Some(link) = self.peers.pick_server(not.as_slice()) else {
                sleep(PAUSE_MIN).await;
                continue;
            };
            let server = link.peer_id();
            let since = tokio::time::Instant::now();
            let call = EventsCall { roster: NO_ROSTER };
            let why = match link.open(Kind::Events, encode(&call)).await {
                Ok(stream) => self.listen(server, stream).await,
                Err(error) => error.to_string(),
            };
            debug!(server = %server.short(), why, "events ended, going to the next server");
            not = Some(server);
            pause = if since.elapsed() >= GOOD { PAUSE_MIN } else { pause };
            sleep(pause.mul_f64(rand::random_range(0.5..=1.0))).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Hands on what the server says, until it stops. Gives the reason.
    async fn listen(&self, server: PeerId, mut stream: FrameStream) -> String {
        debug!(server = %server.short(), "listening to its events");
        loop {
            let frame = match timeout(self.stall, stream.next()).await {
                Ok(Ok(Some(frame))) => frame,
                Ok(Ok(None)) => return "the server ended the stream".to_owned(),
                Ok(Err(error)) => return error.to_string(),
                Err(_) => return format!("nothing came for {} s", self.stall.as_secs()),
            };
            let event = match borsh::from_slice::<Event>(&frame) {
                Ok(event) => event,
                Err(error) => return format!("malformed event: {error}"),
            };
            if let Some(log) = &self.log {
                match &event {
                    Event::Open { header, .. } => log.opened(server, header),
                    Event::Ended(ended) => log.ended(server, ended),
                    Event::Boot(_) => {}
                }
            }
            if self.feed.send(Feed::Input(Input::Event { from: server, event })).await.is_err() {
                return "the client stops".to_owned();
            }
        }
    }
}
