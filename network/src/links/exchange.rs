//! The dialer's half of calls and streams on a connection.

use std::sync::Arc;

use bytes::Bytes;
use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt, WriteError};
use tokio_util::sync::DropGuard;
use zipnet_dcnet::ids::PeerId;

use super::error::MAX_REFUSAL;
use super::wire::{self, Reader, WireError};
use super::{Kind, LinkError, Refusal};

/// How an exchange went.
pub(super) enum Exchange<T> {
    /// It went through.
    Done(T),
    /// The connection had ended before; nothing left this node.
    NotSent,
}

/// Asks on a new stream and reads the answer. The caller sets the deadline.
pub(super) async fn call(
    conn: &Connection,
    peer: PeerId,
    kind: Kind,
    body: Bytes,
) -> Result<Exchange<Vec<u8>>, LinkError> {
    let Some((sending, recv)) = request(conn, peer, kind, body).await? else { return Ok(Exchange::NotSent) };
    let answer = |tag| match tag {
        wire::OK => Some(kind.max_answer()),
        wire::REFUSED => Some(MAX_REFUSAL),
        _ => None,
    };
    let (tag, body) = Reader::new(recv).one(answer).await.map_err(|error| failed(error, peer, kind))?;
    sending.arrived();
    if tag == wire::REFUSED {
        return Err(refused(&body, peer));
    }
    Ok(Exchange::Done(body))
}

/// Opens a stream of frames, which holds on to `link`. The caller sets the deadline.
pub(super) async fn open(
    conn: &Connection,
    link: Arc<DropGuard>,
    peer: PeerId,
    kind: Kind,
    body: Bytes,
) -> Result<Exchange<FrameStream>, LinkError> {
    let Some((sending, recv)) = request(conn, peer, kind, body).await? else { return Ok(Exchange::NotSent) };
    sending.arrived();
    Ok(Exchange::Done(FrameStream { reader: Reader::new(recv), peer, kind, ended: false, _link: link }))
}

/// A request on its way. When the caller gives up, what has not left yet is dropped, and the acceptor told: over a slow
/// link it would otherwise hold up all that comes after it, the same request once more for one.
struct Sending(Option<SendStream>);

impl Sending {
    /// The request is there, or of use without an answer.
    fn arrived(mut self) {
        self.0 = None;
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(send) = &mut self.0 {
            // An error says that all of it had arrived, or that the connection is gone.
            let _ = send.reset(VarInt::from_u32(0));
        }
    }
}

/// Sends the request on a new stream. `None` when the connection had ended before.
async fn request(
    conn: &Connection,
    peer: PeerId,
    kind: Kind,
    body: Bytes,
) -> Result<Option<(Sending, RecvStream)>, LinkError> {
    let Ok((send, recv)) = conn.open_bi().await else { return Ok(None) };
    let mut sending = Sending(Some(send));
    let send = sending.0.as_mut().expect("invariant: put in just now");
    match send_request(send, kind, body).await {
        // Stopped: the acceptor refuses without reading to the end, and says why.
        Ok(()) | Err(WriteError::Stopped(_)) => Ok(Some((sending, recv))),
        Err(error) => Err(failed(error.into(), peer, kind)),
    }
}

/// Like [`wire::write`] without its stall limit: the caller's deadline covers it.
async fn send_request(send: &mut SendStream, kind: Kind, body: Bytes) -> Result<(), WriteError> {
    send.write_all_chunks(&mut wire::message(kind as u8, body)).await?;
    let _ = send.finish();
    Ok(())
}

fn refused(body: &[u8], peer: PeerId) -> LinkError {
    match borsh::from_slice::<Refusal>(body) {
        Ok(refusal) => LinkError::Refused(refusal),
        Err(error) => LinkError::Lost { peer, reason: format!("malformed refusal: {error}") },
    }
}

fn failed(error: WireError, peer: PeerId, kind: Kind) -> LinkError {
    match error {
        WireError::TooLong { len, max, .. } => LinkError::TooLong { kind, len, max },
        error => LinkError::Lost { peer, reason: error.to_string() },
    }
}

/// The receiving end of a stream. Dropping it tells the acceptor to stop.
pub struct FrameStream {
    reader: Reader,
    peer: PeerId,
    kind: Kind,
    ended: bool,
    /// Keeps the connection.
    _link: Arc<DropGuard>,
}

impl FrameStream {
    /// The next frame; `None` after the acceptor's regular end. Cancel safe. Not reading holds the acceptor back, until
    /// it gives up.
    ///
    /// # Errors
    /// [`LinkError::Refused`] when the acceptor breaks off with a reason, [`LinkError::Lost`] without one,
    /// [`LinkError::TooLong`] for a frame beyond the limit. After an error nothing more comes.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, LinkError> {
        if self.ended {
            return Ok(None);
        }
        let kind = self.kind;
        let frame = |tag| match tag {
            wire::OK => Some(kind.max_answer()),
            wire::END => Some(0),
            wire::REFUSED => Some(MAX_REFUSAL),
            _ => None,
        };
        match self.reader.one(frame).await {
            Ok((wire::OK, body)) => Ok(Some(body)),
            Ok((wire::END, _)) => {
                self.ended = true;
                Ok(None)
            }
            Ok((_, body)) => {
                self.ended = true;
                Err(refused(&body, self.peer))
            }
            Err(error) => {
                self.ended = true;
                Err(failed(error, self.peer, kind))
            }
        }
    }
}
