//! What Cilium refuses and what is not supported, each with its field and its message.

use super::*;

fn rule(direction: &str, rule: Value) -> Value {
    cnp(json!({"endpointSelector": {}, direction: [rule]}))
}

fn ports(ports: Value) -> Value {
    rule("ingress", json!({"toPorts": [{"ports": ports}]}))
}

fn http(port: Value, rules: Value) -> Value {
    rule(
        "ingress",
        json!({"toPorts": [{"ports": [port], "rules": rules}]}),
    )
}

fn tcp_http(entry: Value) -> Value {
    http(
        json!({"port": "80", "protocol": "TCP"}),
        json!({"http": [entry]}),
    )
}

fn check(value: Value, field: &str, reason: &str) {
    assert_eq!(
        problems(&value),
        [(field.to_owned(), reason.to_owned())],
        "{value}"
    );
}

#[test]
fn structure() {
    for (spec, field, reason) in [
        (
            json!({"ingress": [{}]}),
            "spec.endpointSelector",
            "is missing; `{}` selects every pod",
        ),
        (
            json!({"endpointSelector": {}, "nodeSelector": {}, "ingress": [{}]}),
            "spec.nodeSelector",
            "cannot stand beside `endpointSelector`: exactly one of them",
        ),
        (
            json!({"nodeSelector": {}, "ingress": [{}]}),
            "spec.nodeSelector",
            "belongs into a CiliumClusterwideNetworkPolicy: nothing of this part is in force, and it selects no pod",
        ),
        (
            json!({"endpointSelector": {}, "ingress": [], "egress": []}),
            "spec",
            "needs a rule in `ingress`, `ingressDeny`, `egress` or `egressDeny`; `ingress: [{}]` denies by default and allows nothing",
        ),
        (
            json!({"endpointSelector": {}, "ingress": [{}], "enableDefaultDeny": {"ingress": "no"}}),
            "spec.enableDefaultDeny.ingress",
            "must be `true` or `false`, not `no`",
        ),
        (
            json!({"endpointSelector": {}, "ingress": [{}], "log": {"value": "x".repeat(33)}}),
            "spec.log.value",
            "is too long: at most 32 characters",
        ),
        (
            json!({"endpointSelector": {"matchLabels": {"reserved:host": ""}}, "ingress": [{}]}),
            "spec.endpointSelector",
            "`reserved:host` is on Cilium's own endpoints only, which are not here: this part selects no pod",
        ),
        (
            json!({"endpointSelector": {"matchLabels": {"container:x": ""}}, "ingress": [{}]}),
            "spec.endpointSelector.matchLabels[container:x]",
            "`container:x` has a label source that is not supported: `k8s:` or `any:`",
        ),
        (
            json!({"endpointSelector": {"matchLabels": {"io.cilium.k8s.namespace.labels.": "x"}}, "ingress": [{}]}),
            "spec.endpointSelector.matchLabels[io.cilium.k8s.namespace.labels.]",
            "`` is not a label key: a name of at most 63 letters, digits, `-`, `_` and `.`, with an optional DNS prefix and `/` before it",
        ),
    ] {
        check(cnp(spec), field, reason);
    }
    let empty = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
                       "metadata": {"name": "p"}});
    check(empty, "spec", "needs `spec` or `specs`");
    let mut old = cnp(json!({"endpointSelector": {}, "ingress": [{}]}));
    old["apiVersion"] = json!("cilium.io/v1");
    check(old, "apiVersion", "must be `cilium.io/v2`");
}

