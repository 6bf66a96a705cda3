//! Accepting connections, within their bounds.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tonic::transport::server::{Connected, UdsConnectInfo};
use tracing::debug;

use super::limits::Limits;
use super::places::{Place, Places};

/// After an error of `accept` (no file descriptor left) it is not repeated at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    let places = Places::new(limits.connections, limits.connections_per_uid);
    futures::stream::unfold((listener, places), move |(listener, places)| async move {
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
            if let Some(place) = places.take(cred.uid()) {
                return Some((Ok(Connection { stream, _place: place }), (listener, places)));
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
