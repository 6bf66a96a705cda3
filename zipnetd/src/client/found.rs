//! What the search found, or not.

use tracing::{error, info, warn};

use super::ClientError;
use super::find::{Find, NotFound};
use super::runner::Runner;
use crate::failure::{CONNECT_TIMEOUT_HINT, OTHER_DEPLOYMENT_HINT};

impl Runner {
    /// Takes what the search tells.
    pub(super) async fn found(&mut self, find: Find) -> Result<(), ClientError> {
        match find {
            Find::Up => {
                if self.config.public {
                    info!(
                        network = self.config.universe,
                        instance = self.config.instance.name,
                        peer = %self.config.identity.peer_id().short(),
                        role = "client",
                        "zipnet up"
                    );
                }
            }
            Find::Nothing(why) => self.missed(why),
            Find::Links(links) => {
                if let Some(live) = &self.live {
                    for link in links {
                        live.hands.peers.learn(link);
                    }
                }
            }
            Find::Found(answer) => {
                self.misses = 0;
                self.connection.missing = None;
                if self.memory.descriptor.is_none() {
                    self.config.fits(&answer.descriptor)?;
                    self.memory.remember(&answer.descriptor).await?;
                    if self.config.public && self.config.instance.pin.is_none() {
                        warn!(
                            deployment = %answer.descriptor.id(),
                            "unpinned: this deployment was taken on the bootstrap peer's word, and is remembered"
                        );
                    }
                }
                if self.live.is_none() {
                    self.begin(answer.descriptor).await?;
                }
                if let Some(live) = &self.live {
                    for link in answer.links {
                        live.hands.peers.learn(link);
                    }
                }
            }
        }
        Ok(())
    }

    /// The instance was not found. Told at the 1st, 2nd, 4th, 8th, … time; the search goes on.
    fn missed(&mut self, why: NotFound) {
        self.misses = self.misses.saturating_add(1);
        if self.config.public && self.misses.is_power_of_two() && self.connection.since.is_none() {
            let attempts = self.misses;
            match &why {
                NotFound::OtherDeployment { .. } => error!(attempts, hint = OTHER_DEPLOYMENT_HINT, "{why}"),
                NotFound::Nobody { .. } => {
                    error!(attempts, hint = CONNECT_TIMEOUT_HINT, "ConnectTimeout: {why}; trying again");
                }
                NotFound::Universe(_) => error!(attempts, "ConnectTimeout: {why}; trying again"),
            }
        }
        self.connection.missing = Some(why);
    }
}