#[test]
fn peers() {
    for (direction, entry, field, reason) in [
        (
            "ingress",
            json!({"fromEndpoints": [{}], "fromCIDR": ["10.0.0.0/8"]}),
            "fromCIDR",
            "cannot stand beside `fromEndpoints`: write a rule for each",
        ),
        (
            "ingress",
            json!({"fromEntities": ["none"], "fromCIDRSet": []}),
            "fromCIDRSet",
            "cannot stand beside `fromEntities`: write a rule for each",
        ),
        (
            "ingress",
            json!({"fromEndpoints": [{"matchLabels": {"reserved:hots": ""}}]}),
            "fromEndpoints[0]",
            "`reserved:hots` is no label that Cilium gives: use `fromEntities` or `toEntities`",
        ),
        (
            "ingress",
            json!({"fromEndpoints": [{"matchExpressions": [{"key": "reserved:host", "operator": "DoesNotExist"}]}]}),
            "fromEndpoints[0]",
            "means everybody who lacks a `reserved:` label, outside the cluster too: name the peers by `fromEntities` or `toEntities`",
        ),
        (
            "egress",
            json!({"toEndpoints": [{"matchLabels": {"reserved:host": "", "reserved:kube-apiserver": ""}}]}),
            "toEndpoints[0]",
            "asks for two `reserved:` labels at once: use `fromEntities` or `toEntities`",
        ),
        (
            "egress",
            json!({"toEndpoints": [{"matchLabels": {"reserved:kube-apiserver": ""}, "matchExpressions": [{"key": "reserved:remote-node", "operator": "NotIn", "values": [""]}]}]}),
            "toEndpoints[0]",
            "asks for one `reserved:` label without another: use `fromEntities` or `toEntities`",
        ),
        (
            "egress",
            json!({"toEntities": ["wrold"]}),
            "toEntities[0]",
            "`wrold` must be one of `all`, `world`, `world-ipv4`, `world-ipv6`, `cluster`, `host`, `remote-node`, `kube-apiserver`, `cluster-mesh`, `init`, `ingress`, `unmanaged`, `health` or `none`",
        ),
        (
            "egress",
            json!({"toCIDR": ["10.0.0.0/40"]}),
            "toCIDR[0]",
            "`10.0.0.0/40` is not a CIDR: write an address and a prefix length, as in `10.0.0.0/8` or `fd00::/8`",
        ),
        (
            "egress",
            json!({"toCIDRSet": [{"cidr": "10.0.0.0/8", "except": ["fd00::/16"]}]}),
            "toCIDRSet[0].except[0]",
            "`fd00::/16` is not inside `10.0.0.0/8`",
        ),
        (
            "egress",
            json!({"toCIDRSet": [{"cidrGroupRef": "g", "except": ["10.0.0.0/8"]}]}),
            "toCIDRSet[0].except",
            "leaves parts of a `cidr` out, not of CIDR groups",
        ),
        (
            "egress",
            json!({"toCIDRSet": [{"cidrGroupRef": "Not a name"}]}),
            "toCIDRSet[0].cidrGroupRef",
            "`Not a name` is not a name: at most 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends of each part",
        ),
        (
            "egress",
            json!({"toCIDRSet": [{"cidr": "10.0.0.0/8", "cidrGroupSelector": {}}]}),
            "toCIDRSet[0].cidrGroupSelector",
            "cannot stand beside another of `cidr`, `cidrGroupRef` and `cidrGroupSelector`: write an entry for each",
        ),
        (
            "egress",
            json!({"toFQDNs": [{"matchName": "a.b", "matchPattern": "*"}]}),
            "toFQDNs[0].matchPattern",
            "cannot stand beside `matchName`: write an entry for each",
        ),
        (
            "egress",
            json!({"toFQDNs": [{"matchName": "a/b"}]}),
            "toFQDNs[0].matchName",
            "has a `/`: letters, digits, `-`, `_` and `.` only, `*` in a pattern",
        ),
        (
            "egress",
            json!({"toFQDNs": [{"matchName": "a\u{1d}b"}]}),
            "toFQDNs[0].matchName",
            "has a `\\u{1d}`: letters, digits, `-`, `_` and `.` only, `*` in a pattern",
        ),
        (
            "egress",
            json!({"toFQDNs": [{"matchName": "*.b"}]}),
            "toFQDNs[0].matchName",
            "has a `*`: letters, digits, `-`, `_` and `.` only, `*` in a pattern",
        ),
        (
            "egress",
            json!({"toFQDNs": [{}]}),
            "toFQDNs[0]",
            "needs `matchName` or `matchPattern`",
        ),
        (
            "egress",
            json!({"toServices": [{}]}),
            "toServices[0]",
            "needs `k8sService` or `k8sServiceSelector`",
        ),
        (
            "egress",
            json!({"toServices": [{"k8sService": {"serviceName": "a"}, "k8sServiceSelector": {"selector": {}}}]}),
            "toServices[0].k8sServiceSelector",
            "cannot stand beside `k8sService`: write an entry for each",
        ),
        (
            "egress",
            json!({"toServices": [{"k8sService": {"serviceName": ""}}]}),
            "toServices[0].k8sService.serviceName",
            "is empty",
        ),
        (
            "egress",
            json!({"toGroups": []}),
            "toGroups",
            "cloud provider groups are not supported yet",
        ),
        (
            "egress",
            json!({"fromNodes": []}),
            "fromNodes",
            "belongs to ingress rules",
        ),
        (
            "egress",
            json!({"toRequires": []}),
            "toRequires",
            "was removed from Cilium: put its labels into the selectors",
        ),
        (
            "ingress",
            json!({"fromRequires": []}),
            "fromRequires",
            "was removed from Cilium: put its labels into the selectors",
        ),
        (
            "ingress",
            json!({"fromNodes": [{"matchLabels": {"other:key": ""}}]}),
            "fromNodes[0].matchLabels[other:key]",
            "`other:key` is not a label key: a name of at most 63 letters, digits, `-`, `_` and `.`, with an optional DNS prefix and `/` before it",
        ),
        (
            "ingress",
            json!({"fromGroups": [{}]}),
            "fromGroups",
            "cloud provider groups are not supported yet",
        ),
        (
            "ingress",
            json!({"icmps": [{"fields": []}]}),
            "icmps",
            "names no message type",
        ),
        (
            "ingress",
            json!({"icmps": [{"fields": [{"type": 8}]}], "toPorts": [{"ports": [{"port": "80"}]}]}),
            "toPorts",
            "cannot stand beside `icmps`: write a rule for each",
        ),
        (
            "ingress",
            json!({"icmps": [{"fields": [{"family": "IPv5", "type": 8}]}]}),
            "icmps[0].fields[0].family",
            "`IPv5` must be one of `IPv4` or `IPv6`",
        ),
        (
            "ingress",
            json!({"icmps": [{"fields": [{"type": 256}]}]}),
            "icmps[0].fields[0].type",
            "`256` is not a message type: 0 to 255",
        ),
        (
            "ingress",
            json!({"icmps": [{"fields": [{"type": "PacketTooBig"}]}]}),
            "icmps[0].fields[0].type",
            "`PacketTooBig` is not a message type of this family: a number or a name such as `EchoRequest`",
        ),
        (
            "ingress",
            json!({"icmps": [{"fields": vec![json!({"type": 8}); 41]}]}),
            "icmps[0].fields",
            "41 types are too many: at most 40, write another entry of `icmps`",
        ),
        (
            "ingress",
            json!({"authentication": {"mode": "required"}}),
            "authentication",
            "is not supported yet",
        ),
        (
            "ingress",
            json!({"toEndpoints": [{}]}),
            "toEndpoints",
            "belongs to egress rules",
        ),
        (
            "egress",
            json!({"fromEndpoints": [{}]}),
            "fromEndpoints",
            "belongs to ingress rules",
        ),
        (
            "ingress",
            json!({"frmEndpoints": [{}]}),
            "frmEndpoints",
            "unknown field; known here: `fromEndpoints`, `fromEntities`, `fromCIDR`, `fromCIDRSet`, `fromNodes`, `toPorts` or `icmps`",
        ),
    ] {
        check(
            rule(direction, entry),
            &format!("spec.{direction}[0].{field}"),
            reason,
        );
    }
}

