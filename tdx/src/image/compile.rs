//! Compiles the guest's programs so that neither the folder nor the user shows in them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use super::TIME;

/// What the guest's programs are compiled for: static, without a C library of the machine.
pub const TARGET: &str = "x86_64-unknown-linux-musl";

/// Where to compile.
#[derive(Clone, Debug)]
pub struct Compile {
    /// The checkout.
    pub workspace: PathBuf,
    /// A target folder of its own: other flags than the workspace's.
    pub target: PathBuf,
    /// Cargo's own folder, with the sources of dependencies.
    pub cargo_home: PathBuf,
}

/// Why a program was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Cargo said why, on the standard error.
    #[error(
        "compiling {0} failed. It takes `rustup target add {TARGET}`, and all but zipnet-init a C compiler for it \
         (Debian's package musl-tools)"
    )]
    Failed(&'static str),
    /// It could not be handed to the compilers in one piece.
    #[error("{} has a space, a quote or a backslash in it, which the compilers' options cannot carry: use another folder", .0.display())]
    Folder(PathBuf),
    /// Cargo itself, or what it made.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was to be run or read.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Compile {
    /// The first process of the guest.
    ///
    /// # Errors
    /// If cargo fails.
    pub fn init(&self) -> Result<Vec<u8>, CompileError> {
        self.cargo("zipnet-init", &["-p", "zipnet-guest", "--bin", "zipnet-init"])
    }

    /// The daemon, without `--dev`. From nothing it takes some twenty minutes of a processor.
    ///
    /// # Errors
    /// If cargo fails.
    pub fn zipnetd(&self) -> Result<Vec<u8>, CompileError> {
        self.cargo("zipnetd", &["-p", "zipnetd", "--no-default-features", "--bin", "zipnetd"])
    }

    /// What makes the daemon's quotes.
    ///
    /// # Errors
    /// If cargo fails.
    pub fn quote(&self) -> Result<Vec<u8>, CompileError> {
        self.cargo("zipnet-quote", &["-p", "zipnet-tdx", "--bin", "zipnet-quote"])
    }

    fn cargo(&self, program: &'static str, arguments: &[&str]) -> Result<Vec<u8>, CompileError> {
        let odd = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '\\');
        if let Some((folder, _)) =
            self.renamed().iter().find(|(folder, _)| folder.to_string_lossy().contains(odd))
        {
            return Err(CompileError::Folder(folder.to_path_buf()));
        }
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--locked", "--target", TARGET]).args(arguments);
        // A RUSTFLAGS variable would replace the flags of .cargo/config.toml; these are added to them.
        let flags: Vec<String> = self
            .renamed()
            .iter()
            .map(|(from, to)| format!("\"--remap-path-prefix={}={to}\"", from.display()))
            .collect();
        cargo.arg("--config").arg(format!("target.{TARGET}.rustflags=[{}]", flags.join(",")));
        // The same for C.
        let flags: Vec<String> = self
            .renamed()
            .iter()
            .map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display()))
            .collect();
        cargo
            .env(format!("CFLAGS_{}", TARGET.replace('-', "_")), flags.join(" "))
            .env("SOURCE_DATE_EPOCH", TIME.to_string())
            .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_INCREMENTAL", "0")
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .current_dir(&self.workspace);
        // What cargo sets for the program that runs this would make it compile dependencies anew (docs/architecture.md).
        for (name, _) in std::env::vars_os() {
            let name_ = name.to_string_lossy();
            if name_.starts_with("CARGO_PKG_") || name_.starts_with("CARGO_MANIFEST") {
                cargo.env_remove(&name);
            }
        }
        let status = cargo.status().map_err(|source| CompileError::Io { path: "cargo".into(), source })?;
        if !status.success() {
            return Err(CompileError::Failed(program));
        }
        let path = self.target.join(TARGET).join("release").join(program);
        fs::read(&path).map_err(|source| CompileError::Io { path, source })
    }

    /// Paths that would show, and what stands for them. The last one that fits holds, so the widest come first.
    fn renamed(&self) -> [(&Path, &'static str); 3] {
        [(&self.cargo_home, "/cargo"), (&self.workspace, "/zipnet"), (&self.target, "/zipnet/target")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_options_cannot_carry_are_refused() {
        for odd in ["/a b", "/a\"b", "/a'b", "/a\\b"] {
            let compile = Compile { workspace: odd.into(), target: "/t".into(), cargo_home: "/c".into() };
            assert!(matches!(compile.init(), Err(CompileError::Folder(folder)) if folder == Path::new(odd)));
        }
    }
}
