//! What happens, in order, from the kernel's hand-over to the end of the guest.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::prctl::set_no_new_privs;
use nix::sys::reboot::{RebootMode, reboot, set_cad_enabled};

use crate::baked::{self, Baked};
use crate::children::State;
use crate::host::{self, Host};
use crate::{children, network, say};

/// The serial number of the host's disk, as `-device virtio-blk-pci,serial=` gives it.
const HOST_DISK: &str = "zipnet-host";
/// That of the disk for the sealed identity and the queue.
const STATE_DISK: &str = "zipnet-state";
/// That of the disk with what Intel says about the servers' platforms: signed, so the host may bring it.
const COLLATERAL_DISK: &str = "zipnet-coll";
/// Where the daemon finds it.
pub(crate) const COLLATERAL: &str = "/run/zipnet/collateral.json";
/// How much of that disk is looked at, in bytes; of a family of platforms there are some 20,000.
const MAX_COLLATERAL: usize = 1 << 20;
/// Where quotes are asked for, once the kernel's modules are there and the platform is a TDX one.
const QUOTES: &str = "/sys/kernel/config/tsm/report";

/// A file system to mount: kind, where, options, mode of the folder.
const MOUNTS: [(&str, &str, &str); 6] = [
    ("proc", "/proc", "hidepid=invisible"),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", "mode=0755"),
    ("tmpfs", "/run", "mode=0755,size=16m"),
    ("tmpfs", "/tmp", "mode=1777,size=16m"),
    // The queue, where there is no state disk for it: what a host's disk sees of it has to be sealed first.
    ("tmpfs", "/var/lib/zipnet", "mode=0700,size=40%"),
];

/// Runs the guest; comes back only if the kernel does not switch off. Then the first process ends, and `panic=-1` ends the guest.
pub(crate) fn run() {
    let why = match guest() {
        Ok(code) => format!("zipnetd has ended ({code}): the guest ends with it"),
        Err(error) => format!("the guest cannot go on: {error}"),
    };
    say(&why);
    nix::unistd::sync();
    let Err(error) = reboot(RebootMode::RB_POWER_OFF);
    say(&format!("switching off failed: {error}"));
}

fn guest() -> Result<String, String> {
    for (kind, at, options) in MOUNTS {
        file_system(kind, at, options)?;
    }
    harden();
    let text = fs::read_to_string(format!("/{}", baked::PATH))
        .map_err(|error| format!("{}: {error}", baked::PATH))?;
    let baked = Baked::parse(&text).map_err(|error| error.to_string())?;
    for path in &baked.modules {
        // Outside of TDX its module finds no device; without disk or network the next steps say so.
        if let Err(error) = load(path) {
            say(&format!("{path} was not loaded: {error}"));
        }
    }
    quotes();
    let Some(instance) = &baked.instance else {
        return Err("this image names no deployment; build one with --instance NAME#ID".to_owned());
    };
    let host = match host_disk()? {
        Some(disk) => Host::parse(&disk).map_err(|error| format!("the host's disk is refused: {error}"))?,
        None => Host::default(),
    };
    let state = match (&baked.key_broker, disk(STATE_DISK)) {
        (Some(broker), Some(device)) => {
            handed(&device, 0o600)?;
            Some(State { device, broker })
        }
        (None, None) => None,
        // Somebody new each time would be what a host gets by taking the disk away.
        (Some(_), None) => {
            return Err(
                "this image keeps its identity on a disk, and there is none: start it with --state FILE"
                    .to_owned(),
            );
        }
        (None, Some(_)) => {
            return Err("there is a disk to keep state on, and this image names no key broker for it: build one with --key-broker".to_owned());
        }
    };
    network::start()?;
    // The queue is the daemon's alone; to its socket programs beside it may come.
    for (folder, mode) in [("/var/lib/zipnet", 0o700), ("/run/zipnet", 0o750)] {
        own(folder, mode)?;
    }
    if baked.server_policy {
        collateral()?;
    }
    let kept = match &state {
        Some(_) => "identity and queue are on the state disk, sealed",
        None => "no sealed storage: identity and queue last as long as this run",
    };
    say(&format!("up; instance {instance}; {kept}"));
    children::run(instance, &host, &baked, state)
}

