//! docs/configuration.md is what the definition of zipnetd's command line says.

use clap::{Arg, CommandFactory};
use zipnetd::cli::Cli;
use zipnetd::config::{KEYS, variable};

use super::reference::{built, flag};
use super::{part, table};

/// What a flag's help says, and what stands in its brackets: the variable and the default.
fn help(arg: &Arg) -> (String, Option<String>, Option<String>) {
    let text = arg.get_help().unwrap().to_string();
    let Some((meaning, rest)) = text.rsplit_once(" [") else { return (text, None, None) };
    let inner = rest.strip_suffix(']').unwrap_or_else(|| panic!("`{text}` ends with its bracket"));
    match inner.split_once("default: ") {
        None => (meaning.to_owned(), Some(inner.to_owned()), None),
        Some((variable, default)) => {
            let variable = variable.trim_end_matches("; ");
            let variable = (!variable.is_empty()).then(|| variable.to_owned());
            (meaning.to_owned(), variable, Some(default.to_owned()))
        }
    }
}

#[test]
fn settings_flags_and_exit_codes_are_those_of_the_command_line() {
    let command = built(Cli::command());
    let arg = |key: &str| command.get_arguments().find(|arg| arg.get_id() == key);
    let settings = KEYS.map(|key| {
        let arg = arg(key).unwrap_or_else(|| panic!("{key} has no flag"));
        let (meaning, named, default) = help(arg);
        assert_eq!(named.as_deref(), Some(variable(key).as_str()), "the help of --{key} names its variable");
        let default = default.unwrap_or_else(|| "none".to_owned());
        vec![flag(arg), format!("`{}`", variable(key)), format!("`{key}`"), default, meaning]
    });
    let head = ["flag", "variable", "key in the file", "default", "meaning"];
    part("docs/configuration.md", "settings", &table(&head, settings));

    let others = command.get_arguments().filter(|arg| !KEYS.contains(&arg.get_id().as_str()));
    let others = others.map(|arg| {
        let (meaning, variable, default) = help(arg);
        assert_eq!(variable, None, "--{} has a variable and no key", arg.get_id());
        let default = default.map_or(String::new(), |default| format!(" (default: {default})"));
        vec![flag(arg), meaning + &default]
    });
    part("docs/configuration.md", "other flags", &table(&["flag", "meaning"], others));

    let help = command.get_after_help().unwrap().to_string();
    let codes = help.split_once("Exit codes: ").unwrap().1.trim_end_matches('.');
    let rows = codes.split("; ").map(|code| {
        let at = code
            .find(|c: char| c.is_alphabetic() && !code.starts_with("128"))
            .unwrap_or_else(|| code.find(':').unwrap() + 2);
        let (number, meaning) = code.split_at(at);
        vec![number.trim_end_matches([' ', ':']).to_owned(), meaning.to_owned()]
    });
    part("docs/configuration.md", "exit codes", &table(&["code", "meaning"], rows));
}
