//! The built-in workloads: servers that run in a pod's netns and answer as the labs show.

mod dns;
mod flask;
mod http;
mod httpbin;
pub mod ingress;
mod join;
mod listen;
mod mysql;
mod pages;
pub mod sctp;
mod udp;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail};
use tokio::task::JoinSet;

/// What a workload process is told on its command line.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `httpbin`, `nginx`, `ingress`, `flask`, `mysql`, `agnhost`, `echo`, `dns`, or `join`,
    /// which joins standard input and output to a port.
    pub kind: String,
    pub tcp: Vec<u16>,
    pub udp: Vec<u16>,
    pub sctp: Vec<u16>,
    /// `NS/NAME`.
    pub pod: String,
    /// The names that the DNS answers.
    pub zone: PathBuf,
    /// The container's environment.
    pub env: BTreeMap<String, String>,
}

/// Serves until it is ended.
pub fn run(options: Options) -> Result<()> {
    if options.kind == "join" {
        return join::run(&options);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(Rc::new(options)))
}

async fn serve(options: Rc<Options>) -> Result<()> {
    let mut tasks = JoinSet::new();
    if options.kind == "dns" {
        tasks.spawn_local(dns::serve(options));
        return wait(tasks).await;
    }
    for port in &options.tcp {
        let listener = listen::tcp(*port)?;
        match options.kind.as_str() {
            "mysql" => tasks.spawn_local(mysql::serve(listener)),
            _ => {
                let site = http::Site::of(&options)?;
                tasks.spawn_local(http::serve(listener, Rc::new(site)))
            }
        };
    }
    for port in &options.udp {
        let socket = listen::udp(*port)?;
        tasks.spawn_local(udp::echo(socket));
    }
    if !options.sctp.is_empty() {
        tasks.spawn_local(sctp::serve(options.sctp.clone()));
    }
    wait(tasks).await
}

/// The first server that ends ends the workload.
async fn wait(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    match tasks.join_next().await {
        Some(ended) => ended.context("a server panicked")?,
        None => bail!("no port to listen on"),
    }
}
