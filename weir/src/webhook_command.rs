//! `weir webhook`: tells whoever applies a policy at once what the agent would refuse.

mod serve;
mod tls;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;
use weir_gate::descriptors;

use crate::gates::Served;

const EXAMPLES: &str = "Examples:
  weir webhook --listen 0.0.0.0:9443 --cert tls.crt --key tls.key
";

/// Validate policies when they are applied to a cluster
///
/// A validating admission webhook (admission.k8s.io/v1). It refuses a policy of which any part
/// would not be in force as written, and names the field; mistakes that the linter finds in the
/// policy itself become warnings. It enforces nothing: a policy that got past it is judged by the
/// agent all the same. It serves POST /validate, GET /livez and GET /readyz over TLS only.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct WebhookCommand {
    /// Where to listen
    #[arg(long, default_value = "0.0.0.0:9443", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Certificate with its chain, PEM; read again when it changes
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// Key of the certificate, PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    gates: Served,
}

impl WebhookCommand {
    /// Serves until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// The certificate or the key cannot be read, or an address cannot be listened on.
    pub fn run(self) -> Result<ExitCode> {
        descriptors::raise()?;
        let identity = tls::Identity::load(self.cert, self.key)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            self.gates.serve().await?;
            serve::serve(self.listen, identity).await
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
