//! Every filter flag.

use super::values::*;
use crate::api::flow::{FlowFilter, IpVersion};

/// A flag.
pub struct Flag {
    /// Its long name, without dashes.
    pub name: &'static str,
    /// Its letter on a command line.
    pub short: Option<char>,
    /// What its value is called; empty: it has none.
    pub value: &'static str,
    /// What it is about, in a few words.
    pub help: &'static str,
    /// Its value is one, commas and all: selectors and patterns may have commas of their own.
    pub(super) single: bool,
    pub(super) apply: Apply,
}

type Set = fn(&mut FlowFilter, &str) -> Result<(), String>;

/// What a flag sets.
pub(super) enum Apply {
    /// The same, whichever end other flags are about.
    Both(Set),
    /// One end or the other.
    Either {
        /// In the filter on sources.
        source: Set,
        /// In the filter on destinations.
        destination: Set,
    },
}

/// All flags.
pub fn all() -> impl Iterator<Item = &'static Flag> {
    ENDS.iter().flatten().chain(OTHERS)
}

const fn flag(name: &'static str, value: &'static str, help: &'static str, set: Set) -> Flag {
    Flag {
        name,
        short: None,
        value,
        help,
        single: false,
        apply: Apply::Both(set),
    }
}

impl Flag {
    const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    const fn single(mut self) -> Self {
        self.single = true;
        self
    }
}

/// Three flags: about the source, about the destination, about either.
macro_rules! ends {
    ($name:literal, $value:literal, $help:literal, $source:ident, $destination:ident, $set:ident) => {
        [
            flag(
                concat!("from-", $name),
                $value,
                concat!("Source: ", $help),
                |f, v| $set(&mut f.$source, v),
            ),
            flag(
                concat!("to-", $name),
                $value,
                concat!("Destination: ", $help),
                |f, v| $set(&mut f.$destination, v),
            ),
            Flag {
                apply: Apply::Either {
                    source: |f, v| $set(&mut f.$source, v),
                    destination: |f, v| $set(&mut f.$destination, v),
                },
                ..flag($name, $value, concat!("Either end: ", $help), |_, _| Ok(()))
            },
        ]
    };
}

#[rustfmt::skip]
const ENDS: &[[Flag; 3]] = &[
    ends!("pod", "[NS/]PREFIX", "pod, by the beginning of its name", source_pod, destination_pod, text),
    {
        let [from, to, either] = ends!("namespace", "NAMESPACE", "namespace", source_pod, destination_pod, namespace);
        [from, to, either.short('n')]
    },
    {
        let [from, to, either] = ends!("label", "SELECTOR", "label selector", source_label, destination_label, text);
        [from.single(), to.single(), either.single().short('l')]
    },
    ends!("service", "[NS/]PREFIX", "service", source_service, destination_service, text),
    ends!("workload", "[KIND/]NAME", "workload", source_workload, destination_workload, workload),
    ends!("identity", "NUMBER|NAME", "identity", source_identity, destination_identity, identity),
    ends!("ip", "ADDRESS|PREFIX", "address", source_ip, destination_ip, text),
    ends!("fqdn", "NAME", "DNS name, with *", source_fqdn, destination_fqdn, text),
    ends!("port", "PORT", "port", source_port, destination_port, text),
    ends!("cluster", "NAME", "cluster", source_cluster_name, destination_cluster_name, text),
];

#[rustfmt::skip]
const OTHERS: &[Flag] = &[
    flag("snat-ip", "ADDRESS|PREFIX", "Source address after translation", |f, v| text(&mut f.source_ip_xlated, v)),
    flag("protocol", "NAME", "tcp, udp, sctp, icmp, icmpv4, icmpv6, http, dns", |f, v| text(&mut f.protocol, v)),
    flag("tcp-flags", "FLAGS", "TCP flags that must be set: SYN,ACK", tcp_flags).single(),
    flag("type", "TYPE[:SUBTYPE]", TYPES, event_type).short('t'),
    flag("verdict", "VERDICT", VERDICTS, verdict),
    flag("drop-reason-desc", "REASON", "Drop reason, such as POLICY_DENIED", drop_reason),
    flag("http-status", "STATUS", "Status of an answer: 404, or 4+", |f, v| text(&mut f.http_status_code, v)),
    flag("http-method", "METHOD", "Method of a request", |f, v| text(&mut f.http_method, v)),
    flag("http-path", "REGEX", "Path of a request", |f, v| text(&mut f.http_path, v)).single(),
    flag("http-url", "REGEX", "URL of a request", |f, v| text(&mut f.http_url, v)).single(),
    flag("http-header", "KEY:VALUE", "Header of a request", header).single(),
    flag("dns-query", "REGEX", "Name of a DNS query", |f, v| text(&mut f.dns_query, v)).single(),
    flag("trace-id", "ID", "Trace", |f, v| text(&mut f.trace_id, v)),
    flag("traffic-direction", "DIRECTION", "ingress or egress", direction),
    flag("node-name", "PATTERN", "Node, with *", |f, v| text(&mut f.node_name, v)),
    flag("node-label", "SELECTOR", "Label selector of the node", |f, v| text(&mut f.node_labels, v)).single(),
    flag("interface", "NAME", "Interface", interface),
    flag("uuid", "UUID", "One flow", |f, v| text(&mut f.uuid, v)),
    flag("cel-expression", "EXPRESSION", "Expression in CEL about _flow", cel).single(),
    flag("ipv4", "", "IPv4 only", |f, _| version(f, IpVersion::IPv4)).short('4'),
    flag("ipv6", "", "IPv6 only", |f, _| version(f, IpVersion::IPv6)).short('6'),
    flag("ip-version", "VERSION", "v4 or v6", ip_version),
    flag("encrypted", "", "Encrypted only", |f, _| encrypted(f, true)),
    flag("unencrypted", "", "Unencrypted only", |f, _| encrypted(f, false)),
];
