//! What a CiliumNetworkPolicy can say besides peers, ports and requests.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use weir_lab::Topology;

use crate::common::{PATIENCE, SILENT, TestLab, in_both_families, in_both_topologies, listen, tcp};

in_both_topologies!(
    names,
    server_names,
    header_rules,
    message_types,
    services,
    itself,
    tiers,
    audit,
    aliases,
    groups,
    nodes
);

const SLEEP: &str = "deploy/sleep";
const HTTPBIN: &str = "deploy/httpbin";
const GOOGLE: &str = "http://www.google.com/";

/// A policy about `app`, in the same namespace.
fn policy(app: &str, sections: &str) -> String {
    format!(
        "{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {{name: language}}, \
         spec: {{endpointSelector: {{matchLabels: {{app: {app}}}}}, {sections}}}}}"
    )
}

/// Egress of sleep to DNS, looked into, and `more`.
fn with_dns(names: &str, more: &str) -> String {
    policy(
        "sleep",
        &format!(
            "egress: [{{toEndpoints: [{{matchLabels: {{'k8s:io.kubernetes.pod.namespace': kube-system, \
             k8s-app: kube-dns}}}}], toPorts: [{{ports: [{{port: '53'}}], rules: {{dns: [{names}]}}}}]}}, {more}]"
        ),
    )
}

/// Names are judged where they are asked, and what they resolve to is enforced before the client
/// can use it: its very first connection passes.
fn names(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(&with_dns(
        "{matchPattern: '*.google.com'}, {matchPattern: '**.cluster.local'}",
        "{toFQDNs: [{matchPattern: '*.google.com'}], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}",
    ));
    in_both_families(|family| {
        let google = lab.exec(
            SLEEP,
            &["curl", "-q", "-s", family.option(), "-m", "10", GOOGLE],
        );
        assert_eq!(google.status.code(), Some(0), "{family:?}: {google:?}");
        lab.unresolved(SLEEP, family, &["http://www.example.com/"]);
        // A name that may be asked is not one that may be reached.
        lab.dropped(SLEEP, family, &["httpbin:8000/headers"]);
    });
    let tcp = lab.exec(SLEEP, &["dig", "+tcp", "+short", "www.google.com"]);
    assert_eq!(String::from_utf8_lossy(&tcp.stdout), "198.51.100.68\n");
    let refused = lab.exec(SLEEP, &["dig", "+tcp", "www.example.com"]);
    let said = String::from_utf8_lossy(&refused.stdout);
    assert!(said.contains("status: REFUSED"), "{said}");
    // A restarted agent still knows.
    lab.lab.restart(weir_lab::Part::Agent).unwrap();
    in_both_families(|family| {
        let google = lab.exec(
            SLEEP,
            &["curl", "-q", "-s", family.option(), "-m", "10", GOOGLE],
        );
        assert_eq!(google.status.code(), Some(0), "{family:?}: {google:?}");
    });
}

