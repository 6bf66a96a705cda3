//! Where this machine takes its packages from, said again for another suite.

use std::fs;
use std::path::{Path, PathBuf};

/// Another suite from the mirrors of this machine's own one: every source of the running release, its code name replaced.
pub(super) fn of(etc: &Path, suite: &str) -> Result<String, String> {
    let release = fs::read_to_string(etc.join("os-release")).unwrap_or_default();
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    let (Some("debian"), Some(codename)) = (value("ID").as_deref(), value("VERSION_CODENAME")) else {
        return Err(
            "this machine is no Debian with a code name, so there is no mirror to take it from".to_owned()
        );
    };
    let mut texts = vec![fs::read_to_string(etc.join("apt/sources.list")).unwrap_or_default()];
    if let Ok(folder) = fs::read_dir(etc.join("apt/sources.list.d")) {
        let mut paths: Vec<PathBuf> = folder.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        texts.extend(paths.iter().filter_map(|path| fs::read_to_string(path).ok()));
    }
    let found: Vec<Source> = texts.iter().flat_map(|text| Source::all(text)).collect();
    let mut out = String::new();
    for source in &found {
        let suites: Vec<String> = source
            .suites
            .iter()
            .filter_map(|its| Some(format!("{suite}{}", its.strip_prefix(&codename)?)))
            .collect();
        if !suites.is_empty() {
            let suites = suites.join(" ");
            let signed = source.signed_by.as_ref().map_or(String::new(), |by| format!("Signed-By: {by}\n"));
            let head = format!("Types: deb\nURIs: {}\nSuites: {suites}\n", source.uris);
            out.extend([head.as_str(), "Components: main\n", &signed, "\n"]);
        }
    }
    if out.is_empty() {
        Err(format!("no package source of this machine has the suite {codename}"))
    } else {
        Ok(out)
    }
}

struct Source {
    uris: String,
    suites: Vec<String>,
    signed_by: Option<String>,
}

impl Source {
    /// Both forms of apt's sources: one line each, or a paragraph of fields.
    fn all(text: &str) -> Vec<Self> {
        let lines = text.lines().filter_map(Self::line);
        lines.chain(text.split("\n\n").filter_map(Self::paragraph)).collect()
    }

    fn line(line: &str) -> Option<Self> {
        let rest = line.strip_prefix("deb ")?.trim();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
        Some(Self {
            uris: uri.to_owned(),
            suites: vec![suite.to_owned()],
            signed_by: signed_by.map(ToOwned::to_owned),
        })
    }

    fn paragraph(text: &str) -> Option<Self> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if !field("Types:")?.split_whitespace().any(|kind| kind == "deb") || field("Enabled:") == Some("no") {
            return None;
        }
        Some(Self {
            uris: field("URIs:")?.to_owned(),
            suites: field("Suites:")?.split_whitespace().map(ToOwned::to_owned).collect(),
            signed_by: field("Signed-By:").filter(|by| !by.is_empty()).map(ToOwned::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_suite_comes_from_the_same_mirrors() {
        let os = "ID=debian\nVERSION_CODENAME=bookworm\n";
        let both = "Types: deb\nURIs: http://mirror/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\
                    Signed-By: /key\n\nTypes: deb\nURIs: http://other\nSuites: nodistro\n";
        let lines = "# a comment\ndeb [arch=amd64 signed-by=/k] http://security bookworm-security main\ndeb http://x y main\n";
        let etc = tempfile::tempdir().unwrap();
        fs::create_dir_all(etc.path().join("apt/sources.list.d")).unwrap();
        fs::write(etc.path().join("os-release"), os).unwrap();
        fs::write(etc.path().join("apt/sources.list.d/debian.sources"), both).unwrap();
        fs::write(etc.path().join("apt/sources.list"), lines).unwrap();
        assert_eq!(
            of(etc.path(), "trixie").unwrap(),
            "Types: deb\nURIs: http://security\nSuites: trixie-security\nComponents: main\nSigned-By: /k\n\n\
             Types: deb\nURIs: http://mirror/debian\nSuites: trixie trixie-updates\nComponents: main\nSigned-By: /key\n\n"
        );
    }
}
