//! docs/cli.md and docs/reference/errors.md, made of the definitions that parse the command line and choose hints; tests compare.

use std::{fmt::Write, path::Path};

use clap::{Arg, Command, CommandFactory};

use zipnet_proto::{CallError, Reason, Refused};

use crate::{cli::Cli, failure::Failure};

const HEAD: &str = "\
# zipnetctl

Generated from the definitions that parse the command line: `UPDATE_DOCS=1 cargo nextest run --release -p zipnetctl docs`
writes it anew. Text for programs to read is printed by `--json`; colours are used in help texts only, and not where
NO_COLOR is set.
";

fn reference() -> String {
    let mut root = Cli::command();
    root.build();
    let mut out = HEAD.to_owned();
    let after = root.get_after_help().map(ToString::to_string).unwrap_or_default();
    write!(out, "\n{}\n\n```text\n{after}\n```\n", about(&root)).unwrap();
    let globals: Vec<&Arg> = root.get_arguments().filter(|arg| arg.is_global_set()).collect();
    out.push_str("\nOptions of every verb:\n\n");
    for arg in globals {
        out.push_str(&item(arg));
    }
    for verb in root.get_subcommands() {
        section(&mut out, verb, "zipnetctl", 2);
    }
    out
}

fn section(out: &mut String, command: &Command, parent: &str, depth: usize) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let name = format!("{parent} {}", command.get_name());
    write!(out, "\n{} {name}\n\n{}\n", "#".repeat(depth), about(command)).unwrap();
    let own = |arg: &&Arg| !arg.is_global_set() && !matches!(arg.get_id().as_str(), "help" | "version");
    let args: Vec<&Arg> = command.get_arguments().filter(own).collect();
    if !args.is_empty() {
        out.push('\n');
        for arg in args {
            out.push_str(&item(arg));
        }
    }
    for inner in command.get_subcommands() {
        section(out, inner, &name, depth + 1);
    }
}

fn about(command: &Command) -> String {
    let long = command.get_long_about().or(command.get_about());
    long.map(ToString::to_string).unwrap_or_default()
}

/// `- \`-f, --follow\`: …`
fn item(arg: &Arg) -> String {
    let mut help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let choices: Vec<String> = arg.get_possible_values().iter().map(|v| v.get_name().to_owned()).collect();
    if !choices.is_empty() && arg.get_action().takes_values() {
        write!(help, "{} One of {}", if help.ends_with('.') { "" } else { "." }, choices.join(", ")).unwrap();
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        write!(help, " [default: {}]", defaults.join(", ")).unwrap();
    }
    if let Some(env) = arg.get_env() {
        write!(help, " [env: {}]", env.to_string_lossy()).unwrap();
    }
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let value = arg.get_value_names().map(|names| names.join(" ")).unwrap_or_default();
    let name = match arg.get_long() {
        Some(long) if arg.get_action().takes_values() => format!("{short}--{long} <{value}>"),
        Some(long) => format!("{short}--{long}"),
        None if arg.is_required_set() => format!("<{value}>"),
        None => format!("[{value}]"),
    };
    format!("- `{name}`: {}\n", help.replace("\n\n", " "))
}

const ERRORS_HEAD: &str = "\
# Error reasons

Generated from the list in `proto/src/reason.rs` and from what zipnetctl makes of it: `UPDATE_DOCS=1 cargo nextest run --release
-p zipnetctl docs` writes it anew. A refusal of the daemon carries one of these names in the metadata key `zipnet-reason`, and, where
waiting helps, a time in `zipnet-retry-after-ms`; what a program should do is said in [For authors of agents](../agents.md#errors).

What carries no reason was not said by a daemon of ours: it is gone or restarting (`UNAVAILABLE`), or it did not answer
(`DEADLINE_EXCEEDED`); zipnetctl then ends with code 3.
";

/// What zipnetctl makes of a refusal.
fn errors() -> String {
    let mut out = ERRORS_HEAD.to_owned();
    out.push_str(
        "\n| reason | gRPC code | exit code | meaning | what helps |\n| --- | --- | --- | --- | --- |\n",
    );
    for &reason in Reason::ALL {
        let refused = Refused { reason, message: String::new(), retry_after: None };
        let failure = Failure::Call(CallError::Refused(refused));
        let hint = failure.hint().expect("every refusal has a hint");
        let (code, exit, meaning) = (reason.code(), failure.exit() as u8, reason.meaning());
        writeln!(out, "| `{reason}` | `{code:?}` | {exit} | {meaning} | {hint} |").unwrap();
    }
    out
}

fn compare(page: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, now).unwrap();
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == now, "docs/{page} differs from the command line: run this test with UPDATE_DOCS=1");
}

#[test]
fn the_reference_in_docs_is_what_the_definitions_say() {
    compare("cli.md", &reference());
}

#[test]
fn the_error_reasons_in_docs_are_those_of_the_list() {
    compare("reference/errors.md", &errors());
}
