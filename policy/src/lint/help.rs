//! What a lint means at more length: for `weir lint --explain`, and for code hosts beside a finding.

use super::Lint;

/// Why it is a mistake and what would be right, as Markdown. Every lint has a text: a test holds it.
pub fn help(lint: &Lint) -> &'static str {
    match lint.id {
        "W001" => {
            "A field that is not understood cannot be honoured. Weir never skips it and allows: a rule with \
             such a field is left out, or denies more than it says, until the field is right.\n\n\
             Correct the spelling, the type or the value. A field of Cilium that Weir does not support has \
             to go; `docs/policy-semantics.md` lists them."
        }
        "W002" => {
            "A selector without a namespace means pods of the policy's own namespace, whatever their labels \
             are elsewhere.\n\n\
             For pods of another namespace write `namespaceSelector` beside `podSelector` in the same list \
             item; in a CiliumNetworkPolicy the label `k8s:io.kubernetes.pod.namespace: NAME`."
        }
        "W003" => {
            "A selector that matches nothing selects nobody, so a rule allows less than it seems to, or a \
             policy isolates nothing.\n\n\
             Compare it with the labels of the pod template (not of the Deployment), and with the namespace."
        }
        "W004" => {
            "Namespaces have only the labels that somebody gave them, and `kubernetes.io/metadata.name`, \
             which the API server sets to their name.\n\n\
             Select by that one, or label the namespace in the manifests."
        }
        "W005" => {
            "Each list item is a peer of its own and any of them will do. Two items allow all pods of the \
             namespaces, and such pods of the policy's own namespace.\n\n\
             ```yaml\n\
             - from:\n\
             \x20 - namespaceSelector: {matchLabels: {team: shop}}\n\
             \x20   podSelector: {matchLabels: {app: web}}   # no `-`: both must hold\n\
             ```"
        }
        "W006" => {
            "Pods get new addresses whenever they are replaced, so a prefix matches today's by accident. In a \
             CiliumNetworkPolicy a prefix never means pods, even if it covers their addresses.\n\n\
             Name pods by their labels; keep prefixes for what is outside of the cluster."
        }
        "W007" => {
            "Rules are asked about the pod's own port. A service's `port` is translated to its `targetPort` \
             before any rule is asked.\n\n\
             Write the `targetPort`, or the name of the container's port."
        }
        "W008" => {
            "No container of the selected pods lists this port. The list decides nothing, but it says where \
             the program listens, and a rule for another port is mostly a slip.\n\n\
             Write the port that is listened on, or add it to `containerPorts`. A *named* port must be listed."
        }
        "W009" => {
            "A pod whose egress is limited asks its DNS server like any other peer. Where no rule allows that, \
             every name fails before the connection is tried.\n\n\
             Allow UDP and TCP port 53 to the pods of the DNS service, by their labels and namespace."
        }
        "W010" => {
            "`policyTypes` says in which directions a policy isolates. Rules of a direction that is not listed \
             are without effect, and that direction stays open.\n\n\
             Add the direction to `policyTypes`, or take the rules away."
        }
        "W011" => {
            "A direction that `policyTypes` names and that has no rules is denied as a whole. Beside a \
             direction with rules this is seldom meant.\n\n\
             Leave the direction out, or give it rules. To deny all of it, a policy of its own says so plainly."
        }
        "W012" => {
            "An empty list of peers reads as nobody and means everyone in a NetworkPolicy (`from: []`); in a \
             CiliumNetworkPolicy (`fromEndpoints: []`) it means nobody.\n\n\
             Leave the field out for everyone, or name the peers."
        }
        "W013" => {
            "Rules add up: a rule without `rules.http` allows every request of the same peers to the same \
             port, so no HTTP rule can deny one.\n\n\
             Narrow the wider rule, give it HTTP rules too, or drop the HTTP rules."
        }
        "W014" => {
            "A path is a regular expression that has to match the whole path: `/api/` is this one path, and \
             `/api/*` is `/api` with any number of slashes.\n\n\
             Write `/api/.*` for everything below it."
        }
        "W015" => {
            "The path that is matched includes the query string, so `/search` does not match \
             `/search?q=1`.\n\n\
             Write `/search(\\?.*)?` if queries are to pass."
        }
        "W016" => {
            "A rule for GET does not allow HEAD, which health checks, caches and `curl -I` send.\n\n\
             Write `GET|HEAD` if both are to pass."
        }
        "W017" => {
            "`weir.dev/lint-ignore` silences lints by id or name. A name that no lint has silences nothing.\n\n\
             `weir lint --list` has all of them."
        }
        "W018" => {
            "Methods are compared as they are sent, and clients send them in upper case: a rule for `get` \
             matches no request.\n\n\
             Write `GET`."
        }
        "W019" => {
            "A server that ignores the body of a GET reads it as the next request of the connection. That \
             request no rule has judged: it is smuggled past the policy.\n\n\
             Take `weir.dev/get-body` away, unless every server behind these rules reads such bodies."
        }
        "W020" => {
            "A deny rule isolates the pods that it is about, as any rule does. Where nothing allows, all the \
             rest is denied as well.\n\n\
             Write `enableDefaultDeny` with `false` for that direction, or add a rule that allows the rest."
        }
        "W021" => {
            "A pod on its node's network has the node's address: its traffic is the node's, no policy selects \
             it, and no pod selector means it.\n\n\
             As a peer name the nodes: entities `host` and `remote-node`, or their addresses in a NetworkPolicy."
        }
        "W022" => {
            "`toFQDNs` allows the addresses that the pod was told by DNS. A name that no DNS rule lets it ask \
             for is never learnt; names of the cluster lead to services and pods, which `toFQDNs` never means.\n\n\
             Give the rule that allows port 53 a `rules.dns` with this name, or name pods by `toEndpoints`."
        }
        "W023" => {
            "The service `kubernetes` has port 443, and the API server listens on another, mostly 6443. Rules \
             are asked about the latter.\n\n\
             Write the port of the API server's own address (`kubectl get endpointslices kubernetes`)."
        }
        "W024" => {
            "Rules are asked about the pod behind a service, never about the service's address, so a prefix \
             with that address matches nothing.\n\n\
             Name the pods by label, or the service by `toServices` in a CiliumNetworkPolicy."
        }
        "W025" => {
            "The label of a namespace's name is `kubernetes.io/metadata.name` in a `namespaceSelector`, and \
             `k8s:io.kubernetes.pod.namespace` in a selector of Cilium. Another key is a label that nothing has.\n\n\
             Write the right key."
        }
        "W026" => {
            "`cidrGroupRef` names an object that is not among those that were read, and `cidrGroupSelector` \
             one that no group matches. A rule that allows then allows nobody by it; one that denies covers \
             everybody outside the cluster, because it is not known whom it means.\n\n\
             Give the group with the \
             policy, or correct the name."
        }
        "W027" => {
            "A node that cannot reach the Kubernetes API is told nothing any more, and one whose kubelet is \
             not reached has no logs and no `exec`. So no host policy denies these, nor DHCP, neighbour \
             discovery and the kubelet's probes; what passes against a policy is counted (`pass_guarded`).\n\n\
             Write a rule for them: then the policy says what holds."
        }
        "W028" => {
            "With an overlay (VXLAN, GENEVE) a pod's packet to another node travels inside one of the node's, \
             and that one is judged by host policies.\n\n\
             Allow `fromEntities: [remote-node]` at the overlay's port. Where pods are routed without an \
             overlay nothing is cut: ignore the lint by `weir.dev/lint-ignore`."
        }
        "W029" => {
            "A call of gRPC is a request `POST /package.Service/Method`, without a query string. A rule with \
             another method, with a dot in place of the last slash, or with a query matches no call.\n\n\
             Write `method: POST` and `path: /package.Service/Method`, or `/package.Service/.*` for the \
             whole service."
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::LINTS;

    #[test]
    fn every_lint_has_a_text_of_its_own() {
        let mut texts = std::collections::BTreeSet::new();
        for lint in LINTS {
            let text = help(lint);
            assert!(
                text.contains("\n\n"),
                "{}: what is right is not said",
                lint.id
            );
            assert!(texts.insert(text), "{}: said of another lint", lint.id);
        }
    }
}
