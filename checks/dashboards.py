#!/usr/bin/env python3
"""Holds dashboards and rules against what clients counted, request for request.

  checks/dashboards.py                 a minute of the workshop's traffic, all expressions
  checks/dashboards.py --draw FOLDER   longer traffic; every panel drawn into FOLDER

A lab under the workshop's traffic: GET /headers, GET /ip and POST /post every 0.3 s before, while
and after the HTTP policy is applied. A real Prometheus scrapes it by the relabelling and the rules of
the tree. Every expression of every dashboard and recording rule must give data, and the counts must
be those of the clients. Needs root: it plays pods.
"""

import collections
import json
import os
import re
import sys
import time

import deploytools
from boards import boards, expressions, filled, panel
from labcheck import ROOT, Prometheus, wait, weir
from workshop import DENIED_CONNECTIONS, HUNG, LAB, MORE, S4, SLEEPS, apply, play, traffic

RULES = [os.path.join(ROOT, f"dashboards/rules/{name}.yaml") for name in ("recording", "alerts")]
# Rates are made over everything that was seen.
WINDOW = 120
ROUNDS = 12
POLICY = "CiliumNetworkPolicy/default/allow-get-headers"


def proxied():
    """The clients' ports of the connections that the kernel gave to the proxy when they began."""
    text = weir("observe", "--lab", LAB, "--all", "-o", "jsonpb", "--type", "policy-verdict", "--verdict", "REDIRECTED")
    flows = [json.loads(line)["flow"] for line in text.splitlines()]
    tcp = [flow["l4"]["TCP"] for flow in flows if "TCP" in flow["l4"]]
    return {one["source_port"] for one in tcp if one["flags"].get("SYN") and not one["flags"].get("ACK")}


def differences(selector):
    """By how much counters grew in Prometheus' eyes: what increase() is made of."""
    return f"sum(max_over_time({selector}[{WINDOW}s]) - min_over_time({selector}[{WINDOW}s]))"


def agree(prometheus, counted):
    """The panels that count say what the clients counted, and go on saying it."""
    ports = proxied()
    # A request that got no answer has status 0 with us, 000 with curl.
    through = collections.Counter((method, status.lstrip("0") or "0") for method, status, port in counted if port in ports)
    denials = sum(number for (_, status), number in through.items() if status == "403")
    assert denials == sum(status == "403" for _, status, _ in counted) > 0, "a 403 that no proxy gave"
    before = len(counted) - sum(through.values())
    assert before >= 3 * ROUNDS and through["GET", "0"] >= HUNG, (before, through)
    ends = ("default", "sleep", "default", "httpbin")
    who = ["policy", "direction", "layer", "source_namespace", "source_workload", "destination_namespace", "destination_workload"]
    http = "source_workload='sleep',destination_workload='httpbin'"
    truths = [
        ("Requests counted, by method and status", ["method", "status"], dict(through)),
        ("Requests counted, by source", [*who[3:], "method", "status"],
         {(*ends, *request): number for request, number in through.items()}),
        ("Denials counted, by policy", who, {
            (POLICY, "ingress", "l7", *ends): denials,
            (POLICY, "ingress", "l4", "sleep", "visitor", *ends[2:]): DENIED_CONNECTIONS,
            ("CiliumNetworkPolicy/sleep/names", "egress", "l7", "sleep", "visitor", "kube-system", "coredns"): 1,
            # The malformed request: no policy decided.
            ("none", "ingress", "l7", *ends): 1,
        }),
    ]
    truths = [(filled(panel(title)["targets"][0]["expr"], WINDOW), labels, truth) for title, labels, truth in truths]
    # What was answered took a time, one was given to the proxy for each connection, and the rest passed untouched.
    answered = sum(number for (_, status), number in through.items() if status == "200")
    truths += [
        (f"sum(hubble_http_request_duration_seconds_count{{{http}}})", [], {(): answered}),
        # The malformed one has no verdict of a rule, so no line of its own.
        (f"sum(hubble_policy_verdicts_total{{action='redirected',direction='ingress',{http}}})", [], {(): sum(through.values()) + 1}),
        (f"sum(hubble_flows_processed_total{{subtype='to-endpoint',{http}}})", [], {(): before}),
        ("sum(hubble_flows_processed_total{type='L7',subtype='HTTP',verdict='DROPPED'})", [], {(): denials}),
        ("sum(weir_proxy_judged_total{protocol='http',verdict='denied'})", [], {(): denials}),
        ("sum(weir_proxy_parse_errors_total)", [], {(): 1}),
        ("sum(hubble_lost_events_total)", [], {(): 0}),
        # A series that begins is not short of its first count, so that rates are not either.
        (differences("weir_policy_denials_total{layer='l4',action='denied'}"), [], {(): DENIED_CONNECTIONS}),
        (differences(f"hubble_http_requests_total{{{http}}}"), [], {(): sum(through.values())}),
    ]
    for expression, labels, truth in truths:
        told: dict[tuple[str, ...], int] = {}

        def same():
            told.clear()
            told.update(prometheus.counts(expression, *labels))
            return told == truth

        until = time.monotonic() + 15
        while not same():
            if time.monotonic() > until:
                sys.exit(f"{expression}\n  clients counted {truth}\n  Prometheus has {told}")
            time.sleep(0.2)
    scraped = prometheus.counts("count_over_time(up[1h])")[()]
    wait("two more scrapes", lambda: prometheus.counts("count_over_time(up[1h])")[()] >= scraped + 2)
    for expression, labels, truth in truths:
        told = prometheus.counts(expression, *labels)
        assert told == truth, f"{expression}\n  clients counted {truth}\n  Prometheus went on to {told}"
    return sum(through.values()), denials


