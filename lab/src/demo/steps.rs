//! The steps of the demo, in the words of the lab they follow.

pub const SLEEP: &str = include_str!("../../scenarios/s4/sleep.yaml");
pub const HTTPBIN: &str = include_str!("../../scenarios/s4/httpbin.yaml");
const VISITOR: &str = include_str!("../../scenarios/s4/visitor.yaml");

pub struct Step {
    pub title: &'static str,
    pub text: &'static str,
    pub actions: &'static [Action],
    pub checks: &'static [Check],
}

pub enum Action {
    Apply {
        file: &'static str,
        yaml: &'static str,
        namespace: &'static str,
    },
    /// All of a kind in the default namespace.
    DeleteAll(&'static str),
}

/// One request with curl.
pub struct Check {
    pub from: &'static str,
    pub method: &'static str,
    pub url: &'static str,
    pub expected: Expected,
    /// Which flow of it decides: Weir is asked about that one.
    pub judged: Peer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The request is answered.
    Ok,
    /// The proxy says 403 `Access denied`.
    Denied,
    /// Packets are dropped without a word.
    TimeOut,
    /// Packets to the DNS are dropped.
    NoName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Httpbin,
    Dns,
}

// === impl Expected ===

impl Expected {
    pub fn text(self) -> &'static str {
        match self {
            Expected::Ok => "HTTP 200",
            Expected::Denied => "HTTP 403, Access denied",
            Expected::TimeOut => "a time-out",
            Expected::NoName => "a time-out of the name lookup",
        }
    }

    /// The verdict that Weir must give of the flow that decides.
    pub fn verdict(self) -> &'static str {
        match self {
            Expected::Ok => "allow",
            Expected::Denied => "http-deny",
            Expected::TimeOut | Expected::NoName => "deny",
        }
    }
}

// === impl Check ===

impl Check {
    /// The command as a person would type it.
    pub fn command(&self, url: &str) -> String {
        match self.method {
            "GET" => format!("curl -m 2 {url}"),
            method => format!("curl -m 2 -X {method} {url}"),
        }
    }
}

const SLEEP_POD: &str = "deploy/sleep";
const OTHER_SLEEP: &str = "sleep/deploy/sleep";
const VISITOR_POD: &str = "sleep/visitor";
/// The name works from every namespace.
const HEADERS: &str = "httpbin.default:8000/headers";

const fn get(from: &'static str, expected: Expected) -> Check {
    request(from, "GET", HEADERS, expected)
}

const fn request(
    from: &'static str,
    method: &'static str,
    url: &'static str,
    expected: Expected,
) -> Check {
    let judged = match expected {
        Expected::NoName => Peer::Dns,
        _ => Peer::Httpbin,
    };
    Check {
        from,
        method,
        url,
        expected,
        judged,
    }
}

macro_rules! policy {
    ($name:literal) => {
        Action::Apply {
            file: concat!($name, ".yaml"),
            yaml: include_str!(concat!("../../scenarios/s4/policies/", $name, ".yaml")),
            namespace: "default",
        }
    };
}

