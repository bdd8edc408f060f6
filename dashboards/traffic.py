"""The dashboards about traffic: overview, HTTP by workload, policy verdicts."""

from parts import RATE, dashboard, lines, query, stat, table, variables

ENDS = {
    "source_namespace": "From namespace", "source_workload": "From workload",
    "destination_namespace": "To namespace", "destination_workload": "To workload",
}
PLACES = (
    query("namespace", "Namespace", "label_values(hubble_flows_processed_total, destination_namespace)"),
    query("workload", "Workload",
          'label_values(hubble_flows_processed_total{destination_namespace=~"$namespace"}, destination_workload)'),
)
DENIED = 'type=~"PolicyVerdict|L7",verdict="DROPPED"'


def end(side, more=""):
    more = f",{more}" if more else ""
    return f'node=~"$node",{side}_namespace=~"$namespace",{side}_workload=~"$workload"{more}'


def either(metric, more="", function="rate", window=RATE):
    """Flows from or to the chosen workloads: a flow between two of them counts once."""
    return " or ".join(f"{function}({metric}{{{end(side, more)}}}[{window}])" for side in ("source", "destination"))


def judged(metric, more="", window=RATE):
    """Flows that the rules of the chosen workloads judged: source for egress, destination for ingress."""
    sides = (("egress", "source"), ("ingress", "destination"))
    made = [metric + "{" + end(side, f'direction="{direction}"' + (f",{more}" if more else "")) + "}"
            for direction, side in sides]
    return " or ".join(f"rate({one}[{window}])" if window else one for one in made)


def quantiles(selector, by=()):
    """p50, p95 and p99 of how long requests take, for each of `by`."""
    names = " ".join(f"{{{{{label}}}}}" for label in by)
    rate = f"sum by ({', '.join((*by, 'le'))}) (rate(hubble_http_request_duration_seconds_bucket{{{selector}}}[{RATE}]))"
    return [(f"histogram_quantile({share}, {rate})", f"{name} {names}".strip())
            for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))]


def overview():
    requests = either("hubble_http_requests_total")
    duration = either("hubble_http_request_duration_seconds_bucket")
    latency = [(f"histogram_quantile({share}, sum by (le) ({duration}))", name)
               for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))]
    node = 'node=~"$node"'
    return dashboard("weir-overview", "Weir overview", "Traffic, drops, denials by policy, HTTP.", variables(*PLACES), [
        ("Now", [
            stat("Nodes enforcing", f"count(weir_build_info{{{node}}})"),
            stat("Pods under policy", f"sum(weir_endpoints{{{node}}})"),
            stat("Policies in force", f"max(weir_policies{{{node}}})"),
            stat("Not honoured as written", f"max(weir_policies_refused{{{node}}})", steps=[(1, "red")],
                 about="Objects, or parts of them, that Weir refuses. What they would allow stays closed."),
            stat("Denied a second", f"sum({either('hubble_flows_processed_total', DENIED)}) or vector(0)", "reqps",
                 about="New flows and HTTP requests, DNS queries and TLS connections that policy denied."),
            stat("HTTP requests a second", f"sum({requests})", "reqps"),
        ]),
        ("Traffic", [
            lines("New flows by verdict", [
                (f"""sum by (verdict) ({either('hubble_flows_processed_total', 'type=~"PolicyVerdict|Trace"')})""",
                 "{{verdict}}")], "cps", stacked=True,
                about="REDIRECTED: rules about HTTP, DNS or TLS names decide, in the proxy. FORWARDED and DROPPED "
                      "were decided by addresses and ports."),
            lines("Verdicts of policies", [
                (f"sum by (direction, action) ({judged('hubble_policy_verdicts_total')})", "{{direction}} {{action}}")],
                "cps"),
        ]),
        ("Denials", [
            lines("Denials by policy", [
                (f"""sum by (policy, layer) ({judged('weir_policy_denials_total', 'action="denied"')})""",
                 "{{policy}} {{layer}}")], "cps", stacked=True,
                about="A denial that several policies cause, as when several select the pod, counts for each of them."),
            lines("Packets dropped by reason", [
                (f"sum by (reason, protocol) (rate(hubble_drop_total{{{node}}}[{RATE}]))", "{{reason}} {{protocol}}")],
                "pps", about="Packets that clients send again are counted, too."),
        ]),
        ("HTTP", [
            lines("Requests by status", [(f"sum by (status, reporter) ({requests})", "{{status}} {{reporter}}")], "reqps",
                  stacked=True, about="Status 403: mostly denied by policy. Status 0: no answer. A request that the "
                                      "rules of both ends judge is told by both reporters."),
            lines("How long requests take", latency, "s"),
        ]),
        ("DNS", [
            lines("Queries by answer", [(f"sum by (rcode) (rate(hubble_dns_responses_total{{{node}}}[{RATE}]))", "rcode {{rcode}}")],
                  "reqps", about="Of pods with rules on DNS names. rcode 5: refused by policy."),
            lines("What the proxy judged", [
                (f"sum by (protocol, verdict) (rate(weir_proxy_judged_total{{{node}}}[{RATE}]))", "{{protocol}} {{verdict}}")],
                "reqps"),
        ]),
    ])


