//! Running the binary and comparing what it says.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_zipnetctl");

/// What a run left behind; folder names of the test are replaced by `[DIR]`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// `zipnetctl` with these arguments and an empty environment.
pub(crate) fn ctl(args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).env_clear();
    command
}

/// The same, talking to the socket.
pub(crate) fn ctl_at(socket: &Path, args: &[&str]) -> Command {
    let mut command = ctl(args);
    command.arg("--socket").arg(socket);
    command
}

/// Runs with nothing on standard input.
pub(crate) fn run(mut command: Command, dir: &Path) -> Ran {
    ran(&command.output().unwrap(), dir)
}

/// Runs with `input` on standard input.
pub(crate) fn run_with(mut command: Command, dir: &Path, input: &[u8]) -> Ran {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The child may stop reading early.
    let _ = child.stdin.take().unwrap().write_all(input);
    ran(&child.wait_with_output().unwrap(), dir)
}

pub(crate) fn ran(output: &std::process::Output, dir: &Path) -> Ran {
    let text = |bytes: &[u8]| str::from_utf8(bytes).unwrap().replace(dir.to_str().unwrap(), "[DIR]");
    Ran { code: output.status.code().unwrap(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// The command as a user whom permissions bind: root is turned into nobody, with a copy of the binary it can reach.
pub(crate) fn unprivileged(command: Command, dir: &Path) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return command;
    }
    let copy = dir.join("zipnetctl");
    std::fs::copy(BINARY, &copy).unwrap();
    let mut other = Command::new(copy);
    other.args(command.get_args()).env_clear().uid(65_534).gid(65_534);
    other
}

/// Asserts all three, showing the text and not its debug form.
#[track_caller]
pub(crate) fn expect(ran: &Ran, code: i32, stdout: &str, stderr: &str) {
    assert!(
        ran.code == code && ran.stdout == stdout && ran.stderr == stderr,
        "code {} (expected {code})\n--- stdout\n{}--- expected\n{stdout}--- stderr\n{}--- expected\n{stderr}---",
        ran.code,
        ran.stdout,
        ran.stderr,
    );
}

/// Compares with `snapshots/NAME.txt`; UPDATE_SNAPSHOTS=1 writes it, and `git diff` shows what changed.
#[track_caller]
pub(crate) fn snapshot(name: &str, ran: &Ran) {
    let text = format!("exit {}\n--- stdout\n{}--- stderr\n{}", ran.code, ran.stdout, ran.stderr);
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/snapshots").join(name).with_extension("txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{}:\n{text}\nis not what was expected:\n{expected}", path.display());
}
