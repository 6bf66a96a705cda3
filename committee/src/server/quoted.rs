//! This server's own quote, for deployments whose servers show what they run. One for each of its runs: it is over the keys and the boot
//! nonce, which stay as they are.

use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tracing::{error, info};
use zipnet_dcnet::ids::{Bundle, DeploymentId};
use zipnet_tdx::quote::{QuoteSource, ReportData, ServerKeys};

use super::Shared;

/// See the module.
pub(crate) struct Quotes {
    source: Arc<dyn QuoteSource>,
    made: OnceCell<Vec<u8>>,
}

impl Quotes {
    pub(super) fn new(source: Arc<dyn QuoteSource>) -> Self {
        Self { source, made: OnceCell::new() }
    }

    /// The quote. The first one to ask has it made, the others wait; after a failure the next one tries again.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn of(
        &self,
        deployment: DeploymentId,
        bundle: &Bundle,
        boot: [u8; 32],
    ) -> Result<Vec<u8>, String> {
        let data = ReportData::Server(ServerKeys { deployment, bundle: bundle.client_id().0, boot });
        let make = || async {
            let source = self.source.clone();
            let made = spawn_blocking(move || source.quote(&data)).await;
            made.map_err(|_| "making it broke off".to_owned())?.map_err(|error| error.to_string())
        };
        self.made.get_or_try_init(make).await.cloned()
    }
}

/// Makes it at the start: clients wait less, and the operator hears why there is none.
pub(super) async fn first(shared: Arc<Shared>) {
    match of(&shared).await {
        Ok((_, quote)) => info!(bytes = quote.len(), "this server shows a TDX quote"),
        Err(error) => error!("no client can register: this server has no TDX quote to show: {error}"),
    }
}

/// This server's bundle and its quote.
///
/// # Errors
/// Why there is none.
pub(super) async fn of(shared: &Shared) -> Result<(Bundle, Vec<u8>), String> {
    let (bundle, boot) = {
        let core = shared.core();
        (core.bundle(), core.boot())
    };
    let quote = shared.quotes.of(shared.descriptor.id(), &bundle, boot).await?;
    Ok((bundle, quote))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicU32, Ordering};

    use zipnet_dcnet::ids::PeerId;
    use zipnet_tdx::quote::SourceError;

    use super::*;

    /// Busy the first time.
    #[derive(Default)]
    struct Busy(AtomicU32);

    impl QuoteSource for Busy {
        fn quote(&self, data: &ReportData) -> Result<Vec<u8>, SourceError> {
            if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
                return Err(SourceError::Busy);
            }
            Ok(data.bytes().to_vec())
        }
    }

    #[tokio::test]
    async fn it_is_made_once_and_tried_again_after_a_failure() {
        let source = Arc::new(Busy::default());
        let quotes = Quotes::new(source.clone());
        let bundle = Bundle { peer_id: PeerId([1; 32]), identity_pk: [2; 32], link_pk: [3; 32] };
        let made = || quotes.of(DeploymentId([4; 32]), &bundle, [5; 32]);
        assert_eq!(made().await, Err(SourceError::Busy.to_string()));
        let keys =
            ServerKeys { deployment: DeploymentId([4; 32]), bundle: bundle.client_id().0, boot: [5; 32] };
        let expected = ReportData::Server(keys).bytes().to_vec();
        assert_eq!(tokio::join!(made(), made()), (Ok(expected.clone()), Ok(expected)));
        assert_eq!(source.0.load(Ordering::SeqCst), 2);
    }
}