#[test]
fn port_lists() {
    let at = "spec.ingress[0].toPorts[0].ports";
    let many: Vec<_> = (1..=41).map(|n| json!({"port": n.to_string()})).collect();
    for (list, field, reason) in [
        (
            json!([]),
            "",
            "needs at least one port; `port: \"0\"` means all of them",
        ),
        (
            json!(many),
            "",
            "41 ports are too many: at most 40, write another entry of `toPorts`",
        ),
        (json!([{}]), "[0].port", "must be a string, not nothing"),
        (
            json!([{"port": ""}]),
            "[0].port",
            "`` is neither a port number nor a port name",
        ),
        (
            json!([{"port": 80}]),
            "[0].port",
            "must be a string: write `\"80\"` with the quotes",
        ),
        (
            json!([{"port": "080"}]),
            "[0].port",
            "`080` is neither a port number nor a port name",
        ),
        (
            json!([{"port": "+80"}]),
            "[0].port",
            "`+80` is neither a port number nor a port name",
        ),
        (
            json!([{"port": "65536"}]),
            "[0].port",
            "`65536` is not a port: 1 to 65535",
        ),
        (
            json!([{"port": "a--b"}]),
            "[0].port",
            "`a--b` is neither a port number nor a port name",
        ),
        (
            json!([{"port": "80", "endPort": 79}]),
            "[0].endPort",
            "`79` is less than `port`, `80`",
        ),
        (
            json!([{"port": "web", "endPort": 90}]),
            "[0].endPort",
            "needs a number as `port`, not a name",
        ),
        (
            json!([{"port": "0", "endPort": 90}]),
            "[0].endPort",
            "port `0` means all ports and has no `endPort`",
        ),
        (
            json!([{"port": "80", "protocol": "tcp"}]),
            "[0].protocol",
            "`tcp` must be one of `TCP`, `UDP`, `SCTP` or `ANY`",
        ),
        (
            json!([{"port": "0", "protocol": "ICMP"}]),
            "[0].protocol",
            "`ICMP` is not supported here yet",
        ),
    ] {
        check(ports(list), &format!("{at}{field}"), reason);
    }
}

