//! `identity init`: a new sealed identity, never over another one.

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use zipnet_tdx::seal::{SealError, SealedIdentity};

use super::{Settings, drawn, made};
use crate::{cmd::Context, failure::Failure};

pub(super) fn run(args: &Settings, context: &mut Context) -> Result<(), Failure> {
    let keeper = args.keeper()?;
    let file = SealedIdentity::new(&args.sealed_identity);
    // Before a key is made for nothing.
    if !matches!(file.header(), Err(SealError::Missing(_))) {
        return Err(SealError::Exists(args.sealed_identity.clone()).into());
    }
    let mut provider = keeper.new_provider(UnwrapErr(SysRng)).map_err(SealError::from)?;
    let (seed, nonce) = drawn();
    let header = file.init(&mut *provider, &seed, &nonce)?;
    made(args, &mut *provider, &header, context)
}
