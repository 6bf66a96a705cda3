//! The daemon's socket for programs on the host, in images that were built with `--host-socket`: a TCP port of the guest, which the launcher
//! forwards to the host's loopback address. What goes over it the host reads: who sends, when, and what.
//!
//! It runs as a process of its own, as the user of the programs beside the daemon: for the daemon a caller is one of them.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::say;

/// What `/init` is told to be this.
pub(crate) const ARGUMENT: &str = "host-socket";
/// Connections at a time; who comes beyond is hung up on.
const MOST: usize = 16;
/// A connection on which nothing was said for so long is given up.
const SILENCE: Duration = Duration::from_mins(10);

/// Serves until the guest ends.
pub(crate) fn run(port: &str, socket: &Path) {
    let port = port.parse().unwrap_or(0);
    match TcpListener::bind(("0.0.0.0", port)) {
        Ok(listener) => serve(&listener, socket),
        Err(error) => say(&format!("port {port} for the host's programs: {error}")),
    }
}

fn serve(listener: &TcpListener, socket: &Path) {
    // One for each connection, and ours.
    let places = Arc::new(());
    for from in listener.incoming().flatten() {
        if Arc::strong_count(&places) > MOST {
            continue;
        }
        let (place, socket) = (places.clone(), socket.to_owned());
        let carried = thread::Builder::new().spawn(move || {
            // What goes wrong both ends see.
            let _ = carry(&from, &socket);
            drop(place);
        });
        if carried.is_err() {
            say("no thread for a connection of the host's");
        }
    }
}

/// Both ways, until both have ended.
fn carry(host: &TcpStream, socket: &Path) -> io::Result<()> {
    let daemon = UnixStream::connect(socket)?;
    host.set_read_timeout(Some(SILENCE))?;
    host.set_write_timeout(Some(SILENCE))?;
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::copy(&mut &*host, &mut &daemon);
            let _ = daemon.shutdown(Shutdown::Write);
        });
        let _ = io::copy(&mut &daemon, &mut &*host);
        // The daemon is done with it, so nothing that comes has a reader.
        host.shutdown(Shutdown::Both)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn it_carries_both_ways_and_so_many_at_a_time() {
        let dir = std::env::temp_dir().join(format!("zipnet-host-socket-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let socket = dir.join("zipnetd.sock");
        let daemon = UnixListener::bind(&socket).unwrap();
        thread::spawn(move || {
            for mut stream in daemon.incoming().flatten() {
                thread::spawn(move || {
                    let mut said = String::new();
                    stream.read_to_string(&mut said).unwrap();
                    stream.write_all(said.to_uppercase().as_bytes()).unwrap();
                });
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener, &socket));

        let answered = |mut stream: TcpStream| {
            // Nobody answers who was hung up on.
            let said = stream.write_all(b"hello").and_then(|()| stream.shutdown(Shutdown::Write));
            let mut answer = String::new();
            said.and_then(|()| stream.read_to_string(&mut answer)).is_ok() && answer == "HELLO"
        };
        assert!(answered(TcpStream::connect(at).unwrap()));
        let mut held: Vec<TcpStream> = (0..MOST).map(|_| TcpStream::connect(at).unwrap()).collect();
        // In the order in which they came: all places are taken then.
        assert!(!answered(TcpStream::connect(at).unwrap()));
        assert!(held.drain(..).all(answered));
        while !answered(TcpStream::connect(at).unwrap()) {}
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
