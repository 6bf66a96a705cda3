//! The predictor: known values of the pinned firmware, and what is refused.
#![allow(clippy::unwrap_used)]

#[path = "measure/damage.rs"]
mod damage;
#[path = "measure/golden.rs"]
mod golden;
#[path = "measure/made.rs"]
mod made;

use std::path::{Path, PathBuf};

use zipnet_tdx::image::inputs::Inputs;

/// The folder with the pinned packages, in the target folder. A package that cannot be had fails the test, and says what to do.
fn inputs() -> Inputs {
    let target: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("tdx-inputs");
    Inputs::new(&target, Path::new("/etc"))
}