fn file_system(kind: &str, at: &str, options: &str) -> Result<(), String> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    // Devices only where they belong.
    let flags = if kind == "devtmpfs" { flags } else { flags | MsFlags::MS_NODEV };
    mount(Some(kind), at, Some(kind), flags, Some(options)).map_err(|error| format!("mounting {at}: {error}"))
}

/// What a host could do with the console, and programs with the kernel's pointers, its log, and set-user-id bits.
fn harden() {
    let settings = [
        ("/proc/sys/kernel/sysrq", "0"),
        ("/proc/sys/kernel/kptr_restrict", "2"),
        ("/proc/sys/kernel/dmesg_restrict", "1"),
        ("/proc/sys/kernel/unprivileged_bpf_disabled", "1"),
        ("/proc/sys/kernel/kexec_load_disabled", "1"),
        ("/proc/sys/kernel/core_pattern", ""),
    ];
    for (path, value) in settings {
        if let Err(error) = fs::write(path, value) {
            say(&format!("{path} is not set: {error}"));
        }
    }
    // Everything that is started from here inherits it.
    if let Err(error) = set_no_new_privs() {
        say(&format!("programs could still gain rights: {error}"));
    }
    if let Err(error) = set_cad_enabled(false) {
        say(&format!("the keyboard can still restart the guest: {error}"));
    }
}

fn load(path: &str) -> Result<(), String> {
    const NO_PARAMETERS: &CStr = c"";
    let file = File::open(format!("/{path}")).map_err(|error| error.to_string())?;
    finit_module(file, NO_PARAMETERS, ModuleInitFlags::empty()).map_err(|error| error.to_string())
}

fn quotes() {
    let mounted = file_system("configfs", "/sys/kernel/config", "");
    if mounted.is_ok() && fs::exists(QUOTES).unwrap_or(false) && fs::exists("/dev/tdx_guest").unwrap_or(false)
    {
        say("this is a TDX guest: the platform makes quotes");
    } else {
        say(
            "THIS IS NO TDX GUEST: the host reads everything, and no committee that asks for a quote admits it",
        );
    }
}

/// The first bytes of the host's disk, if there is one.
fn host_disk() -> Result<Option<Vec<u8>>, String> {
    disk(HOST_DISK).map(|device| beginning(&device, host::SIZE)).transpose()
}

/// Takes the collateral from its disk, where zeros follow it. The daemon judges what it is.
fn collateral() -> Result<(), String> {
    let device = disk(COLLATERAL_DISK).ok_or(
        "this image judges servers, and there is no disk with collateral: start it with --collateral FILE",
    )?;
    let bytes = beginning(&device, MAX_COLLATERAL)?;
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    fs::write(COLLATERAL, &bytes[..end]).map_err(|error| format!("{COLLATERAL}: {error}"))?;
    handed(COLLATERAL.as_ref(), 0o400)
}

fn beginning(device: &Path, len: usize) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("a disk of the host's cannot be read: {error}");
    let mut bytes = Vec::with_capacity(len);
    File::open(device).map_err(failed)?.take(len as u64).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The disk with a serial number.
fn disk(serial: &str) -> Option<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir("/sys/block").ok()?.flatten().map(|entry| entry.path()).collect();
    all.sort();
    let found = all
        .iter()
        .find(|path| fs::read_to_string(path.join("serial")).is_ok_and(|its| its.trim() == serial))?;
    Some(PathBuf::from("/dev").join(found.file_name()?))
}

/// A folder of the daemon's and its group's.
fn own(folder: &str, mode: u32) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{folder}: {error}"))?;
    handed(folder.as_ref(), mode)
}

/// Makes something that is there the daemon's and its group's.
fn handed(path: &Path, mode: u32) -> Result<(), String> {
    let done = fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .and_then(|()| chown(path, Some(children::DAEMON), Some(children::GROUP)));
    done.map_err(|error| format!("{}: {error}", path.display()))
}
