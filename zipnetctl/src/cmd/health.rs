//! `health`: for scripts and supervisors.

use serde::Serialize;
use zipnet_proto::Health;

use super::Context;
use crate::failure::Failure;

#[derive(Serialize)]
struct Shown<'a> {
    health: &'a str,
}

pub(crate) async fn run(context: &mut Context) -> Result<(), Failure> {
    let health = context.connect().await?.health().await?;
    let word = match health {
        Health::Serving => "serving",
        Health::NotServing => "not_serving",
    };
    if context.out.json() {
        context.out.object(&Shown { health: word })?;
    } else {
        context.out.line(word)?;
    }
    if health == Health::Serving { Ok(()) } else { Err(Failure::NotServing) }
}
