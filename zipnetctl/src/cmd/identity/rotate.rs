//! `identity rotate`: another identity in the place of the one that is there.

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use zipnet_tdx::seal::{SealError, SealedIdentity};

use super::{Settings, drawn, made};
use crate::{cmd::Context, failure::Failure, out};

pub(super) fn run(args: &Settings, context: &mut Context) -> Result<(), Failure> {
    let keeper = args.keeper()?;
    let file = SealedIdentity::new(&args.sealed_identity);
    // What can be said without a key is said first.
    file.sealed_by(keeper.kind())?;
    let mut provider = keeper.provider(UnwrapErr(SysRng)).map_err(SealError::from)?;
    let (seed, nonce) = drawn();
    let header = file.rotate(&mut *provider, &seed, &nonce)?;
    made(args, &mut *provider, &header, context)?;
    out::note("a zipnetd that runs goes on with the old identity until its restart");
    Ok(())
}
