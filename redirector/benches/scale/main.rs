//! How long a change takes at scale, and what a verdict costs. Needs root: the maps and the
//! programs are the kernel's own.
//!
//! 10,000 pods on 100 nodes, 1,000 policies, 10,000 HTTP rules on one endpoint of this node.
//! Times are from the changed objects to the last map write; reading YAML and the API are not in
//! it. `WEIR_SCALE_CHANGES` sets how many changes of each kind are made (default 20).

mod proxy;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use aya::programs::{TestRun, TestRunOptions};
use weir_abi::policy::Config;
use weir_link::Instance;
use weir_policy::{
    compile::{Compiler, Local},
    l7::L7Table,
    model::{
        Action, HttpRule, Key, L7, Namespace, NamespaceScope, ObjectRef, Peer, Peers, Pod,
        PodSelector, Policy, PolicyKind, PolicySpec, Port, PortMatch, Protocol, Requirement, Rule,
        Section, Selector, Subjects, World,
    },
};
use weir_redirector::{
    MapSizes, Pins, Placement,
    testing::{Installed, Maps, Programs, lower},
};

const PODS: usize = 10_000;
const NODES: usize = 100;
const APPS: usize = 500;
const NAMESPACES: usize = 50;
const POLICIES: usize = 1_000;
const HTTP_RULES: usize = 10_000;
const LOOPBACK: u32 = 1;

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark is told by its environment"
)]
fn main() {
    let changes = std::env::var("WEIR_SCALE_CHANGES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20);
    let mut node = Node::new();
    println!(
        "{PODS} pods on {NODES} nodes, {POLICIES} policies, {HTTP_RULES} HTTP rules on one endpoint"
    );
    let mut world = world(HTTP_RULES, apart);
    let first = node.change(&world);
    println!("first snapshot        {:>9.1} ms", ms(first));
    println!(
        "map entries           {} addresses, {} verdicts, {} endpoints; {} classes, {} policy sets",
        node.entries[0], node.entries[1], node.entries[2], node.entries[3], node.entries[4]
    );
    println!("resident memory       {:>9.1} MiB", resident_mib());
    println!("\nchange to enforced, ms       p50       p99   ({changes} each)");
    type Change = fn(&mut World, usize);
    let kinds: [(&str, Change); 4] = [
        ("a pod gets an address", |world, number| {
            world.pods[number * 7 + 1].addresses = addresses(PODS + number);
        }),
        ("a pod gets a label", |world, number| {
            world.pods[number * 5]
                .labels
                .insert("app".into(), app(number + 3));
        }),
        ("a rule changes", |world, number| {
            let rule = &mut world.policies[number + 1].specs[0].ingress.rules[0];
            rule.ports[0].port = Port::Range(9000, 9000 + number as u16);
        }),
        ("a policy comes", |world, number| {
            world.policies.push(policy(POLICIES + number));
        }),
    ];
    for (what, change) in kinds {
        let mut times: Vec<Duration> = (0..changes)
            .map(|number| {
                change(&mut world, number);
                node.change(&world)
            })
            .collect();
        times.sort_unstable();
        let at = |share: f64| ms(times[((times.len() - 1) as f64 * share).round() as usize]);
        println!("{what:24}{:>8.1}  {:>8.1}", at(0.5), at(0.99));
    }
    println!("resident memory       {:>9.1} MiB", resident_mib());
    verdicts(&mut node);
}

// TCP flags, and what a program says of a packet: the next may look at it, or nobody (linux/bpf.h).
const SYN: u8 = 2;
const ACK: u8 = 16;
const PASS: u32 = u32::MAX;
const SHOT: u32 = 2;

/// Numbers of rules that verdicts are measured with.
const RULES: [usize; 3] = [1, 100, 10_000];

/// What one verdict costs, by the number of rules.
fn verdicts(node: &mut Node) {
    println!("\nns a verdict             1 rule    100 rules    10,000 rules   last/first");
    let mut kernel = Vec::new();
    let mut tracked = Vec::new();
    for rules in RULES {
        let mut world = world(rules, apart);
        // Port rules for the kernel, in number as the HTTP rules for the proxy.
        let ports = (0..rules.min(5_000)).map(|number| PortMatch {
            protocol: Protocol::Tcp,
            port: Port::Range(10_000 + 2 * number as u16, 10_000 + 2 * number as u16),
        });
        world.policies.truncate(1);
        let mut by_port = world.policies[0].specs[0].ingress.rules[0].clone();
        by_port.l7 = None;
        by_port.ports = ports.collect();
        world.policies[0].specs[0].ingress.rules.push(by_port);
        node.change(&world);
        let (pod, peer) = (&world.pods[0].addresses, &world.pods[1].addresses);
        kernel.push(node.kernel_verdict(pod, peer));
        tracked.push(node.kernel_tracked(pod, peer));
    }
    for (what, times) in [
        ("kernel, a new flow", kernel),
        ("kernel, a known flow", tracked),
    ] {
        told(what, &times);
    }
    proxy::verdicts(node);
}

/// A line of what verdicts cost.
fn told(what: &str, times: &[f64]) {
    println!(
        "{what:24}{:>7.0}{:>13.0}{:>16.0}{:>13.2}",
        times[0],
        times[1],
        times[2],
        times[2] / times[0]
    );
}

/// Paths that begin apart.
fn apart(number: usize) -> String {
    format!("/service-{number}/items/[0-9]+")
}

/// The kernel side of one node, and its compiler.
struct Node {
    pins: Pins,
    programs: Programs,
    maps: Maps,
    installed: Installed,
    compiler: Compiler,
    revision: u32,
    entries: [usize; 5],
}

impl Node {
    fn new() -> Self {
        let name = format!("bench-scale-{}", std::process::id());
        let pins = Pins::new(Instance::new(&name).expect("a name"), MapSizes::default());
        pins.prepare().expect("root and bpffs");
        let mut programs = Programs::load(&pins).expect("the kernel takes the programs");
        let maps = Maps::take(&mut programs).expect("all maps are there");
        Self {
            pins,
            programs,
            maps,
            installed: Installed::default(),
            compiler: Compiler::new(),
            revision: 0,
            entries: [0; 5],
        }
    }

    fn compile(&mut self, world: &World) -> weir_policy::compile::Snapshot {
        self.compiler.compile(world, Local::Node("node-0"))
    }

    /// Puts a world in force as the agent does, without its proxy's answer.
    fn change(&mut self, world: &World) -> Duration {
        let start = Instant::now();
        let snapshot = self.compile(world);
        // Pods of this node have the numbers 0, 100, 200 and so on.
        let index = |name: &str| -> Option<u16> {
            let number: usize = name.strip_prefix("pod-")?.parse().ok()?;
            number
                .is_multiple_of(NODES)
                .then_some((number / NODES) as u16 + 1)
        };
        let table = L7Table::new(&snapshot, |pod| index(&pod.name));
        let sent = serde_json::to_vec(&table).expect("serialises");
        let desired = lower(
            &snapshot,
            &world.services,
            |pod| {
                let index = index(&pod.name)?;
                let interface = if index == 1 {
                    LOOPBACK
                } else {
                    1_000_000 + u32::from(index)
                };
                Some(Placement { index, interface })
            },
            |_, _| 0,
        );
        self.revision += 1;
        let config = Config {
            revision: self.revision,
            ingress_link: LOOPBACK,
            egress_link: LOOPBACK,
            proxy_ready: 1,
            share: 4096,
            judges: 0,
            ..Config::default()
        };
        self.installed
            .apply(&mut self.maps, &desired, config, 0)
            .expect("the maps take the world");
        let took = start.elapsed();
        std::hint::black_box(sent);
        self.entries = [
            desired.addresses.len(),
            desired.policy.len(),
            desired.endpoints.len(),
            snapshot.classes.len(),
            snapshot.sets.len(),
        ];
        took
    }

    /// Nanoseconds of `to_pod` on a new flow: a packet without an entry is judged each time where it
    /// is denied.
    fn kernel_verdict(&mut self, pod: &[IpAddr], peer: &[IpAddr]) -> f64 {
        // A port that no rule has.
        self.towards_pod(&segment(peer, pod, 9, SYN), SHOT)
    }

    /// Nanoseconds of `to_pod` on a packet of a flow that is known.
    fn kernel_tracked(&mut self, pod: &[IpAddr], peer: &[IpAddr]) -> f64 {
        self.towards_pod(&segment(peer, pod, 10_000, SYN), PASS);
        self.towards_pod(&segment(peer, pod, 10_000, ACK), PASS)
    }

    /// What the program does with a packet, again and again, in nanoseconds: the best of five.
    fn towards_pod(&mut self, packet: &[u8], verdict: u32) -> f64 {
        let mut context = [0u8; 192];
        context[36..40].copy_from_slice(&77u32.to_ne_bytes());
        context[40..44].copy_from_slice(&LOOPBACK.to_ne_bytes());
        let mut best = f64::MAX;
        for _ in 0..5 {
            let mut options = TestRunOptions::new();
            options.data_in = Some(packet);
            options.ctx_in = Some(&context);
            options.repeat = 200_000;
            let program = self.programs.classifier("to_pod").expect("it is loaded");
            let run = program.test_run(options).expect("BPF_PROG_TEST_RUN works");
            assert_eq!(run.return_value, verdict);
            best = best.min(run.duration.as_nanos() as f64);
        }
        best
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.pins.remove().ok();
    }
}

/// A TCP segment in an Ethernet frame; checksums are not looked at.
fn segment(source: &[IpAddr], destination: &[IpAddr], port: u16, flags: u8) -> Vec<u8> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (source[0], destination[0]) else {
        unreachable!("the first address of a pod is IPv4");
    };
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend(40_000u16.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    frame
}

fn app(number: usize) -> String {
    format!("app-{}", number % APPS)
}

fn addresses(number: usize) -> Vec<IpAddr> {
    vec![
        Ipv4Addr::from(0x0a00_0000 + number as u32 + 1).into(),
        Ipv6Addr::from(0xfd00_0000_0000_0000_0000_0000_0000_0000 + number as u128 + 1).into(),
    ]
}

fn selector(number: usize) -> Selector {
    Selector::new([Requirement::equals(Key::Label("app".into()), app(number))])
}

fn pods(number: usize) -> PodSelector {
    PodSelector {
        namespaces: NamespaceScope::Named(namespace(number)),
        pods: selector(number),
    }
}

fn namespace(number: usize) -> String {
    format!("ns-{}", number % APPS % NAMESPACES)
}

fn rule(peer: usize, port: u16, l7: Option<L7>) -> Rule {
    Rule {
        place: "spec.ingress[0]".into(),
        action: Action::Allow,
        peers: Peers::OneOf(vec![Peer::Pods(pods(peer))]),
        ports: vec![PortMatch {
            protocol: Protocol::Tcp,
            port: Port::Range(port, port),
        }],
        l7,
    }
}

/// A policy on one application, with one peer in each direction.
fn policy(number: usize) -> Policy {
    let section = |rule| Section {
        isolates: true,
        rules: vec![rule],
    };
    Policy {
        object: ObjectRef {
            kind: PolicyKind::CiliumNetworkPolicy,
            namespace: namespace(number),
            name: format!("policy-{number}"),
        },
        audit: false,
        specs: vec![PolicySpec {
            tier: Default::default(),
            subject: Subjects::Pods(pods(number)),
            ingress: section(rule(number + 1, 8000 + (number % 100) as u16, None)),
            egress: section(rule(number + 7, 8000, None)),
        }],
    }
}

/// A world of which one endpoint has so many HTTP rules, with the path of each by its number.
fn world(http_rules: usize, path: fn(usize) -> String) -> World {
    let requests = (0..http_rules).map(|number| HttpRule {
        place: format!("http[{number}]"),
        method: Some("GET".into()),
        path: Some(path(number)),
        ..HttpRule::default()
    });
    let mut policies: Vec<Policy> = (0..POLICIES).map(policy).collect();
    let with_http = rule(1, 80, Some(L7::Http(requests.collect())));
    policies[0].specs[0].ingress.rules = vec![with_http];
    World {
        namespaces: (0..NAMESPACES)
            .map(|number| (namespace(number), Namespace::default()))
            .collect(),
        pods: (0..PODS)
            .map(|number| Pod {
                namespace: namespace(number),
                name: format!("pod-{number}"),
                labels: [
                    ("app".to_owned(), app(number)),
                    (
                        "pod-template-hash".to_owned(),
                        format!("{:x}", number % APPS),
                    ),
                ]
                .into(),
                addresses: addresses(number),
                node: format!("node-{}", number % NODES),
                ..Pod::default()
            })
            .collect(),
        policies,
        ..World::default()
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}
