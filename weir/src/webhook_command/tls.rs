//! The certificate of the webhook, which changes while it runs.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// A certificate and its key, in files that somebody renews.
#[derive(Debug)]
pub struct Identity {
    files: [PathBuf; 2],
    now: Mutex<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    /// When the files changed last; `None` where they could not be looked at.
    changed: [Option<SystemTime>; 2],
}

impl Identity {
    /// Reads both files.
    ///
    /// # Errors
    /// One of them cannot be read, is no PEM, or they do not belong together.
    pub fn load(cert: PathBuf, key: PathBuf) -> Result<Self> {
        let files = [cert, key];
        let changed = changed(&files);
        let config = Arc::new(read(&files)?);
        Ok(Self {
            files,
            now: Mutex::new(Loaded { config, changed }),
        })
    }

    /// What the next connection is served with. Where new files cannot be used the old ones stay.
    pub fn current(&self) -> Arc<ServerConfig> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = changed(&self.files);
        if changed != now.changed {
            now.changed = changed;
            match read(&self.files) {
                Ok(config) => {
                    tracing::info!("the certificate has changed");
                    now.config = Arc::new(config);
                }
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the new certificate is not used"
                    );
                }
            }
        }
        Arc::clone(&now.config)
    }
}

fn changed(files: &[PathBuf; 2]) -> [Option<SystemTime>; 2] {
    // Follows links: the files of a Secret are exchanged by exchanging a link.
    let when = |path: &PathBuf| fs::metadata(path).and_then(|found| found.modified()).ok();
    [when(&files[0]), when(&files[1])]
}

fn read([cert, key]: &[PathBuf; 2]) -> Result<ServerConfig> {
    let of = |what: &str, path: &Path| format!("the {what} {}", path.display());
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| of("certificate", cert))?;
    anyhow::ensure!(
        !chain.is_empty(),
        "{}: no certificate in it",
        of("certificate", cert)
    );
    let secret = PrivateKeyDer::from_pem_file(key).with_context(|| of("key", key))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .with_context(|| format!("{} and {}", of("certificate", cert), of("key", key)))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
