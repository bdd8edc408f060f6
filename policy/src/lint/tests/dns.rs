//! Which rules allow the cluster's DNS.

use super::*;

/// Whether lint misses DNS in a policy with one egress rule.
fn misses(sample: Sample, value: &Value) -> bool {
    let found = found(sample, value);
    found.iter().any(|(id, _)| *id == "W009")
}

fn cilium(rule: Value) -> Value {
    cilium_policy(
        "p",
        json!({"endpointSelector": {"matchLabels": {"app": "sleep"}}, "egress": [rule]}),
    )
}

/// The rule as written, and with port 53.
fn both(rule: &Value) -> [Value; 2] {
    let mut ported = rule.clone();
    ported["toPorts"] = json!([{"ports": [{"port": "53", "protocol": "ANY"}]}]);
    [cilium(rule.clone()), cilium(ported)]
}

fn plain(rule: Value) -> Value {
    egress(json!([rule]))
}

fn dns_port(to: Value) -> Value {
    plain(json!({"to": [to], "ports": [{"port": 53, "protocol": "UDP"}]}))
}

#[test]
fn a_prefix_of_a_cilium_policy_never_means_the_servers() {
    let everyone = json!({"toCIDR": ["0.0.0.0/0", "::/0"]});
    let set = json!({"toCIDRSet": [{"cidr": "0.0.0.0/0", "except": ["10.96.0.0/12"]}]});
    let world = json!({"toEntities": ["world"]});
    for rule in [everyone, set, world, json!({"toCIDR": ["10.96.0.10/32"]})] {
        for policy in both(&rule) {
            assert!(misses(Sample::workshop(), &policy), "{policy}");
            assert!(misses(Sample::default(), &policy), "{policy}");
        }
    }
    let own = json!({"toCIDR": ["192.0.2.53/32"]});
    let [every_port, port] = both(&own);
    assert!(misses(Sample::workshop(), &every_port));
    assert!(
        !misses(Sample::workshop(), &port),
        "a resolver of one's own"
    );
    let cluster = json!({"toEntities": ["cluster"]});
    for policy in both(&cluster) {
        assert!(!misses(Sample::workshop(), &policy), "{policy}");
    }
}

#[test]
fn an_ip_block_means_the_servers_where_it_has_their_addresses() {
    let block = |cidr: &str, except: Value| json!({"ipBlock": {"cidr": cidr, "except": except}});
    let private = json!(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]);
    for (cidr, except, missed) in [
        ("0.0.0.0/0", json!([]), false),
        ("0.0.0.0/0", json!(["169.254.169.254/32"]), false),
        ("0.0.0.0/0", private, true),
        ("10.0.0.0/8", json!([]), false),
        ("203.0.0.0/8", json!([]), true),
    ] {
        let to = block(cidr, except);
        for policy in [plain(json!({"to": [to]})), dns_port(to.clone())] {
            for sample in [Sample::default(), Sample::workshop()] {
                assert_eq!(misses(sample, &policy), missed, "{policy}");
            }
        }
    }
    // The manifests tell the servers' addresses: 10.244.0.4.
    let to = block("0.0.0.0/0", json!(["10.244.0.0/16"]));
    assert!(misses(Sample::workshop(), &dns_port(to.clone())));
    assert!(!misses(Sample::default(), &dns_port(to)));
}

#[test]
fn the_address_of_the_service_is_none_of_the_servers() {
    let with_service = Sample::workshop().service(
        "kube-system/kube-dns",
        "10.99.0.53",
        53,
        "kube-system/coredns-0",
        53,
    );
    let known = dns_port(json!({"ipBlock": {"cidr": "10.99.0.53/32"}}));
    assert!(misses(with_service, &known));
    assert!(
        !misses(Sample::workshop(), &known),
        "nothing tells whose it is"
    );
    for usual in ["10.96.0.10/32", "172.20.0.10/32"] {
        let policy = dns_port(json!({"ipBlock": {"cidr": usual}}));
        assert!(misses(Sample::default(), &policy), "{policy}");
    }
    let on_the_node = dns_port(json!({"ipBlock": {"cidr": "169.254.20.10/32"}}));
    assert!(!misses(Sample::workshop(), &on_the_node));
}

#[test]
fn openshifts_dns_is_dns() {
    let namespace = json!({"namespaceSelector": {"matchLabels":
        {"kubernetes.io/metadata.name": "openshift-dns"}}});
    let port = |port: Value| {
        let ports = json!([{"port": port, "protocol": "UDP"}, {"port": port, "protocol": "TCP"}]);
        plain(json!({"to": [namespace], "ports": ports}))
    };
    let sample = || {
        let label = "dns.operator.openshift.io/daemonset-dns=default";
        Sample::default()
            .pod("default/sleep-0", "app=sleep", &[])
            .pod("openshift-dns/dns-default-x", label, &[5353])
    };
    for policy in [port(json!(5353)), plain(json!({"to": [namespace]}))] {
        assert!(!misses(sample(), &policy), "{policy}");
        assert!(!misses(Sample::default(), &policy), "{policy}");
    }
    let other = json!({"podSelector": {"matchLabels": {"app": "httpbin"}}});
    let mdns = plain(json!({"to": [other], "ports": [{"port": 5353, "protocol": "UDP"}]}));
    assert!(misses(Sample::workshop(), &mdns));
}

#[test]
fn the_service_of_the_servers_is_dns() {
    let named = json!({"toServices": [{"k8sService":
        {"serviceName": "kube-dns", "namespace": "kube-system"}}]});
    let labelled = json!({"toServices": [{"k8sServiceSelector":
        {"selector": {"matchLabels": {"k8s-app": "kube-dns"}}, "namespace": "kube-system"}}]});
    for policy in [named, labelled].iter().flat_map(both) {
        assert!(!misses(Sample::default(), &policy), "{policy}");
        assert!(!misses(Sample::workshop(), &policy), "{policy}");
    }
    let other = json!({"toServices": [{"k8sService":
        {"serviceName": "httpbin", "namespace": "default"}}]});
    for policy in both(&other) {
        assert!(misses(Sample::workshop(), &policy), "{policy}");
    }
}
