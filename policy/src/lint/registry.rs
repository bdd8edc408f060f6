//! All lints. Ids are stable: one that goes is never given again.

use serde::Serialize;

/// A kind of mistake.
#[derive(Debug, PartialEq, Eq)]
pub struct Lint {
    /// `W` and three digits.
    pub id: &'static str,
    /// A name for people.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence.
    pub summary: &'static str,
}

/// How bad a mistake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; often meant so.
    Note,
    /// Probably not meant so.
    Warning,
    /// Does not do what it says.
    Error,
}

macro_rules! lints {
    ($($constant:ident $id:literal $name:literal $severity:ident $summary:literal;)*) => {
        $(
            #[doc = $summary]
            pub const $constant: Lint = Lint {
                id: $id,
                name: $name,
                severity: Severity::$severity,
                summary: $summary,
            };
        )*
        /// All of them, by id.
        pub const LINTS: &[&Lint] = &[$(&$constant),*];
    };
}

lints! {
    REFUSED "W001" "refused" Error
        "A field is not understood or not supported, so a part of the policy is not in force as written.";
    CROSS_NAMESPACE "W002" "cross-namespace" Error
        "A selector without a namespace means the policy's own namespace, and the pods that it describes are in another.";
    MATCHES_NOTHING "W003" "matches-nothing" Warning
        "A selector matches no pod of the manifests.";
    NO_NAMESPACE "W004" "no-namespace" Warning
        "A namespace selector matches no namespace of the manifests.";
    OR_NOT_AND "W005" "or-not-and" Warning
        "A namespaceSelector and a podSelector stand as two list items, which means either of them, not both.";
    IP_BLOCK_OVER_PODS "W006" "ip-block-over-pods" Warning
        "A prefix covers pods, whose addresses change; a Cilium CIDR never means pods at all.";
    SERVICE_PORT "W007" "service-port" Error
        "A rule has the port of a service in place of the pod's own.";
    PORT_NOT_EXPOSED "W008" "port-not-exposed" Warning
        "No selected pod has the port of a rule among its container ports.";
    NO_DNS "W009" "no-dns" Warning
        "Egress is limited without allowing DNS, so names do not resolve.";
    RULES_IGNORED "W010" "rules-ignored" Error
        "Rules of a direction that policyTypes leaves out say nothing.";
    NO_RULES "W011" "no-rules" Warning
        "policyTypes names a direction that has no rules beside one that has: everything is denied there.";
    EMPTY_PEERS "W012" "empty-peers" Warning
        "An empty list of peers: everyone in a NetworkPolicy, nobody in a CiliumNetworkPolicy.";
    HTTP_SHADOWED "W013" "http-shadowed" Error
        "A rule without HTTP rules allows the same peers and port, so the HTTP rules decide nothing.";
    PATH_LIKE_PREFIX "W014" "path-like-prefix" Warning
        "A path is written like a prefix or a glob, and paths are regular expressions that match in full.";
    PATH_WITHOUT_QUERY "W015" "path-without-query" Note
        "A path without wildcards is not matched by a request with a query string.";
    GET_WITHOUT_HEAD "W016" "get-without-head" Note
        "GET is allowed and HEAD is not.";
    UNKNOWN_LINT "W017" "unknown-lint" Warning
        "The annotation weir.dev/lint-ignore names a lint that does not exist.";
    METHOD_CASE "W018" "method-case" Warning
        "A method is written in lower case, and methods are upper case: it matches no request.";
    BODY_ON_GET "W019" "body-on-get" Warning
        "The annotation weir.dev/get-body lets GET and its like have a body, which a server that does not read it takes for the next request.";
    DENY_ALONE "W020" "deny-alone" Warning
        "Deny rules alone isolate the pods that they are about, so everything else is denied, too.";
    HOST_NETWORK "W021" "host-network" Warning
        "A selector matches host-network pods only, which policies neither select nor match.";
    NEVER_LEARNT "W022" "never-learnt" Warning
        "A name of toFQDNs is never learnt: no DNS rule lets it be asked for, or it is of the cluster itself.";
    APISERVER_PORT "W023" "apiserver-port" Warning
        "A rule for kube-apiserver has the port of its service in place of the API server's own.";
    SERVICE_ADDRESS "W024" "service-address" Warning
        "A prefix is the address of a service, and rules are asked about what is behind it.";
    NAMESPACE_KEY "W025" "namespace-key" Warning
        "A key looks like the label of a namespace's name and is not.";
    NO_CIDR_GROUP "W026" "no-cidr-group" Warning
        "A CIDR group that a rule names is not among those of the manifests.";
    HOST_GUARD "W027" "host-guard" Note
        "A host policy does not allow what is never denied: it passes all the same.";
    HOST_OVERLAY "W028" "host-overlay" Warning
        "A host policy lets no node send by an overlay, on which pods of different nodes may depend.";
    GRPC_CALL "W029" "grpc-call" Warning
        "A rule about a call of gRPC has a path or a method that no call has.";
}

// === impl Severity ===

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// The lint of this id or name.
pub fn find(text: &str) -> Option<&'static Lint> {
    LINTS
        .iter()
        .copied()
        .find(|lint| lint.id.eq_ignore_ascii_case(text) || lint.name == text)
}