/// A TLS client's first message (RFC 8446, 4.1.2) for this name.
pub fn hello(name: &str) -> Vec<u8> {
    let length = name.len() as u16;
    let mut extensions = vec![0, 13, 0, 4, 0, 2, 4, 3, 0, 43, 0, 3, 2, 3, 4, 0, 0];
    extensions.extend((length + 5).to_be_bytes());
    extensions.extend((length + 3).to_be_bytes());
    extensions.push(0);
    extensions.extend(length.to_be_bytes());
    extensions.extend(name.as_bytes());
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut record = vec![0x16, 3, 1];
    record.extend((body.len() as u16 + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

/// TLS passes by the name that the client gives, unread; everything else is reset.
fn server_names(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(&policy(
        "echo",
        "ingress: [{fromEndpoints: [{}], toPorts: [{ports: [{port: '7443', protocol: TCP}], \
         serverNames: ['*.example', 'exact.test']}]}]",
    ));
    let (client, server) = (lab.netns(SLEEP), lab.netns("echo"));
    in_both_families(|family| {
        let at = SocketAddr::new(lab.address("echo", family), 7443);
        let listener = listen(&server, at);
        for name in ["a.example", "EXACT.test"] {
            let mut near = tcp(&client, at, PATIENCE).unwrap();
            let hello = hello(name);
            near.write_all(&hello).unwrap();
            let (mut far, from) = listener.accept().unwrap();
            assert_eq!(from.ip(), lab.address(SLEEP, family), "{name}");
            let mut seen = vec![0; hello.len()];
            far.read_exact(&mut seen).unwrap();
            assert_eq!(seen, hello, "byte for byte");
            far.write_all(b"answer").unwrap();
            let mut answer = [0; 6];
            near.read_exact(&mut answer).unwrap();
        }
        listener.set_nonblocking(true).unwrap();
        for first in [
            hello("b.test"),
            b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_vec(),
        ] {
            let mut near = tcp(&client, at, PATIENCE).unwrap();
            near.set_read_timeout(Some(PATIENCE)).unwrap();
            near.write_all(&first).unwrap();
            let mut answer = Vec::new();
            match near.read_to_end(&mut answer) {
                // HTTP gets an answer of its kind.
                Ok(_) => assert!(answer.starts_with(b"HTTP/1.1 403"), "{answer:?}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            }
            let nobody = listener.accept().map(|(_, from)| from).unwrap_err();
            assert_eq!(
                nobody.kind(),
                ErrorKind::WouldBlock,
                "nothing reaches the server"
            );
        }
    });
}

/// Header rules ask, note, and change what the server sees; the client's other bytes stay.
fn header_rules(topology: Topology) {
    let lab = TestLab::up(topology);
    let rule = |headers: &str| {
        policy(
            "httpbin",
            &format!(
                "ingress: [{{toPorts: [{{ports: [{{port: '80', protocol: TCP}}], \
                 rules: {{http: [{{path: /headers, headerMatches: [{headers}]}}]}}}}]}}]"
            ),
        )
    };
    lab.apply(&rule(
        "{name: X-Must, value: yes}, {name: X-Add, value: added, mismatch: ADD}, \
         {name: X-Bad, value: good, mismatch: DELETE}, {name: X-Team, value: blue, mismatch: REPLACE}",
    ));
    in_both_families(|family| {
        let url = "httpbin:8000/headers";
        lab.forbidden(SLEEP, family, &[url]);
        lab.forbidden(
            SLEEP,
            family,
            &["-H", "X-Must: yes", "-H", "X-Must: no", url],
        );
        let sent = [
            "-H",
            "X-Must: yes",
            "-H",
            "X-Bad: evil",
            "-H",
            "X-Team: red",
            "-H",
            "X-Own: 1",
        ];
        let seen = lab
            .allowed(SLEEP, family, &[&sent[..], &[url]].concat())
            .body;
        let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
        let header = |name: &str| seen["headers"][name].to_string();
        let got = ["X-Must", "X-Add", "X-Bad", "X-Team", "X-Own"].map(header);
        assert_eq!(
            got,
            ["\"yes\"", "\"added\"", "null", "\"blue\"", "\"1\""],
            "{seen}"
        );
    });
}

fn message_types(topology: Topology) {
    let lab = TestLab::up(topology);
    let echo = |v4: &str, v6: &str| {
        policy(
            "httpbin",
            &format!(
                "ingress: [{{fromEndpoints: [{{}}], icmps: [{{fields: [{{type: {v4}}}, \
                 {{family: IPv6, type: {v6}}}]}}]}}]"
            ),
        )
    };
    let ping = |expected: bool| {
        in_both_families(|family| {
            let to = lab.address(HTTPBIN, family).to_string();
            let ping = lab.exec(SLEEP, &["ping", "-c", "1", "-W", "1", &to]);
            assert_eq!(ping.status.success(), expected, "{family:?}: {ping:?}");
            lab.dropped(SLEEP, family, &["httpbin:8000/headers"]);
        });
    };
    lab.apply(&echo("EchoRequest", "128"));
    ping(true);
    lab.apply(&echo("Timestamp", "EchoReply"));
    ping(false);
}

fn services(topology: Topology) {
    let lab = TestLab::up(topology);
    lab.apply(&with_dns(
        "{matchPattern: '*'}",
        "{toServices: [{k8sService: {serviceName: httpbin}}]}",
    ));
    let other = SocketAddr::new(lab.address("echo", crate::common::Family::V4), 9000);
    in_both_families(|family| {
        lab.allowed(SLEEP, family, &["httpbin:8000/headers"]);
        let direct = format!("{}/headers", lab.host(HTTPBIN, family));
        lab.allowed(SLEEP, family, &[&direct]);
    });
    let dropped = tcp(&lab.netns(SLEEP), other, SILENT).unwrap_err();
    assert_eq!(dropped.kind(), ErrorKind::TimedOut);
}

/// A pod always reaches itself, by its service too, whatever policy says.
fn itself(topology: Topology) {
    let lab = TestLab::up(topology);
    let reaches_itself = || {
        in_both_families(|family| {
            let url = "httpbin:8000/ip";
            let by_name = lab.curls(HTTPBIN, family, "10", &[url, url]);
            assert!(
                by_name.iter().all(|reply| reply.status == 200),
                "{by_name:?}"
            );
            // More than one packet can carry.
            let large = "x".repeat(60_000);
            lab.allowed(HTTPBIN, family, &["-d", &large, "httpbin:8000/post"]);
        });
    };
    reaches_itself();
    lab.apply(crate::policies::DENY_INGRESS);
    reaches_itself();
    lab.apply(crate::policies::ALLOW_GET_HEADERS);
    reaches_itself();
    assert!(lab.status()["counters"]["pass_itself"].as_u64() > Some(0));
}

/// A ClusterNetworkPolicy decides before NetworkPolicies, or where there is none.
fn tiers(topology: Topology) {
    let lab = TestLab::up(topology);
    let cluster = |tier: &str, action: &str| {
        format!(
            "{{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, \
             metadata: {{name: tiers}}, spec: {{tier: {tier}, priority: 1, \
             subject: {{pods: {{podSelector: {{matchLabels: {{app: httpbin}}}}}}}}, \
             ingress: [{{action: {action}, from: [{{namespaces: {{}}}}], \
             protocols: [{{tcp: {{destinationPort: {{number: 80}}}}}}]}}]}}}}"
        )
    };
    let url = &["httpbin:8000/headers"];
    let reached = |expected: bool| {
        in_both_families(|family| match expected {
            true => drop(lab.allowed(SLEEP, family, url)),
            false => lab.dropped(SLEEP, family, url),
        });
    };
    lab.apply(&cluster("Baseline", "Deny"));
    reached(false);
    lab.apply(crate::policies::ALLOW_SLEEP);
    reached(true);
    lab.apply(&cluster("Admin", "Deny"));
    reached(false);
    lab.apply(&cluster("Admin", "Pass"));
    reached(true);
    lab.apply(crate::policies::DENY_INGRESS);
    lab.delete("NetworkPolicy", "allow-ingress-to-httpbin");
    lab.apply(&cluster("Admin", "Accept"));
    reached(true);
}

/// Policies in audit mode deny nothing, whatever is spoken, and say what they would have denied.
fn audit(topology: Topology) {
    let lab = TestLab::up(topology);
    let audited = |sections: &str| {
        policy("httpbin", sections).replace(
            "metadata: {name: language}",
            "metadata: {name: language, annotations: {weir.dev/mode: audit}}",
        )
    };
    let logged = |word: &str| {
        let log = std::fs::read_to_string(lab.lab.log_path("flows", "default").unwrap()).unwrap();
        log.lines().any(|line| {
            line.starts_with(word) && line.contains("direction=ingress src=default/sleep")
        })
    };
    lab.apply(&audited(
        "ingress: [{fromEndpoints: [{matchLabels: {app: nobody}}]}]",
    ));
    in_both_families(|family| {
        lab.allowed(SLEEP, family, &["httpbin:8000/ip"]);
    });
    crate::common::wait_for("a report of what would be denied", || logged("AUDIT "));
    lab.apply(&audited(
        "ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{path: /headers}]}}]}]",
    ));
    in_both_families(|family| {
        lab.allowed(SLEEP, family, &["httpbin:8000/headers"]);
        lab.allowed(SLEEP, family, &["httpbin:8000/ip"]);
        // Not HTTP at all, and still it passes: the server answers, not the proxy.
        let at = SocketAddr::new(lab.address(HTTPBIN, family), 80);
        let mut near = tcp(&lab.netns(SLEEP), at, PATIENCE).unwrap();
        near.write_all(b"\x01\x02\x03\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).ok();
        assert!(!answer.starts_with(b"HTTP/1.1 403"), "{answer:?}");
    });
    crate::common::wait_for("a report of the request", || logged("HTTP_AUDIT "));
    // In force beside it, another policy still denies.
    lab.apply(crate::policies::DENY_INGRESS);
    in_both_families(|family| lab.dropped(SLEEP, family, &["httpbin:8000/headers"]));
}

/// A name that a rule allows may be the end of aliases: here of a service of type `ExternalName`.
fn aliases(topology: Topology) {
    let service = "{apiVersion: v1, kind: Service, metadata: {name: search}, \
                   spec: {type: ExternalName, externalName: www.google.com}}";
    let lab = TestLab::up_with(topology, &[service]);
    let by_name = |asked: &str| {
        with_dns(
            asked,
            "{toFQDNs: [{matchName: www.google.com}], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}",
        )
    };
    let search = |family: crate::common::Family| {
        let words = [
            "curl",
            "-q",
            "-s",
            family.option(),
            "-m",
            "5",
            "http://search/",
        ];
        lab.exec(SLEEP, &words).status.code()
    };
    lab.apply(&by_name("{matchPattern: '*'}"));
    in_both_families(|family| assert_eq!(search(family), Some(0), "{family:?}"));
    // A server that may be asked for one name has no say about another.
    lab.apply(&by_name("{matchPattern: '**.local'}"));
    in_both_families(|family| assert_ne!(search(family), Some(0), "{family:?}"));
}

/// CIDR groups and nodes, by name and by label.
fn groups(topology: Topology) {
    let lab = TestLab::up_on(2, topology, &[]);
    let reached = |allowed: bool| {
        in_both_families(|family| {
            let google = lab.exec(
                SLEEP,
                &["curl", "-q", "-s", family.option(), "-m", "5", GOOGLE],
            );
            assert_eq!(
                google.status.code() == Some(0),
                allowed,
                "{family:?}: {google:?}"
            );
        });
    };
    let group = |cidrs: &str| {
        format!(
            "{{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, \
             metadata: {{name: search, labels: {{role: search}}}}, spec: {{externalCIDRs: [{cidrs}]}}}}"
        )
    };
    let to = |peer: &str| with_dns("{matchPattern: '*'}", &format!("{{{peer}}}"));
    lab.apply(&group("198.51.100.0/24, '2001:db8::/32'"));
    lab.apply(&to("toCIDRSet: [{cidrGroupRef: search}]"));
    reached(true);
    lab.apply(&to(
        "toCIDRSet: [{cidrGroupSelector: {matchLabels: {role: other}}}]",
    ));
    reached(false);
    lab.apply(&to(
        "toCIDRSet: [{cidrGroupSelector: {matchLabels: {role: search}}}]",
    ));
    reached(true);
    // What a group means follows the group.
    lab.apply(&group("192.0.2.0/24"));
    reached(false);
    lab.delete("CiliumCIDRGroup", "search");
    let applied = lab.lab.apply(&to("toCIDRSet: [{cidrGroupRef: search}]"));
    let problems = format!("{:?}", applied.unwrap().report.problems);
    assert!(
        problems.contains("names CiliumCIDRGroup `search`, which is not there"),
        "{problems}"
    );
    reached(false);
}

/// Other nodes by their labels, in both directions; the pod's own node is none of them.
fn nodes(topology: Topology) {
    let lab = TestLab::up_on(2, topology, &[]);
    let far = format!("weir-lab-{}-node2", lab.name);
    let object = std::fs::read_to_string(lab.manifests().join("Node_lab-node2.yaml")).unwrap();
    let object: serde_json::Value = serde_yaml_ng::from_str(&object).unwrap();
    let addresses = object["status"]["addresses"].as_array().unwrap().iter();
    let addresses = addresses.filter_map(|of| of["address"].as_str()?.parse().ok());
    let addresses: Vec<std::net::IpAddr> = addresses.collect();
    assert_eq!(addresses.len(), 2, "one of each family: {object}");
    let client = lab.netns(SLEEP);
    let label = |name: &str| format!("[{{matchLabels: {{kubernetes.io/hostname: {name}}}}}]");
    for address in addresses {
        let at = SocketAddr::new(address, 9900);
        let _far = listen(&far, at);
        for (node, reached) in [("lab-node2", true), ("lab-node", false)] {
            lab.apply(&policy(
                "sleep",
                &format!("egress: [{{toNodes: {}}}]", label(node)),
            ));
            let opened = tcp(&client, at, if reached { PATIENCE } else { SILENT });
            assert_eq!(opened.is_ok(), reached, "{at} by {node}: {opened:?}");
        }
        // The other way: the node asks a pod.
        let family = [crate::common::Family::V4, crate::common::Family::V6];
        let family = family[usize::from(address.is_ipv6())];
        let at = SocketAddr::new(lab.address("echo", family), 9901);
        let _near = listen(&lab.netns("echo"), at);
        for (node, reached) in [("lab-node2", true), ("lab-node", false)] {
            lab.apply(&policy(
                "echo",
                &format!("ingress: [{{fromNodes: {}}}]", label(node)),
            ));
            let opened = tcp(&far, at, if reached { PATIENCE } else { SILENT });
            assert_eq!(opened.is_ok(), reached, "{at} by {node}: {opened:?}");
        }
        lab.delete_all("CiliumNetworkPolicy");
    }
}
