//! Broker and guest over TCP: a connection carries one question and its answer. What they say to each other is protected by
//! itself, so the connection need not be.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;
use zipnet_dcnet::signed::encode;

use super::client::Transport;
use super::core::Broker;
use super::folder::{Folder, FolderError};
use super::message::{MAX_MESSAGE_BYTES, Refusal, Reply};
use crate::frame;
use crate::verify::Authenticate;

/// How long a connection may take in all, either side.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Connections at a time; more wait in the kernel's queue.
const WORKERS: usize = 16;

/// What the broker cannot make itself.
pub trait Outside: Send + Sync + 'static {
    /// Seconds since 1970.
    fn now(&self) -> u64;
    /// 32 fresh random bytes.
    fn random(&self) -> Zeroizing<[u8; 32]>;
    /// A line for the log.
    fn log(&self, line: &str);
}

/// Answers at this listener until the state cannot be written any more: the error then comes out of the receiver, and
/// nobody gets an answer.
pub fn serve<V: Authenticate + 'static>(
    listener: TcpListener,
    broker: Broker<V>,
    folder: Folder,
    outside: impl Outside,
) -> Receiver<FolderError> {
    let (failed, failure) = mpsc::channel();
    let shared = Arc::new((listener, Mutex::new((broker, folder)), outside));
    for _ in 0..WORKERS {
        let (shared, failed) = (shared.clone(), failed.clone());
        thread::spawn(move || {
            let (listener, broker, outside) = &*shared;
            loop {
                let Ok((stream, from)) = listener.accept() else {
                    // Out of file descriptors, most likely: they come back.
                    thread::sleep(Duration::from_millis(100));
                    continue;
                };
                let mut stream = Timed::new(stream);
                let Ok(message) = frame::read(&mut stream, MAX_MESSAGE_BYTES) else { continue };
                let reply = {
                    let mut held = broker.lock().unwrap_or_else(PoisonError::into_inner);
                    let (broker, folder) = &mut *held;
                    // The state changes last, so a message that makes the verifier panic has changed nothing.
                    let answer = || broker.answer(&message, outside.now(), &outside.random());
                    let reply = panic::catch_unwind(AssertUnwindSafe(answer));
                    let reply = reply.unwrap_or(Reply::Refused(Refusal::Malformed));
                    if matches!(reply, Reply::Key { .. } | Reply::Returned)
                        && let Err(e) = folder.save(broker.state())
                    {
                        // Held until the process ends: nobody else gets what may be forgotten.
                        let _ = failed.send(e);
                        drop(stream);
                        loop {
                            thread::park();
                        }
                    }
                    reply
                };
                match &reply {
                    Reply::Key { .. } => outside.log(&format!("{from}: key given")),
                    Reply::Returned => outside.log(&format!("{from}: lease given back")),
                    Reply::Refused(refusal) => outside.log(&format!("{from}: refused: {refusal}")),
                    Reply::Challenge(_) => {}
                }
                // Who does not wait for the answer asks again.
                let _ = frame::write(&mut stream, &encode(&reply));
            }
        });
    }
    failure
}

/// To a broker at `host:port`.
#[derive(Clone, Debug)]
pub struct Tcp(pub String);

impl Transport for Tcp {
    fn call(&mut self, message: &[u8]) -> io::Result<Vec<u8>> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{} has no address", self.0));
        for address in self.0.to_socket_addrs()?.take(4) {
            match TcpStream::connect_timeout(&address, PATIENCE / 4) {
                Ok(stream) => {
                    let mut stream = Timed::new(stream);
                    frame::write(&mut stream, message)?;
                    return frame::read(&mut stream, MAX_MESSAGE_BYTES);
                }
                Err(e) => last = io::Error::new(e.kind(), format!("{address}: {e}")),
            }
        }
        Err(last)
    }
}

/// A stream that is over after [`PATIENCE`], however slowly the other side dribbles.
struct Timed {
    stream: TcpStream,
    until: Instant,
}

impl Timed {
    fn new(stream: TcpStream) -> Self {
        Self { stream, until: Instant::now() + PATIENCE }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Timed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buf)
    }
}

impl Write for Timed {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
