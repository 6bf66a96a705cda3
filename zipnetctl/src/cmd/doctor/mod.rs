//! `doctor`: what is wrong, and the command that mends it. Safe to paste in public, so nothing that the daemon says in
//! free words is repeated here, and no error of ours either: both may name paths, users and ids.

mod daemon;
mod socket;

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::Context;
use crate::failure::Failure;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warning,
    Problem,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One line.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Check {
    #[serde(rename = "check")]
    name: &'static str,
    level: Level,
    text: String,
    /// What to do about it; none for what is fine.
    mend: Option<String>,
}

impl Check {
    fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, level: Level::Ok, text: text.into(), mend: None }
    }

    fn warning(name: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, level: Level::Warning, text: text.into(), mend: Some(mend.into()) }
    }

    fn problem(name: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, level: Level::Problem, text: text.into(), mend: Some(mend.into()) }
    }

    fn line(&self) -> String {
        let mend = self.mend.as_ref().map(|mend| format!("; {mend}")).unwrap_or_default();
        format!("{:7}  {:11}  {}{mend}", self.level.word(), self.name, self.text)
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    ok: bool,
    checks: &'a [Check],
}

pub(crate) async fn run(context: &mut Context) -> Result<(), Failure> {
    let mut checks = Vec::new();
    match context.connect().await {
        Err(Failure::Connect(error)) => {
            checks.extend([socket::unreachable(&error), daemon::our_version(), daemon::our_clock(now_ms())]);
        }
        Err(other) => return Err(other),
        Ok(mut client) => {
            checks.extend(socket::reachable(client.path()));
            let answers = (client.health().await, client.status().await);
            checks.extend(match &answers {
                (Ok(health), Ok(status)) => daemon::all(*health, status, now_ms()),
                (Err(error), _) | (_, Err(error)) => vec![daemon::fails(error)],
            });
        }
    }
    let problems = checks.iter().filter(|check| check.level == Level::Problem).count();
    if context.out.json() {
        context.out.object(&Shown { ok: problems == 0, checks: &checks })?;
    } else {
        for check in &checks {
            context.out.line(&check.line())?;
        }
    }
    if problems == 0 { Ok(()) } else { Err(Failure::Unwell { problems, checks: checks.len() }) }
}

/// Of this host's clock, in milliseconds since the Unix epoch; 0 before it.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
