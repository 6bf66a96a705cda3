//! configfs-tsm, faked by a folder whose attributes appear, count and vanish as the kernel's do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc;

use zipnet_dcnet::ids::{ClientId, DeploymentId};
use zipnet_tdx::quote::{
    Attributes, ConfigFs, MAX_QUOTE_BYTES, QuoteSource, ReportData, SourceError, Subject, Tsm,
};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Provider,
    NoProvider,
    WrittenTwice,
    NoticedByKernel,
    Empty,
    Long(usize),
    Busy,
    NotAllowed,
    Generation,
    CannotRemove,
}

#[derive(Clone)]
struct Fake(Arc<Kernel>);

struct Kernel {
    fault: Fault,
    /// Held up here while it makes a quote, if the test wants it.
    gate: Mutex<Option<mpsc::Receiver<()>>>,
    reached: mpsc::Sender<()>,
}

fn os(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

impl Attributes for Fake {
    fn make(&self, path: &Path) -> io::Result<()> {
        match self.0.fault {
            Fault::NoProvider => return Err(os(6)),
            Fault::NotAllowed => return Err(os(13)),
            _ => {}
        }
        ConfigFs.make(path)?;
        let provider = if self.0.fault == Fault::Provider { "sev_guest\n" } else { "tdx_guest\n" };
        fs::write(path.join("provider"), provider)?;
        fs::write(
            path.join("generation"),
            if self.0.fault == Fault::Generation { "x\u{1b}\n" } else { "0\n" },
        )?;
        fs::write(path.join("inblob"), "")
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.0.fault == Fault::CannotRemove { Err(os(5)) } else { fs::remove_dir_all(path) }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        ConfigFs.write(path, bytes)?;
        let writes = if self.0.fault == Fault::WrittenTwice { 2 } else { 1 };
        fs::write(path.with_file_name("generation"), format!("{writes}\n"))
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        if path.file_name().unwrap() == "outblob" {
            self.0.reached.send(()).unwrap();
            if let Some(gate) = &*self.0.gate.lock().unwrap() {
                gate.recv().unwrap();
            }
            match self.0.fault {
                Fault::NoticedByKernel => return Err(os(11)),
                Fault::Busy => return Err(os(16)),
                _ => {}
            }
            let data = fs::read(path.with_file_name("inblob"))?;
            let quote = match self.0.fault {
                Fault::Empty => vec![],
                Fault::Long(n) => vec![7; n],
                _ => [b"quote over ".as_slice(), &data].concat(),
            };
            fs::write(path, quote)?;
        }
        ConfigFs.read(path, limit)
    }
}

struct Setup {
    dir: tempfile::TempDir,
    tsm: Tsm<Fake>,
    kernel: Fake,
    reached: mpsc::Receiver<()>,
}

fn setup(fault: Fault) -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let (send, reached) = mpsc::channel();
    let kernel = Fake(Arc::new(Kernel { fault, gate: Mutex::new(None), reached: send }));
    let tsm = Tsm::with(dir.path(), kernel.clone());
    Setup { dir, tsm, kernel, reached }
}

fn data() -> ReportData {
    let subject = Subject { deployment: DeploymentId([1; 32]), client: ClientId([2; 32]), session: [3; 32] };
    ReportData::Client(subject, [4; 32])
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_quote_is_over_our_data_and_leaves_nothing_behind() {
    let setup = setup(Fault::None);
    for _ in 0..2 {
        let quote = setup.tsm.quote(&data()).unwrap();
        assert_eq!(quote, [b"quote over ".as_slice(), &data().bytes()].concat());
        assert!(entries(setup.dir.path()).is_empty());
    }
}

#[test]
fn each_thing_that_goes_wrong_has_its_own_error() {
    let failed = |fault| {
        let setup = setup(fault);
        let error = setup.tsm.quote(&data()).unwrap_err();
        let left = entries(setup.dir.path()).len();
        assert_eq!(left, usize::from(fault == Fault::CannotRemove), "{fault:?}");
        error
    };
    assert!(matches!(failed(Fault::Provider), SourceError::WrongProvider(p) if p == "sev_guest"));
    assert!(matches!(failed(Fault::NoProvider), SourceError::NotAGuest(_)));
    let raced = SourceError::Generation { expected: 1, found: 2 };
    assert_eq!(failed(Fault::WrittenTwice).to_string(), raced.to_string());
    assert!(matches!(failed(Fault::NoticedByKernel), SourceError::Generation { .. }));
    assert!(matches!(failed(Fault::Empty), SourceError::Empty));
    assert!(matches!(failed(Fault::Long(MAX_QUOTE_BYTES + 1)), SourceError::TooLong(_)));
    assert!(matches!(failed(Fault::Busy), SourceError::Busy));
    assert!(matches!(failed(Fault::NotAllowed), SourceError::Permission(_)));
    assert!(!failed(Fault::Generation).to_string().contains('\u{1b}'));
    assert!(matches!(failed(Fault::CannotRemove), SourceError::Io { step: "remove", .. }));
    let longest = setup(Fault::Long(MAX_QUOTE_BYTES));
    assert_eq!(longest.tsm.quote(&data()).unwrap().len(), MAX_QUOTE_BYTES);
}

#[test]
fn a_host_without_the_interface_is_no_guest() {
    let dir = tempfile::tempdir().unwrap();
    let error = Tsm::new(&dir.path().join("tsm/report")).quote(&data()).unwrap_err();
    assert!(matches!(error, SourceError::NotAGuest(_)), "{error}");
    // A folder that makes no attributes is not the kernel's.
    let error = Tsm::new(dir.path()).quote(&data()).unwrap_err();
    assert!(matches!(error, SourceError::Io { step: "read", .. }), "{error}");
}

#[test]
fn what_a_killed_process_left_is_not_in_the_way() {
    let setup = setup(Fault::None);
    let entry = setup.dir.path().join(format!("zipnet-{}", std::process::id()));
    setup.kernel.make(&entry).unwrap();
    assert!(setup.tsm.quote(&data()).is_ok());
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    let setup = setup(Fault::None);
    let (open, gate) = mpsc::channel();
    *setup.kernel.0.gate.lock().unwrap() = Some(gate);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| setup.tsm.quote(&data()));
        setup.reached.recv().unwrap();
        assert!(matches!(setup.tsm.quote(&data()), Err(SourceError::Busy)));
        open.send(()).unwrap();
        assert!(first.join().unwrap().is_ok());
    });
}