#[test]
fn entries_of_ports() {
    for (name, reason) in [
        ("terminatingTLS", "TLS termination is not supported yet"),
        ("originatingTLS", "TLS origination is not supported yet"),
        ("listener", "custom Envoy listeners are not supported"),
        (
            "port",
            "unknown field; known here: `ports`, `rules` or `serverNames`",
        ),
    ] {
        let value = rule(
            "egress",
            json!({"toPorts": [{"ports": [{"port": "80"}], name: []}]}),
        );
        check(value, &format!("spec.egress[0].toPorts[0].{name}"), reason);
    }
    let deny = json!({"toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}],
                                   "rules": {"http": [{}]}}]});
    check(
        rule("ingressDeny", deny),
        "spec.ingressDeny[0].toPorts[0].rules",
        "a deny rule judges addresses and ports only: deny requests by not allowing them",
    );
    check(
        rule("egressDeny", json!({"toFQDNs": []})),
        "spec.egressDeny[0].toFQDNs",
        "a deny rule cannot be about DNS names: what is not looked up is not denied",
    );
    let tls = |more: Value| {
        let mut entry = json!({"ports": [{"port": "443", "protocol": "TCP"}]});
        entry
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"toPorts": [entry]})
    };
    check(
        rule("ingressDeny", tls(json!({"serverNames": ["a.b"]}))),
        "spec.ingressDeny[0].toPorts[0].serverNames",
        "a deny rule judges addresses and ports only: deny server names by not allowing them",
    );
    check(
        rule("egress", tls(json!({"serverNames": [""]}))),
        "spec.egress[0].toPorts[0].serverNames[0]",
        "is empty",
    );
    check(
        rule(
            "egress",
            tls(json!({"serverNames": ["a.b"], "rules": {"http": [{}]}})),
        ),
        "spec.egress[0].toPorts[0].rules",
        "cannot stand beside `serverNames` without `terminatingTLS`, which is not supported: what is inside TLS cannot be read",
    );
}

#[test]
fn queries() {
    let dns = |port: Value, rules: Value| json!({"toPorts": [{"ports": [port], "rules": {"dns": rules}}]});
    let udp = json!({"port": "53", "protocol": "UDP"});
    let at = "spec.egress[0].toPorts[0]";
    check(
        rule("ingress", dns(udp.clone(), json!([{"matchPattern": "*"}]))),
        "spec.ingress[0].toPorts[0].rules.dns",
        "belongs to egress rules: queries are judged where they are asked",
    );
    for (port, field, reason) in [
        (
            json!({"port": "53", "protocol": "SCTP"}),
            "protocol",
            "DNS rules need `protocol: UDP`, `TCP` or `ANY`",
        ),
        (
            json!({"port": "0", "protocol": "UDP"}),
            "port",
            "DNS rules need a single port that is not `0`",
        ),
        (
            json!({"port": "53", "endPort": 54, "protocol": "UDP"}),
            "port",
            "DNS rules need a single port that is not `0`",
        ),
    ] {
        let value = rule("egress", dns(port, json!([{"matchPattern": "*"}])));
        check(value, &format!("{at}.ports[0].{field}"), reason);
    }
    check(
        rule("egress", dns(udp.clone(), json!([]))),
        &format!("{at}.rules.dns"),
        "is empty: `[{matchPattern: \"*\"}]` allows every query, without `rules` the port is not looked into",
    );
    check(
        rule("egress", dns(udp, json!([{"matchPattern": "a.**.b"}]))),
        &format!("{at}.rules.dns[0].matchPattern"),
        "has `**` in another place than a leading `**.`",
    );
    check(
        rule(
            "egress",
            json!({"toPorts": [{"rules": {"dns": [{"matchPattern": "*"}]}}]}),
        ),
        &format!("{at}.ports"),
        "needs at least one port; `port: \"0\"` means all of them",
    );
}

