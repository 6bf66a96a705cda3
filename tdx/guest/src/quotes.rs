//! Quotes for the daemon, which has no privileges: a small program of root's makes one for each connection, and ends.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::say;

/// Helpers that run at a time; who comes beyond waits in the kernel's queue.
const MOST: usize = 4;

/// See the module.
pub(crate) struct Quotes {
    listener: UnixListener,
    helper: PathBuf,
    running: BTreeSet<u32>,
}

impl Quotes {
    /// Listens at `socket`, which is for `user` alone, on behalf of the program `helper`: it gets a connection as its
    /// standard input.
    pub(crate) fn listen(socket: &Path, user: u32, helper: &Path) -> Result<Self, String> {
        let listen = || {
            let listener = UnixListener::bind(socket)?;
            fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
            chown(socket, Some(user), None)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = listen().map_err(|error: std::io::Error| format!("{}: {error}", socket.display()))?;
        Ok(Self { listener, helper: helper.to_owned(), running: BTreeSet::new() })
    }

    /// Starts a helper for each connection that waits, as long as there is room. Does not wait itself.
    pub(crate) fn serve(&mut self) {
        while self.running.len() < MOST
            && let Ok((stream, _)) = self.listener.accept()
        {
            let mut helper = Command::new(&self.helper);
            helper
                .env_clear()
                .current_dir("/")
                .stdin(Stdio::from(OwnedFd::from(stream)))
                .stdout(Stdio::null());
            match helper.spawn() {
                Ok(child) => drop(self.running.insert(child.id())),
                Err(error) => say(&format!("{} does not start: {error}", self.helper.display())),
            }
        }
    }

    /// A child of the first process ended; it may have been a helper.
    pub(crate) fn ended(&mut self, child: u32) {
        self.running.remove(&child);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{Read as _, Write as _};
    use std::net::Shutdown;
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::UnixStream;

    use nix::sys::wait::waitpid;
    use nix::unistd::{Pid, getuid};

    use super::*;

    /// A helper that says back what it is told, on the connection that is its standard input.
    fn echo(dir: &Path) -> PathBuf {
        let path = dir.join("echo");
        fs::write(&path, "#!/bin/sh\nread line\necho \"$line\" >&0\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn each_connection_gets_a_helper_of_its_own_and_so_many_at_a_time() {
        let dir = std::env::temp_dir().join(format!("zipnet-quotes-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let socket = dir.join("quote.sock");
        let user = getuid().as_raw();
        let mut quotes = Quotes::listen(&socket, user, &echo(&dir)).unwrap();
        let meta = fs::metadata(&socket).unwrap();
        assert_eq!((meta.mode() & 0o777, meta.uid()), (0o600, user));
        quotes.serve();
        assert!(quotes.running.is_empty(), "nobody waits");

        let mut callers: Vec<UnixStream> =
            (0..=MOST).map(|_| UnixStream::connect(&socket).unwrap()).collect();
        quotes.serve();
        assert_eq!(quotes.running.len(), MOST);
        let mut answered = |caller: &mut UnixStream| {
            caller.write_all(b"hello\n").unwrap();
            caller.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            caller.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "hello\n");
        };
        let last = callers.pop().unwrap();
        callers.iter_mut().for_each(&mut answered);
        for child in quotes.running.clone() {
            waitpid(Pid::from_raw(child.cast_signed()), None).unwrap();
            quotes.ended(child);
        }
        quotes.serve();
        assert_eq!(quotes.running.len(), 1, "the one that waited");
        answered(&mut { last });
        for child in quotes.running.clone() {
            waitpid(Pid::from_raw(child.cast_signed()), None).unwrap();
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
