//! Whose flows: an instance's, a lab's, a cluster's, another machine's, or those of a record.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use weir_observe::relay::ClientTls;

use super::source::Source;
use crate::{
    ask::{INSTANCE, lab_of_environment},
    kubernetes::{self, Cluster},
};

/// Whose flows.
#[derive(Debug, Args)]
pub struct Place {
    #[command(flatten)]
    live: Live,
    /// A record of flows (-o jsonpb); `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["instance", "lab", "server", "remote", "context", "kubeconfig", "weir_namespace"])]
    input_file: Option<PathBuf>,
}

/// Observers that run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Whose flows")]
pub struct Live {
    /// Instance on this machine [default: weir]
    #[arg(long, alias = "name", value_name = "NAME", conflicts_with_all = ["lab", "server", "remote", "context", "kubeconfig", "weir_namespace"])]
    instance: Option<String>,
    /// A lab's flows, of all its nodes [env: WEIR_LAB, where nothing else says whose]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["server", "remote", "context", "kubeconfig", "weir_namespace"])]
    lab: Option<String>,
    /// An observer: unix:///PATH or HOST:PORT [env: HUBBLE_SERVER, where nothing else says whose]
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["remote", "context", "kubeconfig", "weir_namespace"])]
    server: Option<String>,
    /// Authority that the server's certificate is of, PEM
    #[arg(long, value_name = "FILE", alias = "tls-ca-cert-files")]
    tls_ca_cert_file: Option<PathBuf>,
    /// Certificate for the server, PEM
    #[arg(long, value_name = "FILE", requires = "tls_client_key_file")]
    tls_client_cert_file: Option<PathBuf>,
    /// Key of that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "tls_ca_cert_file")]
    tls_client_key_file: Option<PathBuf>,
    /// Name that the server's certificate is for
    #[arg(long, value_name = "NAME", requires = "tls_ca_cert_file")]
    tls_server_name: Option<String>,
    #[command(flatten)]
    cluster: Cluster,
}

// === impl Place ===

impl Place {
    /// In a few words.
    pub fn described(&self) -> String {
        match &self.input_file {
            Some(file) => file.display().to_string(),
            None => self.live.described(),
        }
    }

    /// The lab that is meant, where one is.
    pub fn lab(&self) -> Option<String> {
        let live = self.input_file.is_none();
        live.then(|| self.live.lab()).flatten()
    }

    /// The same, with the namespace that Weir is in by a command's own `-n`.
    pub fn or_in(mut self, namespace: Option<String>) -> Self {
        self.live.cluster = self.live.cluster.or_in(namespace);
        self
    }

    pub fn source(&self) -> Result<Source> {
        match &self.input_file {
            Some(file) => Ok(Source::File(file.clone())),
            None => self.live.source(),
        }
    }
}

// === impl Live ===

impl Live {
    fn described(&self) -> String {
        if self.is_remote() {
            return self.cluster.described();
        }
        match (self.server(), self.lab(), &self.instance) {
            (Some(server), ..) => server,
            (None, Some(lab), _) => format!("lab {lab}"),
            (None, None, name) => format!("instance {}", name.as_deref().unwrap_or(INSTANCE)),
        }
    }

    pub fn source(&self) -> Result<Source> {
        if self.is_remote() {
            return Ok(Source::Cluster(self.cluster.clone()));
        }
        if let Some(server) = self.server() {
            return Source::server(&server, self.tls()?);
        }
        if self.tls_ca_cert_file.is_some() {
            bail!("--tls-ca-cert-file is about a server: --server says which");
        }
        let sockets = match self.lab() {
            Some(name) => weir_lab::Lab::open(&name)?.observers()?,
            None => {
                let name = self.instance.as_deref().unwrap_or(INSTANCE);
                vec![weir_link::Instance::new(name)?.observer_socket()]
            }
        };
        Ok(Source::sockets(sockets))
    }

    fn is_remote(&self) -> bool {
        let said = self.instance.is_some() || self.lab.is_some() || self.server.is_some();
        self.cluster.said() || kubernetes::of_kubectl() && !said
    }

    fn lab(&self) -> Option<String> {
        let said = self.instance.is_some() || self.server.is_some();
        let from_environment = || lab_of_environment().filter(|_| !said);
        self.lab.clone().or_else(from_environment)
    }

    /// The environment speaks where the command line does not.
    #[expect(
        clippy::disallowed_methods,
        reason = "Hubble's client reads it, and clap takes what it reads there for a flag"
    )]
    fn server(&self) -> Option<String> {
        let from_environment = || {
            let said = self.instance.is_some() || self.lab().is_some();
            let server = std::env::var("HUBBLE_SERVER").ok();
            server.filter(|server| !said && !server.is_empty())
        };
        self.server.clone().or_else(from_environment)
    }

    fn tls(&self) -> Result<Option<ClientTls>> {
        let Some(authority) = self.tls_ca_cert_file.clone() else {
            return Ok(None);
        };
        // Hubble's own client takes a list.
        if authority.to_string_lossy().contains(',') {
            bail!(
                "--tls-ca-cert-file is one file: put the authorities into it one after the other"
            );
        }
        let certificate = self.tls_client_cert_file.clone();
        Ok(Some(ClientTls {
            authority,
            identity: certificate.zip(self.tls_client_key_file.clone()),
            server_name: self.tls_server_name.clone(),
        }))
    }
}
