//! The nine pods and their services, in labs that tests take one after the other.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

use serde_json::{Value, json};
use weir_lab::{Applied, Lab, Topology, UpOptions};

use crate::probe::{self, Probe, Protocol};
use crate::table::{NAMES, PODS, Table, name};

/// Labs that no test holds at the moment.
static FREE: Mutex<Vec<(Topology, String, Lab)>> = Mutex::new(Vec::new());
/// Every lab that was made: statics are not dropped when the process ends.
static MADE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A lab with nine pods, and no policy when a test takes it.
pub struct Cluster {
    /// `None` only while it is given back.
    lab: Option<Lab>,
    name: String,
    topology: Topology,
    /// IPv4 and IPv6 of pods and services.
    pods: Vec<Server>,
}

struct Server {
    netns: String,
    addresses: Vec<(IpAddr, &'static str)>,
}

// === impl Cluster ===

impl Cluster {
    pub fn take(topology: Topology) -> Self {
        let free = {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            let at = free.iter().position(|(of, _, _)| *of == topology);
            at.map(|at| free.remove(at))
        };
        let (name, lab) = match free {
            Some((_, name, lab)) => {
                reset(&lab);
                (name, lab)
            }
            None => make(topology),
        };
        let pods = (0..PODS).map(|pod| server(&lab, pod)).collect();
        Self {
            lab: Some(lab),
            name,
            topology,
            pods,
        }
    }

    /// Applies a NetworkPolicy; one of the same name is replaced.
    pub fn policy(&self, namespace: &str, name: &str, spec: Value) {
        let policy = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": { "name": name, "namespace": namespace },
            "spec": spec,
        });
        in_force(self.lab().apply(&policy.to_string()));
    }

    pub fn delete_policies(&self) {
        for namespace in NAMES[0] {
            in_force(self.lab().delete_all("NetworkPolicy", namespace));
        }
    }

    /// Sets a label of a pod or a namespace.
    pub fn label(&self, kind: &str, namespace: &str, name: &str, key: &str, value: &str) {
        let labels = [(key.to_owned(), Some(value.to_owned()))].into();
        in_force(self.lab().label(kind, namespace, name, &labels));
    }

    /// The pod's own addresses.
    pub fn addresses(&self, pod: &str) -> Vec<IpAddr> {
        self.lab().pod(pod).expect("one of the nine").addresses
    }

    /// Lets every pod try every other one and holds it against the table.
    pub fn check(&self, protocol: Protocol, port: u16, table: Table) {
        static PORTS: AtomicU16 = AtomicU16::new(20000);
        let probes = |client: usize| -> Vec<Probe> {
            (0..PODS)
                .filter(|server| *server != client)
                .flat_map(|server| {
                    self.pods[server]
                        .addresses
                        .iter()
                        .map(move |(address, by)| Probe {
                            to: SocketAddr::new(*address, port),
                            name: format!("{} by its {by}", name(server)),
                            allowed: table.allows(client, server),
                            local_port: PORTS.fetch_add(1, Ordering::Relaxed) | 0x4000,
                        })
                })
                .collect()
        };
        let mut differences = String::new();
        thread::scope(|scope| {
            let clients: Vec<_> = (0..PODS)
                .map(|client| {
                    let (probes, netns) = (probes(client), &self.pods[client].netns);
                    scope.spawn(move || probe::all(netns, protocol, probes))
                })
                .collect();
            for (client, running) in clients.into_iter().enumerate() {
                for text in running.join().expect("a client") {
                    writeln!(differences, "  {} to {text}", name(client)).expect("a String");
                }
            }
        });
        assert!(
            differences.is_empty(),
            "{protocol:?} {port}, {:?}:\n{differences}",
            self.topology
        );
    }

    fn lab(&self) -> &Lab {
        self.lab.as_ref().expect("a lab until it is given back")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(lab) = self.lab.take() {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            free.push((self.topology, self.name.clone(), lab));
        }
    }
}

fn make(topology: Topology) -> (String, Lab) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    static AT_EXIT: Once = Once::new();
    // The end-to-end tests take labs of such names down when their process is gone.
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("t{}n{number}", std::process::id());
    // SAFETY: `remove_all` is a function for it, and needs nothing that is gone by then.
    AT_EXIT.call_once(|| unsafe {
        nix::libc::atexit(remove_all);
    });
    MADE.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(name.clone());
    let up = Lab::up(UpOptions {
        name: name.clone(),
        topology,
        yaml: vec![manifests()],
        program: Some(env!("CARGO_BIN_EXE_weir").into()),
        ..UpOptions::default()
    });
    let (lab, report) = up.unwrap_or_else(|error| {
        panic!("these tests need root, BPF and network namespaces: {error:#}")
    });
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    (name, lab)
}

extern "C" fn remove_all() {
    for name in MADE.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        if let Err(error) = Lab::remove(name) {
            eprintln!("lab {name} is still there: {error:#}");
        }
    }
}

/// No policies, and the labels that the pods and namespaces began with.
fn reset(lab: &Lab) {
    for namespace in NAMES[0] {
        in_force(lab.delete_all("NetworkPolicy", namespace));
    }
    in_force(lab.apply(&manifests()));
}

fn in_force(applied: anyhow::Result<Applied>) {
    let report = applied.expect("a change of the lab").report;
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

fn server(lab: &Lab, pod: usize) -> Server {
    let id = name(pod);
    let (namespace, own) = id.split_once('/').expect("NS/NAME");
    let found = lab.pod(&id).expect("one of the nine");
    let service = lab.service(&format!("{namespace}/s-{namespace}-{own}"));
    let services = service.expect("its service");
    let pods = found
        .addresses
        .into_iter()
        .map(|address| (address, "address"));
    let services = services.into_iter().map(|address| (address, "service"));
    Server {
        netns: found.netns,
        addresses: pods.chain(services).collect(),
    }
}

fn manifests() -> String {
    let ports = || {
        ["TCP", "UDP", "SCTP"].into_iter().flat_map(|protocol| {
            [80, 81].map(|port| {
                (
                    format!("serve-{port}-{}", protocol.to_lowercase()),
                    port,
                    protocol,
                )
            })
        })
    };
    let container_ports: Vec<Value> = ports()
        .map(|(name, port, protocol)| json!({"name": name, "containerPort": port, "protocol": protocol}))
        .collect();
    let service_ports: Vec<Value> = ports()
        .map(|(name, port, protocol)| json!({"name": name, "port": port, "protocol": protocol}))
        .collect();
    let mut documents = Vec::new();
    for namespace in NAMES[0] {
        documents.push(json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": namespace, "labels": { "ns": namespace } },
        }));
        for pod in NAMES[1] {
            documents.push(json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": pod, "namespace": namespace, "labels": { "pod": pod } },
                "spec": { "containers": [{
                    "name": "c", "image": "registry.k8s.io/e2e-test-images/agnhost",
                    "ports": container_ports,
                }]},
            }));
            documents.push(json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": format!("s-{namespace}-{pod}"), "namespace": namespace },
                "spec": { "selector": { "pod": pod }, "ports": service_ports },
            }));
        }
    }
    let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
    texts.join("\n---\n")
}
