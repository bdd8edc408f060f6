//! `weir webhook`: tells whoever applies a policy at once what the agent would refuse.

mod review;
mod serve;
mod tls;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use clap::Args;
use weir_gate::{apart::Apart, descriptors};

use crate::gates::Served;

const EXAMPLES: &str = "Examples:
  weir webhook --listen 0.0.0.0:9443 --cert tls.crt --key tls.key
";

/// Validate policies when they are applied to a cluster
///
/// A validating admission webhook (admission.k8s.io/v1). It refuses a policy of which any part
/// would not be in force as written, and names the field; mistakes that the linter finds in the
/// policy itself become warnings. It enforces nothing: a policy that got past it is judged by the
/// agent all the same. It serves POST /validate, GET /livez and GET /readyz over TLS only. A review that
/// takes too much time or memory is ended, and answered with 503: the API server then does what
/// failurePolicy says.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct WebhookCommand {
    /// Where to listen
    #[arg(long, default_value = "0.0.0.0:9443", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Certificate with its chain, PEM; read again when it changes
    #[arg(long, value_name = "FILE", required_unless_present = "review")]
    cert: Option<PathBuf>,
    /// Key of the certificate, PEM
    #[arg(long, value_name = "FILE", required_unless_present = "review")]
    key: Option<PathBuf>,
    /// Seconds that a review may take: fewer than the API server waits (timeoutSeconds)
    #[arg(long, default_value_t = 4, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=29))]
    review_time: u64,
    /// Answer the review on standard input: what this program asks of itself
    #[arg(long, hide = true)]
    review: bool,
    #[command(flatten)]
    gates: Served,
}

impl WebhookCommand {
    /// Serves until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// The certificate or the key cannot be read, or an address cannot be listened on.
    pub fn run(self) -> Result<ExitCode> {
        if self.review {
            return review::answer();
        }
        descriptors::raise()?;
        let (cert, key) = (self.cert.unwrap_or_default(), self.key.unwrap_or_default());
        let identity = tls::Identity::load(cert, key)?;
        let program = std::env::current_exe().context("this program's file")?;
        let arguments = ["webhook", "--review"].map(Into::into).to_vec();
        let time = Duration::from_secs(self.review_time);
        let reviews = Apart::new(program, arguments, review::AT_ONCE, time);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            self.gates.serve().await?;
            serve::serve(self.listen, identity, reviews).await
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
