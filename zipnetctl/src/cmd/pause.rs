//! `pause` and `resume`: cover and nothing else, for a while.

use serde::Serialize;

use super::Context;
use crate::failure::Failure;

#[derive(Serialize)]
struct Shown {
    paused: bool,
    was: bool,
}

pub(crate) async fn run(paused: bool, context: &mut Context) -> Result<(), Failure> {
    let was = context.connect().await?.set_paused(paused).await?;
    if context.out.json() {
        return context.out.object(&Shown { paused, was });
    }
    context.out.line(match (paused, was) {
        (true, false) => "paused: only cover leaves until `zipnetctl resume`, or a restart",
        (true, true) => "it was paused already",
        (false, true) => "resumed",
        (false, false) => "it was not paused",
    })
}
