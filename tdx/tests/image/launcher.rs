//! What the launcher does before it starts anything, and what it says.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use zipnet_tdx::image::artifacts::{self, Parts};

use super::made;

/// A launcher of a small image in a folder with an awkward name, and a QEMU that only says what it was asked for.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) parts: Parts,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("a b,c'").tempdir().unwrap();
        let parts = Parts {
            instance: Some("acme.mainnet#00".to_owned()),
            host_socket: Some(4780),
            firmware: made::firmware(),
            kernel: made::kernel(),
            initramfs: b"initramfs\0\n".repeat(1000),
        };
        artifacts::write(&parts, folder.path()).unwrap();
        let place = Self { folder, parts };
        place.qemu("10.1.0", "tdx-guest");
        place
    }

    /// Puts a stand-in there that has this version and these objects, and keeps its arguments and the host's disk.
    pub(crate) fn qemu(&self, version: &str, objects: &str) {
        let at = self.folder.path().display().to_string().replace('\'', "'\\''");
        let text = format!(
            "#!/bin/sh\ncase $1 in\n--version) echo 'QEMU emulator version {version} (Debian)' ;;\n-object) echo '{objects}' ;;\n\
             *) printf '%s\\n' \"$@\" >'{at}/arguments'; cp \"$TMPDIR\"/zipnet-client.*/host '{at}/host'; exit 7 ;;\nesac\n"
        );
        let path = self.path("qemu");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn run(&self, options: &[&str]) -> Output {
        self.command(options).output().unwrap()
    }

    pub(crate) fn command(&self, options: &[&str]) -> Command {
        let temporary = self.path("tmp");
        fs::create_dir_all(&temporary).unwrap();
        let mut command = Command::new("bash");
        command
            .arg(self.path("zipnet-client-run-qemu.sh"))
            .args(["--qemu", self.path("qemu").to_str().unwrap()])
            .args(options)
            .env("TMPDIR", temporary);
        command
    }
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn it_holds_what_was_built() {
    let place = Place::new();
    let to = place.path("out");
    let output = place.run(&["--extract", to.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    let same = |name: &str, contents: &[u8]| assert!(fs::read(to.join(name)).unwrap() == contents, "{name}");
    same("zipnet-client-ovmf.fd", &place.parts.firmware);
    same("zipnet-client-vmlinuz", &place.parts.kernel);
    same("zipnet-client-initramfs.cpio.gz", &place.parts.initramfs);
    assert_eq!(fs::read_dir(to).unwrap().count(), 3);
}

#[test]
fn it_notices_that_it_is_damaged() {
    let place = Place::new();
    let path = place.path("zipnet-client-run-qemu.sh");
    let whole = fs::read(&path).unwrap();
    let (firmware, kernel) = (place.parts.firmware.len(), place.parts.kernel.len());
    let payload = whole.len() - firmware - kernel - place.parts.initramfs.len();
    let parts =
        [("ovmf.fd", payload), ("vmlinuz", payload + firmware), ("initramfs", payload + firmware + kernel)];
    let damaged = |contents: &[u8], name: &str| {
        fs::write(&path, contents).unwrap();
        for options in [&["--extract", place.path("out").to_str().unwrap()][..], &["--emulate"]] {
            let output = place.run(options);
            assert_eq!(output.status.code(), Some(3), "{name}: {}", said(&output));
            assert!(
                said(&output).contains(name) && said(&output).contains("is damaged"),
                "{}",
                said(&output)
            );
        }
        assert!(!Path::new(&place.path("arguments")).exists(), "QEMU was started all the same");
    };
    for (name, at) in parts {
        let mut contents = whole.clone();
        contents[at] ^= 1;
        damaged(&contents, name);
    }
    damaged(&whole[..whole.len() - 1], "initramfs");
}

/// Says nothing about processor and kernel: on a TDX host the tests run, too.
#[test]
fn it_says_what_the_host_lacks() {
    let place = Place::new();
    let cases = [
        ("7.2.22", "tdx-guest", "is 7.2. TDX takes 10.1 or later"),
        ("10.0.13", "tdx-guest", "is 10.0. TDX takes 10.1 or later"),
        ("9.20.0", "tdx-guest", "is 9.20. TDX takes 10.1 or later"),
        ("11.1.3", "sev-guest", "was built without tdx-guest"),
        ("no version", "", "does not run"),
    ];
    for (version, objects, lacks) in cases {
        place.qemu(version, objects);
        let output = place.run(&["--check"]);
        assert_eq!(output.status.code(), Some(4), "{version}");
        assert!(said(&output).contains(lacks) && said(&output).contains("--emulate"), "{}", said(&output));
    }
    for version in ["10.1.0", "10.10.0", "11.0.0"] {
        place.qemu(version, "tdx-guest");
        assert!(!said(&place.run(&["--check"])).contains("TDX takes 10.1"), "{version}");
    }
    if !fs::read_to_string("/proc/cpuinfo").unwrap().contains(" vmx") {
        assert!(said(&place.run(&["--check"])).contains("Processor: no VMX"));
    }
    // Emulation takes any version.
    place.qemu("7.2.22", "");
    assert!(place.run(&["--check", "--emulate"]).status.success());
}

/// A guest that nobody sees any more would go on sending.
#[test]
fn whoever_ends_it_ends_the_guest() {
    let place = Place::new();
    let text = "#!/bin/sh\ncase $1 in\n--version) echo 'QEMU emulator version 10.1.0' ;;\n\
                *) echo $$ >\"$TMPDIR/pid\"; mv \"$TMPDIR/pid\" \"$TMPDIR/../pid\"; exec sleep 1000 ;;\nesac\n";
    fs::write(place.path("qemu"), text).unwrap();
    let mut launcher = place.command(&["--emulate"]).stderr(Stdio::null()).spawn().unwrap();
    let pid = loop {
        if let Ok(pid) = fs::read_to_string(place.path("pid")) {
            break pid.trim().to_owned();
        }
        assert!(launcher.try_wait().unwrap().is_none(), "it ended before it started the guest");
        thread::sleep(Duration::from_millis(20));
    };
    assert!(Command::new("kill").arg(launcher.id().to_string()).status().unwrap().success());
    // 128 + SIGTERM: how QEMU's stand-in ended.
    assert_eq!(launcher.wait().unwrap().code(), Some(143));
    assert!(!Path::new("/proc").join(&pid).exists(), "the guest runs on");
    assert_eq!(fs::read_dir(place.path("tmp")).unwrap().count(), 0);
}
