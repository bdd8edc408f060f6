//! The relay's own certificate, and whom it trusts.

use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Files in PEM, read anew for each connection, so that renewed ones are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// The authority of the observers.
    pub authority: PathBuf,
    /// The relay's certificate and its key, for observers that want one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that the observers' certificates are for; `None`: the host of the address.
    pub server_name: Option<String>,
}

impl ClientTls {
    /// What a connection needs.
    ///
    /// # Errors
    /// Where a file cannot be read, with its name.
    pub fn config(&self) -> Result<ClientTlsConfig, String> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let authority = Certificate::from_pem(read(&self.authority)?);
        let mut config = ClientTlsConfig::new().ca_certificate(authority);
        if let Some((certificate, key)) = &self.identity {
            config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(match &self.server_name {
            Some(name) => config.domain_name(name),
            None => config,
        })
    }
}
