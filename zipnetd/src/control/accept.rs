//! Accepting connections, within their bounds.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tonic::transport::server::{Connected, UdsConnectInfo};
use tracing::debug;

use super::limits::Limits;

/// After an error of `accept` (no file descriptor left) it is not repeated at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The connections that there are, by uid.
#[derive(Default)]
struct Count {
    by_uid: BTreeMap<u32, usize>,
    total: usize,
}

/// A place among the connections; given back on drop.
struct Place {
    count: Arc<Mutex<Count>>,
    uid: u32,
}

impl Place {
    fn take(count: &Arc<Mutex<Count>>, uid: u32, limits: &Limits) -> Option<Self> {
        let mut inner = count.lock().unwrap_or_else(PoisonError::into_inner);
        let of_uid = inner.by_uid.get(&uid).copied().unwrap_or(0);
        if inner.total >= limits.connections || of_uid >= limits.connections_per_uid {
            return None;
        }
        inner.total += 1;
        inner.by_uid.insert(uid, of_uid + 1);
        drop(inner);
        Some(Self { count: count.clone(), uid })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        inner.total -= 1;
        match inner.by_uid.get_mut(&self.uid) {
            Some(n) if *n > 1 => *n -= 1,
            _ => drop(inner.by_uid.remove(&self.uid)),
        }
    }
}

/// A connection that counts.
pub(super) struct Connection {
    stream: UnixStream,
    _place: Place,
}

/// The connections of a listener, those beyond the bounds closed. Never ends.
pub(super) fn connections(
    listener: UnixListener,
    limits: Limits,
) -> impl Stream<Item = io::Result<Connection>> {
    let count = Arc::new(Mutex::new(Count::default()));
    futures::stream::unfold((listener, count), move |(listener, count)| async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    debug!(%error, "control socket: accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(cred) = stream.peer_cred() else { continue };
            if let Some(place) = Place::take(&count, cred.uid(), &limits) {
                return Some((Ok(Connection { stream, _place: place }), (listener, count)));
            }
            debug!(uid = cred.uid(), "control socket: too many connections, one closed");
        }
    })
}

impl Connected for Connection {
    type ConnectInfo = UdsConnectInfo;

    fn connect_info(&self) -> UdsConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
