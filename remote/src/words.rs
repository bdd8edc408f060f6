//! Questions as command lines of `weir`, which an agent's container runs.

use weir_link::tools::{Asks, Explain, ListEndpoints, ListPolicies, StatusOf};
use weir_policy::verdict::Flow;

/// The instance that a node has.
const INSTANCE: &str = "weir";

/// A question that a command answers with the same JSON as the agent.
pub trait Words: Asks {
    /// The command, without `weir`.
    fn words(&self) -> Vec<String>;
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

impl Words for StatusOf {
    fn words(&self) -> Vec<String> {
        words("status -o json")
    }
}

impl Words for ListEndpoints {
    fn words(&self) -> Vec<String> {
        words("endpoint list -o json")
    }
}

impl Words for ListPolicies {
    fn words(&self) -> Vec<String> {
        words("policy get -o json")
    }
}

impl Words for Explain {
    fn words(&self) -> Vec<String> {
        let Flow {
            from,
            to,
            protocol,
            port,
            port_name,
            http,
        } = &self.0;
        // `=` keeps a value that begins with a dash from being a flag.
        let mut words = words("explain -o json");
        words.push(format!("--instance={INSTANCE}"));
        words.push(format!("--from={from}"));
        words.push(format!("--to={to}"));
        words.push(format!("--protocol={protocol}"));
        words.extend(port.map(|port| format!("--port={port}")));
        words.extend(port_name.iter().map(|name| format!("--port={name}")));
        if let Some(http) = http {
            words.push(format!("--http={} {}", http.method, http.path));
            let host = http.host.iter().map(|host| ("Host", host));
            let headers = http.headers.iter();
            let headers = headers.map(|(name, value)| (name.as_str(), value));
            words.extend(
                host.chain(headers)
                    .map(|(name, value)| format!("--header={name}: {value}")),
            );
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use weir_policy::{model::Protocol, verdict::HttpRequest};

    use super::*;

    #[test]
    fn a_flow_is_asked_about_in_words() {
        let flow = Flow {
            from: "default/sleep".into(),
            to: "svc/httpbin".into(),
            protocol: Protocol::Tcp,
            port: None,
            port_name: Some("http".into()),
            http: Some(HttpRequest {
                method: "GET".into(),
                path: "/ip".into(),
                host: Some("httpbin".into()),
                headers: [("X-A".to_owned(), "1".to_owned())].into(),
            }),
        };
        let said = Explain(flow).words().join(" | ");
        assert_eq!(
            said,
            "explain | -o | json | --instance=weir | --from=default/sleep | --to=svc/httpbin \
             | --protocol=TCP | --port=http | --http=GET /ip | --header=Host: httpbin | --header=X-A: 1"
        );
    }
}
