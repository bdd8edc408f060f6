//! The flag of commands that serve and have no other metrics: who came to their servers.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use clap::Args;

/// Where to tell of the servers' connections.
#[derive(Debug, Args)]
pub struct Served {
    /// Serve /metrics on this address: the servers' connections, and those that they did not take
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
}

impl Served {
    /// Serves in the background, if it is asked for.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn serve(&self) -> Result<()> {
        if let Some(address) = self.metrics {
            let address = weir_gate::metrics::serve(address)
                .await
                .with_context(|| format!("cannot serve metrics on {address}"))?;
            tracing::info!(%address, "metrics are served");
        }
        Ok(())
    }
}
