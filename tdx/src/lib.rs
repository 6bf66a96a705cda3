//! The guest that runs `zipnetd` under Intel TDX: what a platform will measure of it, and the image itself.

pub mod image;
pub mod measure;
mod read;
