//! Hosts that are network namespaces, each with an address of its own, and one switch between them that can cut, lose
//! and delay. Needs root.

mod path;
mod switch;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path as File, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tappers::Tun;
use tokio::runtime::Runtime;

pub use path::Path;
use switch::Switch;

/// Where `ip netns` keeps them.
const NAMESPACES: &str = "/run/netns";
/// What the names of all our namespaces and folders start with; the process id and a `-` follow.
const PREFIX: &str = "zn";

/// A host. Everything that runs on it sees its own address and loopback, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    namespace: String,
    addr: Ipv4Addr,
}

impl Host {
    /// Its address.
    pub fn addr(&self) -> Ipv4Addr {
        self.addr
    }

    /// A command that runs `program` here. The process that is started becomes the program: its id is the program's.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={NAMESPACES}/{}", self.namespace)).arg("--").arg(program);
        command
    }
}

/// The hosts of a test and what is between them. Gone when dropped, with all that still runs on the hosts.
pub struct Hosts {
    switch: Arc<Switch>,
    runtime: Runtime,
    all: Vec<Host>,
    dir: PathBuf,
}

/// Runs a command of the system.
///
/// # Panics
/// When it fails.
fn run(command: &mut Command) {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr).trim());
}

/// The process that a namespace or folder of ours belongs to.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

fn names(dir: &File) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Ends a namespace and whatever runs in it.
fn end(namespace: &str) {
    let pids = Command::new("ip").args(["netns", "pids", namespace]).output();
    let pids = pids.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
    }
    let _ = Command::new("ip").args(["netns", "delete", namespace]).output();
}

/// Unmounts what is mounted in a folder, and removes it.
fn remove(dir: &File) {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split_whitespace().nth(1));
    for point in points.filter(|point| File::new(point).starts_with(dir)) {
        let _ = Command::new("umount").args(["--lazy", point]).output();
    }
    let _ = fs::remove_dir_all(dir);
}

/// Removes what runs that were killed have left behind.
fn remove_stale() {
    let gone = |name: &String| owner(name).is_some_and(|pid| !File::new(&format!("/proc/{pid}")).exists());
    names(File::new(NAMESPACES)).iter().filter(|name| gone(name)).for_each(|name| end(name));
    let temporary = std::env::temp_dir();
    names(&temporary).iter().filter(|name| gone(name)).for_each(|name| remove(&temporary.join(name)));
}

impl Hosts {
    /// No hosts yet.
    ///
    /// # Panics
    /// Without root.
    pub fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "network namespaces need root");
        remove_stale();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let dir = std::env::temp_dir().join(format!("{PREFIX}{}-files", std::process::id()));
        fs::create_dir_all(&dir).expect("the folder can be made");
        let runtime = runtime.expect("a runtime can be made");
        Self { switch: Arc::new(Switch::new()), runtime, all: Vec::new(), dir }
    }

    /// A folder for what the hosts' processes keep.
    pub fn dir(&self) -> &File {
        &self.dir
    }

    /// One more host.
    ///
    /// # Panics
    /// When a step fails, or there are more than 250.
    pub fn add(&mut self) -> Host {
        let number = u8::try_from(self.all.len() + 1).expect("at most 250 hosts");
        let host = Host {
            namespace: format!("{PREFIX}{}-{number}", std::process::id()),
            addr: Ipv4Addr::new(10, 77, 0, number),
        };
        let name = &host.namespace;
        run(Command::new("ip").args(["netns", "add", name]));
        self.all.push(host.clone());
        let tun = Tun::new().expect("a TUN device can be made");
        let device = tun.name().expect("it has a name").name().to_string_lossy().into_owned();
        run(Command::new("ip").args(["link", "set", &device, "netns", name, "name", "net0"]));
        // One address family is enough, and nobody announces link-local addresses.
        let quiet = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6";
        run(host.command("sh").args(["-c", quiet]));
        run(host.command("ip").args(["link", "set", "lo", "up"]));
        run(host.command("ip").args(["addr", "add", &format!("{}/24", host.addr), "dev", "net0"]));
        run(host.command("ip").args(["link", "set", "net0", "up", "mtu", "1500"]));
        self.switch.clone().connect(&self.runtime, host.addr, tun);
        host
    }

    /// Sets what lies between two hosts, one way.
    pub fn set_one_way(&self, from: &Host, to: &Host, path: Path) {
        self.switch.set(from.addr, to.addr, path);
    }

    /// Nothing gets from any of these to any of those, nor back.
    pub fn part(&self, these: &[&Host], those: &[&Host]) {
        for this in these {
            for that in those {
                self.set_one_way(this, that, Path::CUT);
                self.set_one_way(that, this, Path::CUT);
            }
        }
    }

    /// What lies between all hosts that nothing else was said about.
    pub fn set_all(&self, path: Path) {
        self.switch.set_all(path);
    }

    /// How many bytes of the first host's have got to the second, so far.
    pub fn bytes(&self, from: &Host, to: &Host) -> u64 {
        self.switch.bytes(from.addr, to.addr)
    }

    /// Everything gets everywhere at once again.
    pub fn heal(&self) {
        self.switch.heal();
    }
}

impl Default for Hosts {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.all.iter().for_each(|host| end(&host.namespace));
        if std::env::var_os("ZIPNET_KEEP").is_none() {
            remove(&self.dir);
        }
    }
}