#[test]
fn requests_need_tcp() {
    let all = json!({"http": [{}]});
    let at = "spec.ingress[0].toPorts[0]";
    for port in [
        json!({"port": "80"}),
        json!({"port": "80", "protocol": "ANY"}),
        json!({"port": "80", "protocol": "UDP"}),
    ] {
        check(
            http(port, all.clone()),
            &format!("{at}.ports[0].protocol"),
            "HTTP rules need `protocol: TCP` on each port",
        );
    }
    check(
        http(json!({"port": "0", "protocol": "TCP"}), all),
        &format!("{at}.ports[0].port"),
        "HTTP rules need a port that is not `0`",
    );
    for (name, reason) in [
        ("dns", "cannot stand beside `http`: write an entry for each"),
        (
            "kafka",
            "was removed in Cilium 1.20: `http` and `dns` are left",
        ),
        (
            "l7",
            "was removed in Cilium 1.20: `http` and `dns` are left",
        ),
        (
            "l7proto",
            "was removed in Cilium 1.20: `http` and `dns` are left",
        ),
    ] {
        // Also http and dns in one rule.
        let value = http(
            json!({"port": "80", "protocol": "TCP"}),
            json!({"http": [{}], name: []}),
        );
        check(value, &format!("{at}.rules.{name}"), reason);
    }
    check(
        http(
            json!({"port": "80", "protocol": "TCP"}),
            json!({"http": []}),
        ),
        &format!("{at}.rules.http"),
        "is empty: `[{}]` allows every request, without `rules` the port is not looked into",
    );
}

#[test]
fn request_rules() {
    let at = "spec.ingress[0].toPorts[0].rules.http[0]";
    for (entry, field, reason) in [
        (
            json!({"method": "GET("}),
            "method",
            "`GET(` is not a regular expression: a `(` without its `)`",
        ),
        (
            json!({"path": "/a{2,1}"}),
            "path",
            "`/a{2,1}` is not a regular expression: invalid repetition count range, the start must be <= the end",
        ),
        (
            json!({"host": "(?=x)"}),
            "host",
            "`(?=x)` uses `(?=`, which is not supported here",
        ),
        (
            json!({"path": 3}),
            "path",
            "must be a string: write `\"3\"` with the quotes",
        ),
        (
            json!({"headers": [""]}),
            "headers[0]",
            "has an empty header name: write `Name: value` or `Name`",
        ),
        (
            json!({"headers": [": x"]}),
            "headers[0]",
            "has an empty header name: write `Name: value` or `Name`",
        ),
        (
            json!({"headers": ["X-A:b"]}),
            "headers[0]",
            "`X-A:b` is not a header name: write `Name: value` with a blank after the colon, or `Name`",
        ),
        (
            json!({"headers": ["X: a\nb"]}),
            "headers[0]",
            "has a control character in the value",
        ),
        (
            json!({"headerMatches": [{"name": "", "value": "a"}]}),
            "headerMatches[0].name",
            "is empty",
        ),
        (
            json!({"headerMatches": [{"name": "X-A", "secret": {"name": "s"}}]}),
            "headerMatches[0].secret",
            "is not supported: the agent reads no Secret; write a `value`",
        ),
        (
            json!({"headerMatches": [{"name": "X-A", "value": "a", "mismatch": "WARN"}]}),
            "headerMatches[0].mismatch",
            "`WARN` must be one of `LOG`, `ADD`, `DELETE` or `REPLACE`",
        ),
        (
            json!({"headerMatches": [{"name": "Content-Length", "value": "1", "mismatch": "ADD"}]}),
            "headerMatches[0].name",
            "decides where a request ends: it cannot be changed",
        ),
        (
            json!({"paht": "/"}),
            "paht",
            "unknown field; known here: `method`, `path`, `host`, `headers` or `headerMatches`",
        ),
    ] {
        check(tcp_http(entry), &format!("{at}.{field}"), reason);
    }
}