def http():
    source = query("source", "Source workload", "label_values(hubble_http_requests_total, source_workload)")
    reporter = query("reporter", "Judged by rules of the", "label_values(hubble_http_requests_total, reporter)",
                     multi=False, first="server")
    where = end("destination", 'source_workload=~"$source",reporter=~"$reporter"')
    by_source = ("source_namespace", "source_workload")
    named = "{{source_namespace}}/{{source_workload}}"

    def rate(labels=(), more=""):
        by = f" by ({', '.join(labels)})" if labels else ""
        return f"sum{by} (rate(hubble_http_requests_total{{{where}{more}}}[{RATE}]))"

    def share(labels=(), more=',status=~"5..|0"'):
        return f"({rate(labels, more)} or 0 * {rate(labels)}) / {rate(labels)}"

    counted = f"sum by (%s) (hubble_http_requests_total{{{where}}})"
    request = {"method": "Method", "status": "Status"}
    answered = "Answered, and not with 5xx. A 403 of Weir's is an answer."
    return dashboard("weir-http", "HTTP by workload", "HTTP requests that rules judged: the answer of each counts, "
                     "Weir's own 403 included; a request without an answer has status 0.",
                     variables(reporter, *PLACES, source), [
        ("Now", [
            stat("Requests a second", rate(), "reqps", width=6),
            stat("Success rate", f"1 - {share()}", "percentunit", about=answered, width=6),
            stat("Answered with 403", share(more=',status="403"'), "percentunit", width=6),
            stat("p99", quantiles(where)[2][0], "s", width=6),
        ]),
        ("Requests", [
            lines("Requests by method and status", [(rate(("method", "status")), "{{method}} {{status}}")], "reqps", stacked=True),
            lines("How long requests take", quantiles(where), "s",
                  about="From the end of the request's head to the end of the answer; denied requests are left out."),
            table("Requests counted, by method and status", counted % "method, status", request,
                  about="Since the agents started: equal to what the clients counted, request for request."),
            table("Requests counted, by source", counted % ", ".join((*ENDS, *request)), ENDS | request,
                  about="Since the agents started."),
        ]),
        ("By source", [
            lines("Requests by source and status", [(rate((*by_source, "status")), named + " {{status}}")], "reqps"),
            lines("Success rate by source", [(f"1 - {share(by_source)}", named)], "percentunit", about=answered, most=1),
            lines("How long requests take, by source", quantiles(where, by_source), "s", width=24),
        ]),
    ])


def verdicts():
    policy = query("policy", "Policy", "label_values(weir_policy_denials_total, policy)")
    chosen = 'policy=~"$policy"'
    who = {"policy": "Policy", "direction": "Direction", "layer": "Layer"} | ENDS
    verdict = "hubble_policy_verdicts_total"

    def counted(action):
        return f"""sum by ({', '.join(who)}) ({judged('weir_policy_denials_total', f'action="{action}",{chosen}', None)})"""

    def directed(direction, label):
        end_of = {"ingress": "destination", "egress": "source"}[direction]
        selector = end(end_of, f'direction="{direction}"')
        return f"sum by ({label}) (rate({verdict}{{{selector}}}[{RATE}]))"

    rows = [
        ("Who is denied", [
            table("Denials counted, by policy", counted("denied"), who, width=24,
                  about="Since the agents started. l4: a new flow was dropped; l7: a request was answered with 403, a "
                        "DNS query refused, a TLS connection reset. Policy none: the request was malformed."),
            lines("Denials by policy", [
                (f"""sum by (policy) ({judged('weir_policy_denials_total', f'action="denied",{chosen}')})""", "{{policy}}")],
                "cps", stacked=True),
            lines("Audit: what would be denied", [
                (f"""sum by (policy) ({judged('weir_policy_denials_total', f'action="audited",{chosen}')})""", "{{policy}}")],
                "cps", stacked=True, about="By policies with the annotation weir.dev/mode: audit."),
        ]),
        ("Verdicts on new flows", [
            lines("Ingress by action", [(directed("ingress", "action"), "{{action}}")], "cps", stacked=True),
            lines("Ingress by match", [(directed("ingress", "match"), "{{match}}")], "cps", stacked=True),
            lines("Egress by action", [(directed("egress", "action"), "{{action}}")], "cps", stacked=True),
            lines("Egress by match", [(directed("egress", "match"), "{{match}}")], "cps", stacked=True),
        ]),
    ]
    return dashboard("weir-verdicts", "Policy verdicts", "Who is denied by which policy. Namespace and workload are "
                     "those of the pod that the policy selects.", variables(*PLACES, policy), rows)