def choices(prometheus, expression):
    """What a variable offers, as Grafana works it out."""
    if results := re.fullmatch(r"query_result\((.*)\)", expression):
        return {sample["metric"]["place"] for sample in prometheus.query(filled(results[1], WINDOW)) if sample["metric"].get("place")}
    values = re.fullmatch(r"label_values\((.*), (\w+)\)", expression)
    assert values, f"{expression} is neither label_values nor query_result"
    series, label = values.groups()
    return {sample["metric"].get(label) for sample in prometheus.query(f"count by ({label}) ({filled(series, WINDOW)})")}


def give_data(prometheus):
    """Every expression of dashboards and recording rules has a result."""
    empty, number = [], 0
    for board in boards():
        found, lists = expressions(board)
        for title, expression in [*found, *((one["name"], one["expr"]) for one in board["annotations"]["list"])]:
            number += 1
            if not prometheus.query(filled(expression, WINDOW)):
                empty.append(f"{board['title']} / {title}: {expression}")
        for name, expression in lists:
            number += 1
            got = choices(prometheus, expression)
            if not got:
                empty.append(f"{board['title']}, variable {name}: {expression}")
            # Nobody asks the visitor anything: it is a source only.
            if name == "workload" and not {"sleep", "visitor", "httpbin"} <= got:
                empty.append(f"{board['title']}, variable {name} has no sources: {got}")
    groups = prometheus.ask("rules")["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        number += 1
        if rule["health"] != "ok":
            empty.append(f"rule {rule['name']}: {rule.get('lastError', rule['health'])}")
        # An alert is silent on a healthy node; dashboards/rules/tests/alerts.yaml shows each of them fire.
        elif rule["type"] == "alerting" and rule["labels"]["severity"] == "critical" and rule["alerts"]:
            empty.append(f"alert {rule['name']} on a healthy node: {rule['alerts']}")
        elif rule["type"] == "recording" and not prometheus.query(rule["name"]):
            empty.append(f"rule {rule['name']} records nothing")
    if empty:
        sys.exit("no data for\n  " + "\n  ".join(empty))
    return number


def hubbles(prometheus):
    """What Hubble's own dashboard of HTTP by workload groups by and selects finds our series."""
    where = 'cluster=~"default",destination_namespace=~"default",destination_workload=~"httpbin",reporter="server"'
    where += ',source_namespace=~"default|sleep",source_workload=~".*"'
    for end in ("source", "destination"):
        by = f"cluster, {end}_namespace, {end}_workload"
        total = f"hubble_http_requests_total{{{where}%s}}[{WINDOW}s]"
        bucket = f"hubble_http_request_duration_seconds_bucket{{{where}}}[{WINDOW}s]"
        good, every = (f"sum(rate({total % more})) by ({by})" for more in (',status!~"5.*"', ""))
        for expression in (f"sum(rate({total % ''})) by ({by}, status)", f"{good} / {every}",
                           f"histogram_quantile(0.99, sum(rate({bucket})) by ({by}, le))"):
            assert prometheus.query(expression), f"Hubble's dashboards find nothing with {expression}"
    # Cilium's board of policy verdicts, by the labels that the scrape configuration makes.
    for direction, end in (("ingress", "destination"), ("egress", "source")):
        where = f'direction="{direction}",{end}=~"(default|sleep)/.*"'
        expression = f"sum by (destination, source, match, action) (rate(hubble_policy_verdicts_total{{{where}}}[{WINDOW}s])) * 60"
        found = prometheus.query(expression)
        assert found and all("/" in one["metric"][end] for one in found), f"Cilium's policy board finds {found} with {expression}"


def scrapes():
    """The scrape configuration of deploy/monitoring, with pods of the lab in place of Kubernetes' list."""
    import yaml

    with open(os.path.join(ROOT, "deploy/monitoring/prometheus.yml")) as file:
        jobs = yaml.safe_load(file)["scrape_configs"]
    pod = {"__meta_kubernetes_pod_ip": "127.0.0.1", "__meta_kubernetes_pod_node_name": "lab-node",
           "__meta_kubernetes_pod_name": "weir-x7k2p", "__meta_kubernetes_pod_phase": "Running"}
    component = "__meta_kubernetes_pod_label_app_kubernetes_io_component"
    others = [{component: "relay"}, {"__meta_kubernetes_pod_phase": "Pending"}]
    for job in jobs:
        job.pop("kubernetes_sd_configs")
        # Two ports of the agent's pod make one target, and what is no running agent makes none.
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"], "labels": pod} for port in (4244, 9965)]
        job["static_configs"] += [{"targets": ["127.0.0.1:1"], "labels": pod | other} for other in others]
        job["scrape_interval"] = "1s"
    return jobs


def main():
    draw = sys.argv[2] if sys.argv[1:2] == ["--draw"] and len(sys.argv) == 3 else None
    if len(sys.argv) > 1 and not draw:
        sys.exit(__doc__)
    deploytools.schemas()
    weir("lab", "down", "--name", LAB)
    weir("lab", "up", "--name", LAB, *S4.manifests())
    try:
        play(SLEEPS)
        apply(MORE)
        with Prometheus(LAB, scrapes(), RULES) as prometheus:
            labels = [sample["metric"] for sample in prometheus.query("up")]
            assert [(one["node"], one["instance"]) for one in labels] == [("lab-node", "weir-x7k2p")], labels
            began = time.time()
            counted, stopped = traffic(80 if draw else ROUNDS)
            requests, denials = agree(prometheus, counted)
            number = give_data(prometheus)
            hubbles(prometheus)
            if draw:
                from boardplot import plot
                plot(prometheus, draw, began, stopped)
    finally:
        weir("lab", "down", "--name", LAB, check=False)
    print(f"{number} expressions give data; {requests} requests through the proxy, {denials} of them denied, "
          f"of {len(counted)} that clients sent, are counted to the one")


if __name__ == "__main__":
    main()
