//! `port-forward`: connections to ports of this machine go to a pod's own loopback.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::Value;

use super::{Scope, select, table};
use crate::lab::{Inside, Lab};

const EXAMPLES: &str = "Examples:
  weir lab port-forward svc/httpbin 8080:8000
  weir lab port-forward deploy/web 8080:80 9090
";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PortForward {
    #[command(flatten)]
    scope: Scope,
    /// A pod, deploy/NAME or svc/NAME
    of: String,
    /// HERE:THERE, or one port for both; :THERE takes a free one
    #[arg(required = true)]
    ports: Vec<String>,
}

// === impl PortForward ===

impl PortForward {
    /// Goes on until it is ended.
    pub fn run(self) -> Result<()> {
        let lab = self.scope.open()?;
        let pairs: Vec<(u16, u16)> = self
            .ports
            .iter()
            .map(|text| pair(text))
            .collect::<Result<_>>()?;
        let mut serving = Vec::new();
        for (here, asked) in pairs {
            let (pod, there) = self.target(&lab, asked)?;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, here))
                .with_context(|| format!("cannot listen on 127.0.0.1:{here}"))?;
            println!("Forwarding from {} -> {there}", listener.local_addr()?);
            serving.push((listener, pod, there));
        }
        std::thread::scope(|scope| {
            for (listener, pod, there) in &serving {
                let (lab, namespace) = (&lab, self.scope.namespace.as_str());
                scope.spawn(move || serve(lab, listener, pod, namespace, *there));
            }
        });
        Ok(())
    }

    /// The pod that is meant, and the port of it: a service's port leads to its target.
    fn target(&self, lab: &Lab, port: u16) -> Result<(String, u16)> {
        let service = self
            .of
            .split_once('/')
            .filter(|(kind, _)| select::known(kind).is_ok_and(|kind| kind == "Service"));
        let Some((_, name)) = service else {
            return Ok((
                lab.pod_in(&self.of, &self.scope.namespace)?
                    .id()
                    .to_string(),
                port,
            ));
        };
        let objects = lab.view()?;
        let namespace = self.scope.namespace.as_str();
        let asked = select::Asked {
            kind: "Service".into(),
            names: vec![name.to_owned()],
        };
        let service = select::find(&objects, &asked, Some(namespace))?;
        let own = |port_of: &&Value| port_of["port"] == port;
        let ports = service
            .iter()
            .flat_map(|service| service["spec"]["ports"].as_array().into_iter().flatten());
        let found = ports
            .clone()
            .find(own)
            .with_context(|| format!("service {name} has no port {port}"))?;
        let slices = objects.iter().filter(|slice| {
            slice["kind"] == "EndpointSlice"
                && slice["metadata"]["namespace"] == namespace
                && slice["metadata"]["labels"]["kubernetes.io/service-name"] == name
        });
        for slice in slices {
            let pod = table::text(slice, "/endpoints/0/targetRef/name");
            let named = slice["ports"].as_array().into_iter().flatten();
            let mut named = named.filter(|of| {
                of["name"].as_str().unwrap_or_default()
                    == found["name"].as_str().unwrap_or_default()
            });
            if let Some(number) = named
                .find_map(|of| of["port"].as_u64())
                .and_then(|n| u16::try_from(n).ok())
                && !pod.is_empty()
            {
                return Ok((format!("{namespace}/{pod}"), number));
            }
        }
        bail!("service {name} has no pod that is ready")
    }
}

fn pair(text: &str) -> Result<(u16, u16)> {
    let number = |word: &str| {
        let port = word.parse().ok();
        port.with_context(|| format!("{text:?} is not HERE:THERE, two ports"))
    };
    match text.split_once(':') {
        Some(("", there)) => Ok((0, number(there)?)),
        Some((here, there)) => Ok((number(here)?, number(there)?)),
        None => Ok((number(text)?, number(text)?)),
    }
}

/// Each connection has a process of its own in the pod, which ends with it.
fn serve(lab: &Lab, listener: &TcpListener, pod: &str, namespace: &str, port: u16) {
    let mut running: Vec<Child> = Vec::new();
    for stream in listener.incoming() {
        running.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        match stream
            .map_err(Into::into)
            .and_then(|stream| join(lab, stream, pod, namespace, port))
        {
            Ok(child) => running.push(child),
            Err(error) => eprintln!("cannot forward to port {port} of {pod}: {error:#}"),
        }
    }
}

fn join(lab: &Lab, stream: TcpStream, pod: &str, namespace: &str, port: u16) -> Result<Child> {
    let port = port.to_string();
    let program = lab.program()?;
    let program = program.to_str().context("a path that is no text")?;
    let words = [
        program, "lab", "workload", "join", "--pod", pod, "--tcp", &port,
    ];
    let mut command: Command = lab.command_in(&Inside::machine(pod, namespace), &words)?;
    let input: OwnedFd = stream.try_clone().context("a connection")?.into();
    command
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(OwnedFd::from(stream)))
        .spawn()
        .context("cannot enter the pod")
}
