//! The configuration file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{ConfigError, Surroundings};
use crate::cli::Cli;

/// Where the file is unless the command line names one.
pub const DEFAULT_FILE: &str = "/etc/zipnet/zipnetd.toml";

/// Every setting of the file; the variable of each is `ZIPNET_` and the name in capitals, that of `log` is `RUST_LOG`.
pub const KEYS: [&str; 19] = [
    "instance",
    "universe",
    "bootstrap",
    "message",
    "cadence",
    "metrics",
    "private_metrics",
    "listen",
    "relay",
    "socket",
    "state_dir",
    "sealed_identity",
    "key_broker",
    "insecure_key_file",
    "init_identity",
    "quote_socket",
    "server_policy",
    "server_collateral",
    "log",
];

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The settings of a file, as texts.
pub(super) struct File {
    pub path: PathBuf,
    pub settings: BTreeMap<&'static str, String>,
}

/// The file that the command line names, or the default one if it exists. A dev network is a world of its own: it reads
/// only a file that is named.
pub(super) fn load(cli: &Cli, around: &Surroundings<'_>) -> Result<Option<File>, ConfigError> {
    let (path, must_exist) = match &cli.config {
        Some(path) => (path.clone(), true),
        None if cli.dev => return Ok(None),
        None => (around.default_file.clone(), false),
    };
    let unreadable = |problem: String| ConfigError::File { path: path.clone(), problem };
    let text = match std::fs::metadata(&path) {
        Ok(meta) if meta.len() > MAX_FILE_BYTES => {
            return Err(unreadable(format!("{} bytes, at most {MAX_FILE_BYTES} are allowed", meta.len())));
        }
        Ok(_) => std::fs::read_to_string(&path).map_err(|e| unreadable(e.to_string()))?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !must_exist => return Ok(None),
        Err(e) => return Err(unreadable(e.to_string())),
    };
    let settings = parse(&path, &text)?;
    Ok(Some(File { path, settings }))
}

fn parse(path: &Path, text: &str) -> Result<BTreeMap<&'static str, String>, ConfigError> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        // Where, and not what stands there: a message does not belong into a log.
        let line = e.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        ConfigError::File { path: path.to_owned(), problem: format!("line {line}: {}", e.message()) }
    })?;
    let mut settings = BTreeMap::new();
    for (key, value) in table {
        let Some(known) = KEYS.into_iter().find(|known| *known == key) else {
            let suggestion = closest(&key);
            return Err(ConfigError::UnknownKey { path: path.to_owned(), key, suggestion });
        };
        let text = text_of(&value).ok_or_else(|| ConfigError::Value {
            place: format!("`{known}` in {}", path.display()),
            problem: format!("a {} is not possible here", value.type_str()),
        })?;
        settings.insert(known, text);
    }
    Ok(settings)
}

fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(yes) => Some(yes.to_string()),
        toml::Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            Some(texts?.join(","))
        }
        _ => None,
    }
}

/// The setting that was probably meant.
fn closest(key: &str) -> Option<&'static str> {
    let plain = key.to_lowercase().replace('-', "_");
    let plain = plain.strip_prefix("zipnet_").unwrap_or(&plain);
    let best = KEYS.into_iter().min_by_key(|known| distance(plain, known))?;
    (distance(plain, best) <= best.len().div_ceil(3)).then_some(best)
}

/// Letters to insert, delete or exchange.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let exchange = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = exchange.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_setting_is_suggested_and_nothing_far() {
        assert_eq!(closest("cadance"), Some("cadence"));
        assert_eq!(closest("state-dir"), Some("state_dir"));
        assert_eq!(closest("ZIPNET_INSTANCE"), Some("instance"));
        assert_eq!(closest("bootstraps"), Some("bootstrap"));
        assert_eq!(closest("colour"), None);
    }
}
