//! What a NetworkPolicy does, in words: whom it isolates, and what it lets through.

use serde_json::Value;

use super::{Lines, selected};

/// The lines of a policy's spec.
pub fn spec(spec: &Value, lines: &mut Lines) {
    lines.text("Spec:");
    lines.text(&match selected(&spec["podSelector"]) {
        Some(labels) => format!("  PodSelector:     {labels}"),
        None => "  PodSelector:     <none> (all pods of this namespace)".to_owned(),
    });
    let types = types(spec);
    for (direction, rules, peers, what) in [
        ("Ingress", "ingress", "from", "From"),
        ("Egress", "egress", "to", "To"),
    ] {
        let lower = direction.to_lowercase();
        if !types.contains(&direction) {
            lines.text(&format!("  Not affecting {lower} traffic"));
            continue;
        }
        lines.text(&format!("  Allowing {lower} traffic:"));
        let rules = spec[rules]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        if rules.is_empty() {
            lines.text(&format!(
                "    <none> (selected pods are isolated for {lower})"
            ));
        }
        for (index, rule) in rules.iter().enumerate() {
            if index > 0 {
                lines.text("    ----------");
            }
            ports(&rule["ports"], lines);
            self::peers(&rule[peers], what, lines);
        }
    }
    lines.text(&format!("  Policy Types: {}", types.join(", ")));
}

/// Where they are not said: always Ingress, and Egress where there are rules of it.
fn types(spec: &Value) -> Vec<&str> {
    match spec["policyTypes"].as_array() {
        Some(types) if !types.is_empty() => types.iter().filter_map(Value::as_str).collect(),
        _ if spec["egress"].is_array() => vec!["Ingress", "Egress"],
        _ => vec!["Ingress"],
    }
}

fn ports(ports: &Value, lines: &mut Lines) {
    let ports = ports.as_array().map(Vec::as_slice).unwrap_or_default();
    if ports.is_empty() {
        lines.text("    To Port: <any> (every protocol and port)");
    }
    for port in ports {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        let number = match (&port["port"], port["endPort"].as_u64()) {
            (Value::Null, _) => "<any>".to_owned(),
            (Value::String(name), _) => name.clone(),
            (first, Some(last)) => format!("{first}-{last}"),
            (number, None) => number.to_string(),
        };
        lines.text(&format!("    To Port: {number}/{protocol}"));
    }
}

fn peers(peers: &Value, what: &str, lines: &mut Lines) {
    let peers = peers.as_array().map(Vec::as_slice).unwrap_or_default();
    if peers.is_empty() {
        lines.text(&format!("    {what}: <any> (every address)"));
    }
    for peer in peers {
        lines.text(&format!("    {what}:"));
        if let Some(block) = peer.get("ipBlock") {
            let cidr = block["cidr"].as_str().unwrap_or_default();
            lines.text(&format!("      IPBlock: {cidr}"));
            let except = super::each(&block["except"], "", "");
            if !except.is_empty() {
                lines.text(&format!("      Except: {except}"));
            }
        }
        if let Some(namespaces) = peer.get("namespaceSelector") {
            let labels = selected(namespaces).unwrap_or_else(|| "<none> (all namespaces)".into());
            lines.text(&format!("      NamespaceSelector: {labels}"));
        }
        if let Some(pods) = peer.get("podSelector") {
            let labels = selected(pods).unwrap_or_else(|| match peer.get("namespaceSelector") {
                Some(_) => "<none> (all their pods)".into(),
                None => "<none> (all pods of this namespace)".into(),
            });
            lines.text(&format!("      PodSelector: {labels}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_policy_does() {
        let mut lines = Lines(String::new());
        let policy = json!({
            "podSelector": {"matchLabels": {"app": "db"}},
            "ingress": [{"from": [{"podSelector": {}, "namespaceSelector": {"matchLabels": {"a": "b"}}}],
                         "ports": [{"port": 3306}, {"port": 1, "endPort": 9, "protocol": "UDP"}]}],
            "egress": [],
        });
        spec(&policy, &mut lines);
        assert_eq!(
            lines.0,
            "Spec:\n  PodSelector:     app=db\n  Allowing ingress traffic:\n    To Port: 3306/TCP\n    \
             To Port: 1-9/UDP\n    From:\n      NamespaceSelector: a=b\n      PodSelector: <none> (all their pods)\n  \
             Allowing egress traffic:\n    <none> (selected pods are isolated for egress)\n  \
             Policy Types: Ingress, Egress\n"
        );
    }
}
