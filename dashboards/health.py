"""The dashboard about Weir itself, node by node."""

from parts import HERE, RATE, dashboard, lines, stat, variables

# As the alert has it: from the first somebody should look, from the second new flows are soon denied.
FULL = [(0.7, "orange"), (0.85, "red")]


def rate(metric, by, more=""):
    return f"sum by ({by}) (rate({metric}{{{HERE}{more}}}[{RATE}]))"


def gauge(metric, by="node"):
    return f"sum by ({by}) ({metric}{{{HERE}}})"


def health():
    seconds = f"sum by (node, le) (rate(weir_policy_enforce_duration_seconds_bucket{{{HERE}}}[$__range]))"
    times = [(f"histogram_quantile({share}, {seconds})", name + " {{node}}") for share, name in ((0.5, "p50"), (0.99, "p99"))]
    packets = ("weir_datapath_packets_total", "result")
    bad = [(1, "red")]
    return dashboard("weir-nodes", "Weir node health", "The agents and proxies: what is in force, how full the "
                     "tables are, what fails.", variables(), [
        ("In force", [
            stat("Agents that answer", "Those that Prometheus could ask at the last scrape.", f'sum(up{{job="weir",{HERE}}})'),
            stat("Agents that do not", "What is in force stays in force there; new pods and changed policies wait.",
                 f'count(up{{job="weir",{HERE}}} == 0) or vector(0)', steps=bad),
            stat("Nodes without a proxy", "New connections that HTTP, DNS or TLS rules select are dropped there.",
                 f"count(weir_proxy_connected{{{HERE}}} == 0) or vector(0)", steps=bad),
            stat("Pods not under policy", "They run open: `weir status` on their node says why.",
                 f"sum(weir_unmanaged_pods{{{HERE}}})", steps=bad),
            stat("Stale nodes", "What is in force there may be older than the objects.", f"sum(weir_source_stale{{{HERE}}})", steps=bad),
            stat("Wrong verdicts", "Verdicts of the kernel that came out otherwise when derived once more: a fault of Weir's.",
                 f"sum(weir_verdict_mismatches_total{{{HERE}}})", steps=bad),
            lines("Time from change to enforced", "Changes within the chosen time range. Dashed: what the alert calls slow.", times, "s",
                  steps=[(2.5, "red")]),
            lines("Revision in force", "Each change of pods or policies makes one; the proxy follows the agent.",
                  [(gauge("weir_policy_revision"), "agent {{node}}"), (gauge("weir_proxy_revision"), "proxy {{node}}")]),
            lines("Changes that failed", "What was in force stays in force.",
                  [(rate("weir_policy_enforce_failures_total", "node"), "{{node}}")], "cps"),
            lines("Interfaces not looked up", "The kernel could not be asked: what was in force stays, and it is tried again.",
                  [(rate("weir_lookup_failures_total", "node"), "{{node}}")], "cps"),
            lines("Age of what is in force", "High is fine where nothing changes.",
                  [(f"time() - max by (node) (weir_policy_enforced_timestamp_seconds{{{HERE}}})", "{{node}}")], "s"),
        ]),
        ("Kernel", [
            lines("Fill of the maps", "A full table denies new flows. Dashed: look at it from 70 %; the alert begins at 85 %.",
                  [(f"max by (node, map) (weir_map_entries{{{HERE}}} / weir_map_capacity{{{HERE}}})", "{{map}} {{node}}")],
                  "percentunit", most=1, steps=FULL),
            lines("Flows tracked", "Connections, and datagrams between the same two, that have a verdict in the kernel.",
                  [(gauge("weir_tracked_flows"), "{{node}}")]),
            lines("Packets by result", "What the programs did with packets that went on.",
                  [(rate(*packets, ',result!~"drop_.*|lost_event"') + " > 0", "{{result}}")], "pps", stacked=True),
            lines("Packets dropped", "docs/troubleshooting.md says what each means.",
                  [(rate(*packets, ',result=~"drop_.*"') + " > 0", "{{result}}")], "pps"),
        ]),
        ("Proxy", [
            lines("Connections open", "Of clients, in the proxies.", [(gauge("weir_proxy_connections_open"), "{{node}}")]),
            lines("New connections", "That rules about HTTP, DNS or TLS names selected.",
                  [(rate("weir_proxy_connections_total", "node"), "{{node}}")], "cps"),
            lines("Connections refused and reset", "Refused: the proxy did not serve them. Reset: a side ended them midway.", [
                (rate("weir_proxy_connections_refused_total", "reason"), "refused: {{reason}}"),
                (rate("weir_proxy_connections_reset_total", "side"), "reset by {{side}}"),
                (rate("weir_proxy_accept_errors_total", "node"), "not accepted on {{node}}")], "cps"),
            lines("Failures of servers", "Clients get 503 where a server is not reached, 502 or a cut answer where it is malformed.", [
                (rate("weir_proxy_upstream_failures_total", "node"), "not reached, {{node}}"),
                (rate("weir_proxy_response_faults_total", "node"), "malformed answers, {{node}}")], "reqps"),
            lines("Malformed requests", "Answered with 400, 408, 417 or 431, and not forwarded whole.", [
                (rate("weir_proxy_parse_errors_total", "node"), "all on {{node}}"),
                (rate("weir_proxy_parse_errors_total", "reason") + " > 0", "{{reason}}")], "reqps"),
            lines("Ports", "Connections stall where sockets in TIME_WAIT use up a client's ports: about 28,000 for each server.", [
                (f"sum by (direction) (weir_proxy_time_wait{{{HERE}}})", "TIME_WAIT {{direction}}"),
                (rate("weir_proxy_port_fallbacks_total", "node"), "port not kept a second, {{node}}")], steps=[(20000, "red")]),
            lines("DNS trouble", "What is not learnt opens nothing: a server that the pod may not ask, or an address that is no host "
                  "elsewhere.", [
                (rate("weir_dns_queries_dropped_total", "reason"), "dropped: {{reason}}"),
                (rate("weir_dns_names_late_total", "node"), "enforced late on {{node}}"),
                (rate("weir_dns_names_refused_total", "reason"), "not learnt: {{reason}}")], "reqps"),
        ]),
        ("Weir's own servers", [
            lines("Connections of clients", "Who looks at Weir: metrics, observers, the control socket.",
                  [(gauge("weir_server_connections", "server"), "{{server}}")]),
            lines("Connections not taken", "full: too many in all; peer: too many of one address or user. Enforcement has descriptors of its own.",
                  [(rate("weir_server_connections_refused_total", "server, reason"), "{{server}}: {{reason}}")], "cps"),
        ]),
        ("Observing", [
            lines("Events lost", "Traffic is judged all the same; counts and records are short of these.", [
                (rate("hubble_lost_events_total", "source"), "{{source}}"),
                (rate("weir_proxy_records_dropped_total", "node"), "from the proxy of {{node}}")], "cps"),
            lines("Verdicts checked", "The agents derive some of the kernel's verdicts once more. Packets of a denied flow that come "
                  "again are counted in its record.", [
                (rate("weir_verdicts_checked_total", "node"), "{{node}}"),
                (rate("weir_flow_repeats_total", "node"), "packets that came again, {{node}}")], "cps"),
            lines("Agent: processor", "1 is one core, busy.", [(rate("process_cpu_seconds_total", "node"), "{{node}}")], "percentunit"),
            lines("Agent: memory", "Resident; kernel maps count for the pod's limit as well.", [(gauge("process_resident_memory_bytes"), "{{node}}")], "bytes"),
            lines("Agent: file descriptors", "Of those that it may have.",
                  [(f"max by (node) (process_open_fds{{{HERE}}} / process_max_fds{{{HERE}}})", "{{node}}")], "percentunit", most=1, steps=FULL),
            lines("Records in memory", "Flows that observers can look back on.", [(gauge("weir_flow_records"), "{{node}}")]),
        ]),
    ])
