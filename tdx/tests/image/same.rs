//! Two checkouts in two folders give the same bytes.
//!
//! The daemon takes too long to be compiled twice: `tdx/check-same` does that. It is compiled by the same function with the same flags as
//! the first process is here.

use std::path::{Path, PathBuf};
use std::{env, fs};

use zipnet_tdx::image::artifacts::{self, Parts};
use zipnet_tdx::image::compile::Compile;
use zipnet_tdx::image::content::{self, Content, With};
use zipnet_tdx::image::inputs::{FIRMWARE, FIRMWARE_PATH, Inputs, KERNEL, KERNEL_PATH};
use zipnet_tdx::image::module_paths;

/// A copy of what cargo needs to compile the guest's first process.
fn checkout(to: &Path) {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    copy(workspace, to);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(name)).unwrap();
        } else if name != "target" && name != ".git" {
            copy(&entry.path(), &to.join(name));
        }
    }
}

fn build(folder: &Path) -> PathBuf {
    checkout(folder);
    let cargo_home = env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(env::var_os("HOME").expect("cargo has a home")).join(".cargo"),
        PathBuf::from,
    );
    let compile = Compile { workspace: folder.to_owned(), target: folder.join("target"), cargo_home };
    let init = compile.init().unwrap_or_else(|error| panic!("{error}"));
    for folder in [folder, &compile.cargo_home] {
        let folder = folder.to_str().unwrap().as_bytes();
        assert!(
            !init.windows(folder.len()).any(|window| window == folder),
            "a path of this machine is in the program"
        );
    }
    let inputs = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("tdx-inputs");
    let inputs = Inputs::new(&inputs, Path::new("/etc"));
    let modules = module_paths();
    let paths: Vec<&str> =
        [KERNEL_PATH].into_iter().chain(modules.iter().map(|(_, path)| path.as_str())).collect();
    let mut files = inputs.files(&KERNEL, &paths).unwrap_or_else(|error| panic!("{error}")).into_iter();
    let kernel = files.next().unwrap();
    let with = With { name: "agent".to_owned(), contents: init.clone(), program: true };
    let content = Content {
        instance: Some(format!("acme.mainnet#{}", "ab".repeat(32))),
        key_broker: Some(format!("{}@192.0.2.1:4710", "cd".repeat(32))),
        host_socket: None,
        server_policy: None,
        zipnetd: init.clone(),
        quote: init.clone(),
        init,
        modules: modules.iter().map(|(name, _)| *name).zip(files).collect(),
        with: vec![with],
    };
    let parts = Parts {
        instance: content.instance.clone(),
        host_socket: content.host_socket,
        firmware: inputs
            .files(&FIRMWARE, &[FIRMWARE_PATH])
            .unwrap_or_else(|error| panic!("{error}"))
            .remove(0),
        kernel,
        initramfs: content::initramfs(content).unwrap(),
    };
    let out = folder.join("artifacts");
    artifacts::write(&parts, &out).unwrap();
    out
}

#[test]
fn two_folders_give_the_same_image() {
    let place = tempfile::tempdir().unwrap();
    let one = build(&place.path().join("one"));
    let two = build(&place.path().join("another/of-another-length"));
    let mut names: Vec<String> =
        fs::read_dir(&one).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let promised = [
        "measurements.json",
        "zipnet-client-initramfs.cpio.gz",
        "zipnet-client-mrtd.hex",
        "zipnet-client-ovmf.fd",
        "zipnet-client-rtmr1.hex",
        "zipnet-client-rtmr2.hex",
        "zipnet-client-run-qemu.sh",
        "zipnet-client-vmlinuz",
    ];
    assert_eq!(names, promised);
    for name in names {
        assert!(fs::read(one.join(&name)).unwrap() == fs::read(two.join(&name)).unwrap(), "{name} differs");
    }
}
