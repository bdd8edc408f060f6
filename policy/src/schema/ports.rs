//! Ports, and what is allowed on them.

use serde_json::{Value, json};

use super::{
    build::{described, integer, list, map, object, one_of, pattern, text, with},
    peers,
};

/// A number or the name of a container port; which numbers and names are good, the parser says.
const PORT: &str = "^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$";
pub(super) const PROTOCOLS: &[&str] = &[
    "TCP", "UDP", "SCTP", "ICMP", "ICMPv6", "VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH",
    "ANY",
];
/// Cilium's limit, of ports in an entry and of types in one of `icmps`.
const MOST: usize = 40;

/// `toPorts` of an allow rule.
pub(super) fn allow() -> Value {
    described(
        "Ports of the endpoint that gets the connection, and what is allowed on them",
        list(object(
            vec![
                ("ports", ports()),
                ("rules", l7()),
                (
                    "serverNames",
                    described("TLS server names that are allowed", list(text())),
                ),
                ("terminatingTLS", tls()),
                ("originatingTLS", tls()),
                ("listener", listener()),
            ],
            &[],
        )),
    )
}

/// `toPorts` of a deny rule.
pub(super) fn deny() -> Value {
    described(
        "Ports of the endpoint that gets the connection",
        list(object(vec![("ports", ports())], &[])),
    )
}

fn ports() -> Value {
    let entry = object(
        vec![
            (
                "port",
                described("Number or name; `0` is every port", pattern(PORT)),
            ),
            (
                "endPort",
                described("Last port of a range", integer(0, 65535)),
            ),
            ("protocol", one_of(PROTOCOLS)),
        ],
        &["port"],
    );
    with(list(entry), "maxItems", json!(MOST))
}

fn l7() -> Value {
    let kafka = object(
        vec![
            ("role", one_of(&["produce", "consume"])),
            ("apiKey", text()),
            ("apiVersion", text()),
            ("clientID", text()),
            ("topic", text()),
        ],
        &[],
    );
    object(
        vec![
            ("http", described("Requests that are allowed", list(http()))),
            ("dns", peers::names("DNS queries that are allowed")),
            ("kafka", list(kafka)),
            ("l7proto", text()),
            ("l7", list(map(text()))),
        ],
        &[],
    )
}

fn http() -> Value {
    let regex = |what| described(what, text());
    let header = object(
        vec![
            ("name", with(text(), "minLength", json!(1))),
            ("value", text()),
            ("secret", secret()),
            (
                "mismatch",
                described(
                    "What to do where the header differs; without it the request is denied",
                    one_of(&["LOG", "ADD", "DELETE", "REPLACE"]),
                ),
            ),
        ],
        &["name"],
    );
    object(
        vec![
            ("method", regex("Pattern of the whole method")),
            ("path", regex("Pattern of the whole path")),
            ("host", regex("Pattern of the whole host")),
            (
                "headers",
                described(
                    "Headers that must be there: `Name: value` or `Name`",
                    list(text()),
                ),
            ),
            ("headerMatches", list(header)),
        ],
        &[],
    )
}

fn secret() -> Value {
    object(vec![("name", text()), ("namespace", text())], &["name"])
}

fn tls() -> Value {
    object(
        vec![
            ("secret", secret()),
            ("trustedCA", text()),
            ("certificate", text()),
            ("privateKey", text()),
        ],
        &["secret"],
    )
}

fn listener() -> Value {
    let config = object(
        vec![
            (
                "kind",
                one_of(&["CiliumEnvoyConfig", "CiliumClusterwideEnvoyConfig"]),
            ),
            ("name", with(text(), "minLength", json!(1))),
        ],
        &["name"],
    );
    object(
        vec![
            ("envoyConfig", config),
            ("name", with(text(), "minLength", json!(1))),
            ("priority", integer(0, 100)),
        ],
        &["envoyConfig", "name"],
    )
}

/// `icmps`.
pub(super) fn icmps() -> Value {
    let number_or_name = json!({
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": true,
        "description": "Number, or a name such as EchoRequest",
    });
    let field = object(
        vec![
            ("family", one_of(&["IPv4", "IPv6"])),
            ("type", number_or_name),
        ],
        &["type"],
    );
    let fields = with(list(field), "maxItems", json!(MOST));
    described(
        "Message types of ICMP and ICMPv6",
        list(object(vec![("fields", fields)], &[])),
    )
}
