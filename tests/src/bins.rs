//! The binaries under test.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The path of one of the workspace's binaries. The first call builds all of them, so that no test runs an old one; with
/// the tests, because their dependencies turn on features without which everything would be compiled once more.
///
/// # Panics
/// When the build fails.
pub fn bin(name: &str) -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        // What describes this test to itself would be news to the build scripts of dependencies, which read the same
        // variables: everything above them would be compiled again.
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "NEXTEST"].iter().any(|p| name.starts_with(p))
            {
                build.env_remove(&variable);
            }
        }
        let built = build
            .args([
                "build",
                "--release",
                "--workspace",
                "--bins",
                "--tests",
                "--examples",
                "--quiet",
                "--locked",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.is_ok_and(|status| status.success()), "building the binaries failed");
        let test = std::env::current_exe().expect("the test binary has a path");
        let deps = test.parent().expect("it lies in target/release/deps");
        deps.parent().expect("it lies in target/release/deps").to_owned()
    });
    dir.join(name)
}