pub const STEPS: &[Step] = &[
    Step {
        title: "No policy",
        text: "Every pod reaches every pod.",
        actions: &[],
        checks: &[request(
            SLEEP_POD,
            "GET",
            "httpbin:8000/headers",
            Expected::Ok,
        )],
    },
    Step {
        title: "Deny all ingress of the default namespace",
        text: "A denied connection is dropped without a word: the client waits until it gives up.",
        actions: &[policy!("default-deny-ingress")],
        checks: &[get(SLEEP_POD, Expected::TimeOut)],
    },
    Step {
        title: "Allow sleep to reach httpbin",
        text: "Policies add up: what one allows is allowed, though another denies by default.",
        actions: &[policy!("allow-ingress-to-httpbin")],
        checks: &[get(SLEEP_POD, Expected::Ok)],
    },
    Step {
        title: "The same labels in another namespace",
        text: "A podSelector alone means pods of the policy's own namespace.",
        actions: &[
            Action::Apply {
                file: "sleep.yaml",
                yaml: SLEEP,
                namespace: "sleep",
            },
            Action::Apply {
                file: "visitor.yaml",
                yaml: VISITOR,
                namespace: "sleep",
            },
        ],
        checks: &[get(OTHER_SLEEP, Expected::TimeOut)],
    },
    Step {
        title: "Allow the namespace sleep",
        text: "Every pod of that namespace may come now, whatever its labels.",
        actions: &[policy!("allow-ingress-from-sleep")],
        checks: &[
            get(OTHER_SLEEP, Expected::Ok),
            get(VISITOR_POD, Expected::Ok),
        ],
    },
    Step {
        title: "Allow only the sleep pods of the namespace sleep",
        text: "Both selectors in one peer: both must hold.",
        actions: &[policy!("allow-ingress-from-sleep-narrowed")],
        checks: &[
            get(OTHER_SLEEP, Expected::Ok),
            get(VISITOR_POD, Expected::TimeOut),
        ],
    },
    Step {
        title: "Delete all policies",
        text: "Everything is open again at once.",
        actions: &[Action::DeleteAll("netpol")],
        checks: &[get(VISITOR_POD, Expected::Ok)],
    },
    Step {
        title: "Allow the own namespace only",
        text: "Empty selectors: all pods of this namespace, from all pods of this namespace.",
        actions: &[policy!("allow-ns-ingress")],
        checks: &[
            get(SLEEP_POD, Expected::Ok),
            get(OTHER_SLEEP, Expected::TimeOut),
        ],
    },
    Step {
        title: "Deny all egress of sleep",
        text: "The first thing to fail is the lookup of the name: the DNS is a pod as well.",
        actions: &[policy!("deny-sleep-egress")],
        checks: &[get(SLEEP_POD, Expected::NoName)],
    },
    Step {
        title: "Allow sleep's egress to httpbin",
        text: "By name it still fails, because of the DNS; by the service's address it works.",
        actions: &[policy!("deny-sleep-to-httpbin-egress")],
        checks: &[
            get(SLEEP_POD, Expected::NoName),
            request(SLEEP_POD, "GET", "HTTPBIN_IP:8000/headers", Expected::Ok),
        ],
    },
    Step {
        title: "Allow the DNS",
        text: "Now the name works too.",
        actions: &[policy!("allow-dns-egress")],
        checks: &[get(SLEEP_POD, Expected::Ok)],
    },
    Step {
        title: "Delete all policies, and look at HTTP",
        text: "Every method and path is open.",
        actions: &[Action::DeleteAll("netpol")],
        checks: &[
            request(SLEEP_POD, "POST", "httpbin.default:8000/post", Expected::Ok),
            request(SLEEP_POD, "GET", "httpbin.default:8000/ip", Expected::Ok),
        ],
    },
    Step {
        title: "Allow GET /headers and nothing else",
        text: "A NetworkPolicy cannot say this; a CiliumNetworkPolicy can. What is not allowed is \
               answered with 403; whom no rule names is dropped as before.",
        actions: &[policy!("allow-get-headers")],
        checks: &[
            get(SLEEP_POD, Expected::Ok),
            request(
                SLEEP_POD,
                "POST",
                "httpbin.default:8000/post",
                Expected::Denied,
            ),
            request(
                SLEEP_POD,
                "GET",
                "httpbin.default:8000/ip",
                Expected::Denied,
            ),
            get(OTHER_SLEEP, Expected::TimeOut),
        ],
    },
    Step {
        title: "Delete the policy",
        text: "The same pods all along: nothing was restarted, nothing runs beside them.",
        actions: &[Action::DeleteAll("cnp")],
        checks: &[request(
            SLEEP_POD,
            "POST",
            "httpbin.default:8000/post",
            Expected::Ok,
        )],
    },
];
