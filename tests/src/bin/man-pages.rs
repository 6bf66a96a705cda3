//! Writes the manual pages of the daemons into a folder: zipnetd.8, zipnet-server.8, zipnet-aggregator.8. Those of
//! zipnetctl are written by `zipnetctl man`.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use zipnet_tests::man::{PAGES, page};

fn main() -> anyhow::Result<()> {
    let dir = PathBuf::from(std::env::args_os().nth(1).context("usage: man-pages FOLDER")?);
    for name in PAGES {
        let file = dir.join(format!("{name}.8"));
        let text = page(name).with_context(|| format!("there is no page {name}"))?;
        fs::write(&file, text).with_context(|| file.display().to_string())?;
    }
    Ok(())
}
