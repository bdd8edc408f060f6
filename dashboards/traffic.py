"""The dashboards about traffic: overview, HTTP by workload, policy verdicts."""

from parts import HERE, RATE, dashboard, heatmap, lines, link, places, query, stat, table, variables

ENDS = {
    "source_namespace": "From namespace", "source_workload": "From workload",
    "destination_namespace": "To namespace", "destination_workload": "To workload",
}
FLOWS = "hubble_flows_processed_total"
PLACES = (
    places("namespace", "Namespace", "Namespaces of either end of a flow.", FLOWS, "namespace"),
    places("workload", "Workload", "Workloads of either end, of these namespaces; world and host are the outside and the node.",
           FLOWS, "workload", ',SIDE_namespace=~"$namespace"'),
)
DENIED = 'type=~"PolicyVerdict|L7",verdict="DROPPED"'
# Below the first somebody should look, below the second users notice; of latency likewise, in seconds.
SUCCESS = {"base": "red", "steps": [(0.95, "orange"), (0.99, "green")]}
SLOW = [(0.5, "orange"), (1, "red")]
# A row of a table of denials, on the map: its arrow, chosen.
TO_ARROW = [link("On the map", "from=${__data.fields[\"From namespace\"]}/${__data.fields[\"From workload\"]}"
                 "&to=${__data.fields[\"To namespace\"]}/${__data.fields[\"To workload\"]}&verdict=denied&minutes=15")]
TO_POLICY = [link("Its denials on the map", "text=${__field.labels.policy}&verdict=denied&minutes=15")]


def end(side, more=""):
    more = f",{more}" if more else ""
    return f'{HERE},{side}_namespace=~"$namespace",{side}_workload=~"$workload"{more}'


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
    answers = f"rate(hubble_dns_responses_total{{{end('source', '%s')}}}[{RATE}])"
    asker = "{{source_namespace}}/{{source_workload}}"
    return dashboard("weir-overview", "Weir overview", "Traffic, drops, denials by policy, HTTP, DNS.", variables(*PLACES), [
        ("Now", [
            stat("Nodes enforcing", "Nodes whose agent answers Prometheus.", f"count(weir_build_info{{{HERE}}})"),
            stat("Pods under policy", "Pods that an agent judges the traffic of, whether or not a policy selects them.", f"sum(weir_endpoints{{{HERE}}})"),
            stat("Policies in force", "The most that a node has in force; of every kind together.", f"max(weir_policies{{{HERE}}})"),
            stat("Not honoured as written", "Objects, or parts of them, that Weir refuses. What they would allow stays closed.",
                 f"max(weir_policies_refused{{{HERE}}})", steps=[(1, "red")]),
            stat("Denied a second", "New flows and HTTP requests, DNS queries and TLS connections that policy denied.",
                 f"sum({either('hubble_flows_processed_total', DENIED)}) or vector(0)", "reqps"),
            stat("HTTP requests a second", "Requests that rules about HTTP judged.", f"sum({requests})", "reqps"),
        ]),
        ("Traffic", [
            lines("New flows by verdict", "REDIRECTED: rules about HTTP, DNS or TLS names decide, in the proxy. FORWARDED and "
                  "DROPPED were decided by addresses and ports.", [
                (f"""sum by (verdict) ({either('hubble_flows_processed_total', 'type=~"PolicyVerdict|Trace"')})""",
                 "{{verdict}}")], "cps", stacked=True),
            lines("Verdicts of policies", "New flows that the rules of the chosen workloads judged, by direction.", [
                (f"sum by (direction, action) ({judged('hubble_policy_verdicts_total')})", "{{direction}} {{action}}")],
                "cps"),
        ]),
        ("Denials", [
            lines("Denials by policy", "A denial that several policies cause, as when several select the pod, counts for each of "
                  "them. A click leads to the map.", [
                (f"""sum by (policy, layer) ({judged('weir_policy_denials_total', 'action="denied"')})""",
                 "{{policy}} {{layer}}")], "cps", stacked=True, links=TO_POLICY),
            lines("Packets dropped by reason", "Packets that clients send again are counted, too.", [
                (f"sum by (reason, protocol) (rate(hubble_drop_total{{{HERE}}}[{RATE}]))", "{{reason}} {{protocol}}")],
                "pps"),
        ]),
        ("HTTP", [
            lines("Requests by status", "Status 403: mostly denied by policy. Status 0: no answer. A request that the rules of "
                  "both ends judge is told by both reporters.",
                  [(f"sum by (status, reporter) ({requests})", "{{status}} {{reporter}}")], "reqps", stacked=True),
            lines("How long requests take", "From the end of a request's head to the end of the answer, denied ones left out. "
                  "Dashed: where users begin to notice.", latency, "s", steps=SLOW),
        ]),
        ("DNS by workload", [
            lines("Queries by who asks", "Of pods with rules on DNS names.", [
                (f"sum by (source_namespace, source_workload) ({answers % ''})", asker)], "reqps", stacked=True),
            lines("Names that were not told", "rcode 5: refused by policy. rcode 3: there is no such name; with search domains "
                  "a pod asks for several before the right one.", [
                (f"""sum by (source_namespace, source_workload, rcode) ({answers % 'rcode!="0"'})""", asker + " rcode {{rcode}}")], "reqps"),
            lines("Queries by type and answer", "Of all of these pods. ips 0: the answer had no address.", [
                (f"sum by (qtypes, rcode) ({answers % ''})", "{{qtypes}} rcode {{rcode}}")], "reqps"),
            lines("What the proxy judged", "HTTP requests, DNS queries and TLS connections, of all workloads of these nodes.", [
                (f"sum by (protocol, verdict) (rate(weir_proxy_judged_total{{{HERE}}}[{RATE}]))", "{{protocol}} {{verdict}}")],
                "reqps"),
        ]),
    ])


