//! `version`: of both sides. Answers without a daemon, too.

use serde::Serialize;

use super::Context;
use crate::{failure::Failure, text};

#[derive(Serialize)]
struct Shown<'a> {
    zipnetctl: &'a str,
    zipnetd: Option<&'a str>,
}

pub(crate) async fn run(context: &mut Context) -> Result<(), Failure> {
    let ours = env!("CARGO_PKG_VERSION");
    let daemon = async {
        let mut client = context.connect().await?;
        let version = client.status().await?.version;
        Ok::<_, Failure>((version, client.path().display().to_string()))
    };
    let daemon = daemon.await;
    if context.out.json() {
        let zipnetd = daemon.as_ref().ok().map(|(version, _)| version.as_str());
        return context.out.object(&Shown { zipnetctl: ours, zipnetd });
    }
    let theirs = match daemon {
        Ok((version, path)) => format!("{} at {}", text::tame(&version), text::tame(&path)),
        // Which version runs is the question; that none does is an answer.
        Err(failure) => text::tame(&failure.to_string()),
    };
    context.out.table(&[("zipnetctl", ours.to_owned()), ("zipnetd", theirs)])
}
