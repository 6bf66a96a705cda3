//! The quote helper: a small process of root's makes quotes for the daemon, which has no privileges. It takes one request
//! over a stream, in our formats only, and answers once. Whom it answers is decided by who may open its socket.
//! Both ways: length `u32`, little-endian, then borsh.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use borsh::{BorshDeserialize, BorshSerialize};
use clap::Parser;

use super::source::bounded;
use super::{MAX_QUOTE_BYTES, QuoteSource, ReportData, SourceError, Tsm};
use crate::frame;

/// Where the helper's unit listens.
pub const SOCKET: &str = "/run/zipnet/quote.sock";
/// How long either side waits for the other, in seconds: the host's quote service has to answer in between.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Longest request, in bytes: the tag and four values of 32 bytes.
const MAX_REQUEST_BYTES: usize = 1 + 4 * 32;
/// Longest answer, in bytes: the longest quote, or an error text, which is shorter.
const MAX_ANSWER_BYTES: usize = MAX_QUOTE_BYTES + 8;

#[derive(BorshSerialize, BorshDeserialize)]
enum Answer {
    Quote(Vec<u8>),
    Busy,
    Failed(String),
}

/// Answers one request, the helper's side. What went wrong is told to the caller, too.
///
/// # Errors
/// When the caller goes away or sends something else than a request.
pub fn serve(stream: &mut (impl Read + Write), source: &dyn QuoteSource) -> io::Result<()> {
    let request = frame::read(stream, MAX_REQUEST_BYTES)?;
    let data: ReportData = borsh::from_slice(&request)?;
    let answer = match source.quote(&data).and_then(bounded) {
        Ok(quote) => Answer::Quote(quote),
        Err(SourceError::Busy) => Answer::Busy,
        Err(e) => Answer::Failed(e.to_string().chars().take(1000).collect()),
    };
    frame::write(stream, &zipnet_dcnet::signed::encode(&answer))
}

/// Make one quote for the zipnetd that is connected to standard input. Started by zipnet-quote.socket.
#[derive(Debug, Parser)]
#[command(
    name = "zipnet-quote",
    version,
    after_help = "Exit codes:\n  0  answered\n  1  failed\n  2  wrong usage"
)]
struct Cli {
    /// Where the kernel makes quotes.
    #[arg(long, value_name = "DIR", default_value = super::PATH)]
    base: PathBuf,
}

/// The program `zipnet-quote`.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let answered = || {
        let mut stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        // Also says whether it is a socket.
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        serve(&mut stream, &Tsm::new(&cli.base))
    };
    match answered() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(io::stderr(), "error: no request on standard input: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Quotes from a helper, the daemon's side.
#[derive(Clone, Debug)]
pub struct Helper {
    socket: PathBuf,
}

impl Helper {
    /// A helper at this socket, usually [`SOCKET`].
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    fn ask(&self, data: &ReportData) -> io::Result<Answer> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        frame::write(&mut stream, &zipnet_dcnet::signed::encode(data))?;
        borsh::from_slice(&frame::read(&mut stream, MAX_ANSWER_BYTES)?)
    }
}

impl QuoteSource for Helper {
    fn quote(&self, data: &ReportData) -> Result<Vec<u8>, SourceError> {
        match self.ask(data) {
            Ok(Answer::Quote(quote)) => bounded(quote),
            Ok(Answer::Busy) => Err(SourceError::Busy),
            Ok(Answer::Failed(problem)) => Err(SourceError::Helper(problem)),
            Err(source) => Err(SourceError::Io {
                step: "get a quote from the helper at",
                path: self.socket.clone(),
                source,
            }),
        }
    }
}
