//! The image: the launcher without hardware, and the same bytes from two folders.
#![allow(clippy::unwrap_used)]

#[path = "image/launcher.rs"]
mod launcher;
#[path = "measure/made.rs"]
#[allow(dead_code, reason = "shared with the tests of the predictor")]
mod made;
#[path = "image/options.rs"]
mod options;
#[path = "image/same.rs"]
mod same;