def http():
    source = query("source", "Source workload", f"label_values(hubble_http_requests_total{{{HERE}}}, source_workload)",
                   "Workloads that ask the chosen ones.")
    reporter = query("reporter", "Judged by rules of the", f"label_values(hubble_http_requests_total{{{HERE}}}, reporter)",
                     "server: ingress rules judged the request; client: egress rules. Both may have, so they are not added.",
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
    answered = "Answered, and not with 5xx. A 403 of Weir's is an answer. Green from 99 %, red below 95 %."
    buckets = f"sum by (le) (increase(hubble_http_request_duration_seconds_bucket{{{where}}}[{RATE}]))"
    return dashboard("weir-http", "HTTP by workload", "HTTP requests that rules judged: the answer of each counts, "
                     "Weir's own 403 included; a request without an answer has status 0.",
                     variables(reporter, *PLACES, source), [
        ("Now", [
            stat("Requests a second", "To the chosen workloads, from the chosen sources.", rate(), "reqps", width=6),
            stat("Success rate", answered, f"1 - {share()}", "percentunit", width=6, **SUCCESS),
            stat("Answered with 403", "Mostly Weir's own: policy denies. A server may answer with it, too.",
                 share(more=',status="403"'), "percentunit", width=6),
            stat("p99", "All but one of a hundred requests were answered in this time. Orange from half a second, red from one.",
                 quantiles(where)[2][0], "s", steps=SLOW, width=6),
        ]),
        ("Requests", [
            lines("Requests by method and status", "Each request counts once, by its answer.",
                  [(rate(("method", "status")), "{{method}} {{status}}")], "reqps", stacked=True),
            lines("How long requests take", "From the end of the request's head to the end of the answer; denied requests are "
                  "left out. Dashed: where users begin to notice.", quantiles(where), "s", steps=SLOW),
            heatmap("How requests spread", "How many took how long: two bands are two kinds of requests, which a quantile hides.", buckets),
            lines("Success rate by server", answered, [
                (f"1 - {share(('destination_namespace', 'destination_workload'))}", "{{destination_namespace}}/{{destination_workload}}")],
                "percentunit", most=1, **SUCCESS),
            table("Requests counted, by method and status", "Since the agents started: equal to what the clients counted, "
                  "request for request.", counted % "method, status", request),
            table("Requests counted, by source", "Since the agents started.", counted % ", ".join((*ENDS, *request)), ENDS | request),
        ]),
        ("By source", [
            lines("Requests by source and status", "Who asks, and what they are told.",
                  [(rate((*by_source, "status")), named + " {{status}}")], "reqps"),
            lines("Success rate by source", answered, [(f"1 - {share(by_source)}", named)], "percentunit", most=1, **SUCCESS),
            lines("How long requests take, by source", "As the servers' proxies measured it: the way to them is not in it.",
                  quantiles(where, by_source), "s", width=24, steps=SLOW),
        ]),
    ])


def verdicts():
    policy = query("policy", "Policy", f"label_values(weir_policy_denials_total{{{HERE}}}, policy)",
                   "Policies that have denied something, or would in audit mode; none: what no policy decided.")
    chosen = 'policy=~"$policy"'
    who = {"policy": "Policy", "direction": "Direction", "layer": "Layer"} | ENDS
    verdict = "hubble_policy_verdicts_total"

    def counted(action):
        return f"""sum by ({', '.join(who)}) ({judged('weir_policy_denials_total', f'action="{action}",{chosen}', None)})"""

    def directed(direction, label):
        end_of = {"ingress": "destination", "egress": "source"}[direction]
        selector = end(end_of, f'direction="{direction}"')
        return f"sum by ({label}) (rate({verdict}{{{selector}}}[{RATE}]))"

    matched = "none: no rule, the default; all, l3-only, l4-only, l3-l4: what the rule that decided names."
    rows = [
        ("Who is denied", [
            table("Denials counted, by policy", "Since the agents started. l4: a new flow was dropped; l7: a request was answered "
                  "with 403, a DNS query refused, a TLS connection reset. Policy none: the request was malformed. A click leads "
                  "to the map.", counted("denied"), who, width=24, links=TO_ARROW),
            lines("Denials by policy", "A denial that several policies cause counts for each of them. A click leads to the map.", [
                (f"""sum by (policy) ({judged('weir_policy_denials_total', f'action="denied",{chosen}')})""", "{{policy}}")],
                "cps", stacked=True, links=TO_POLICY),
            lines("Audit: what would be denied", "By policies with the annotation weir.dev/mode: audit.", [
                (f"""sum by (policy) ({judged('weir_policy_denials_total', f'action="audited",{chosen}')})""", "{{policy}}")],
                "cps", stacked=True),
        ]),
        ("Verdicts on new flows", [
            lines(f"{direction.capitalize()} by {label}", about, [(directed(direction, label), f"{{{{{label}}}}}")], "cps", stacked=True)
            for direction in ("ingress", "egress")
            for label, about in (("action", "redirected: rules about HTTP, DNS or TLS names decide, in the proxy."), ("match", matched))
        ]),
    ]
    return dashboard("weir-verdicts", "Policy verdicts", "Who is denied by which policy. Namespace and workload are "
                     "those of the pod that the policy selects.", variables(*PLACES, policy), rows)
