//! The helper over a real socket.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use zipnet_dcnet::ids::{ClientId, DeploymentId};
use zipnet_tdx::quote::helper::{Helper, serve};
use zipnet_tdx::quote::{KeyRelease, MAX_QUOTE_BYTES, NoTee, QuoteSource, ReportData, SourceError, Subject};

fn data() -> [ReportData; 2] {
    let subject = Subject { deployment: DeploymentId([1; 32]), client: ClientId([2; 32]), session: [3; 32] };
    let key = KeyRelease { broker: [1; 32], nonce: [2; 32], request: [3; 32] };
    [ReportData::Client(subject, [4; 32]), ReportData::Key(key)]
}

/// A quote that is its report data, so many times.
struct Echo(usize);

impl QuoteSource for Echo {
    fn quote(&self, data: &ReportData) -> Result<Vec<u8>, SourceError> {
        match self.0 {
            0 => Err(SourceError::Busy),
            n => Ok(data.bytes().into_iter().cycle().take(n).collect()),
        }
    }
}

/// Serves the callers of `socket`, one after the other, until `callers` of them were there.
fn served<T>(source: &dyn QuoteSource, callers: usize, call: impl FnOnce(&Path) -> T) -> T {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("quote.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..callers {
                // A caller that goes away is its own affair.
                let _ = serve(&mut listener.accept().unwrap().0, source);
            }
        });
        call(&socket)
    })
}

#[test]
fn a_quote_comes_through_for_each_purpose_and_up_to_the_limit() {
    for data in data() {
        let quote = served(&Echo(64), 1, |socket| Helper::new(socket).quote(&data).unwrap());
        assert_eq!(quote, data.bytes());
    }
    let ask = |n| served(&Echo(n), 1, |socket| Helper::new(socket).quote(&data()[0]));
    assert_eq!(ask(MAX_QUOTE_BYTES).unwrap().len(), MAX_QUOTE_BYTES);
    let long = ask(MAX_QUOTE_BYTES + 1).unwrap_err();
    assert!(matches!(long, SourceError::Helper(ref problem) if problem.contains("at most")), "{long}");
}

#[test]
fn what_goes_wrong_is_told() {
    let ask = |source: &dyn QuoteSource| {
        served(source, 1, |socket| Helper::new(socket).quote(&data()[0]).unwrap_err())
    };
    assert!(matches!(ask(&Echo(0)), SourceError::Busy));
    let error = ask(&NoTee);
    assert!(matches!(error, SourceError::Helper(ref problem) if problem.contains("no TDX guest")), "{error}");
    let nobody = Helper::new(Path::new("/nonexistent/quote.sock")).quote(&data()[0]).unwrap_err();
    assert!(nobody.to_string().contains("helper at /nonexistent/quote.sock"), "{nobody}");
}

#[test]
fn only_our_formats_are_quoted_and_nothing_long_is_read() {
    let raw = |bytes: &[u8]| {
        served(&Echo(64), 1, |socket| {
            let mut stream = UnixStream::connect(socket).unwrap();
            stream.write_all(bytes).unwrap();
            let mut answer = Vec::new();
            // The helper may close before it has read all.
            let _ = stream.read_to_end(&mut answer);
            answer
        })
    };
    // 64 bytes of somebody else's report data, another purpose, a byte too many, and a length beyond all requests.
    for (len, byte) in [(64_u32, 0), (129, 2), (130, 0), (97, 0)] {
        let message = [&len.to_le_bytes()[..], &vec![byte; len as usize]].concat();
        assert!(raw(&message).is_empty(), "{len} bytes of {byte}");
    }
    // Refused by its length alone: nothing more comes, and nobody waits for it.
    assert!(raw(&130_u32.to_le_bytes()).is_empty() && raw(&u32::MAX.to_le_bytes()).is_empty());
    let right = [&129_u32.to_le_bytes()[..], &[0; 129]].concat();
    assert_eq!(raw(&right).len(), 4 + 1 + 4 + 64);
}

#[test]
fn the_program_answers_on_the_socket_that_it_is_started_with() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("quote.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let program = |stdin: Stdio, base: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zipnet-quote"));
        command.arg("--base").arg(base).stdin(stdin).output().unwrap()
    };
    let ask = |base: &Path| {
        std::thread::scope(|scope| {
            let caller = scope.spawn(|| Helper::new(&socket).quote(&data()[0]).unwrap_err().to_string());
            let stream: OwnedFd = listener.accept().unwrap().0.into();
            assert!(program(stream.into(), base).status.success());
            caller.join().unwrap()
        })
    };
    // As systemd does it: on a host that is no guest, and with a folder that is not the kernel's.
    assert!(ask(&dir.path().join("none")).contains("no TDX guest"));
    assert!(ask(dir.path()).contains("provider"));
    let none = program(Stdio::null(), dir.path());
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).starts_with("error: no request on standard input"));
}
