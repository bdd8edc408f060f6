"""The dashboard about Weir itself, node by node."""

from parts import RATE, dashboard, lines, stat, variables

NODE = 'node=~"$node"'


def rate(metric, by, more=""):
    return f"sum by ({by}) (rate({metric}{{{NODE}{more}}}[{RATE}]))"


def gauge(metric, by="node"):
    return f"sum by ({by}) ({metric}{{{NODE}}})"


def health():
    seconds = f"sum by (node, le) (rate(weir_policy_enforce_duration_seconds_bucket{{{NODE}}}[$__range]))"
    times = [(f"histogram_quantile({share}, {seconds})", name + " {{node}}") for share, name in ((0.5, "p50"), (0.99, "p99"))]
    bad = [(1, "red")]
    return dashboard("weir-nodes", "Weir node health", "The agents and proxies: what is in force, how full the "
                     "tables are, what fails.", variables(), [
        ("In force", [
            stat("Agents that answer", f'sum(up{{job="weir",{NODE}}})'),
            stat("Agents that do not", f'count(up{{job="weir",{NODE}}} == 0) or vector(0)', steps=bad),
            stat("Nodes without a proxy", f"count(weir_proxy_connected{{{NODE}}} == 0) or vector(0)", steps=bad,
                 about="New connections that HTTP, DNS or TLS rules select are dropped there."),
            stat("Pods not under policy", f"sum(weir_unmanaged_pods{{{NODE}}})", steps=bad),
            stat("Stale nodes", f"sum(weir_source_stale{{{NODE}}})", steps=bad,
                 about="What is in force there may be older than the objects."),
            stat("Wrong verdicts", f"sum(weir_verdict_mismatches_total{{{NODE}}})", steps=bad,
                 about="Verdicts of the kernel that came out otherwise when derived once more: a fault of Weir's."),
            lines("Time from change to enforced", times, "s", about="Changes within the chosen time range."),
            lines("Revision in force", [(gauge("weir_policy_revision"), "agent {{node}}"), (gauge("weir_proxy_revision"), "proxy {{node}}")]),
            lines("Changes that failed", [(rate("weir_policy_enforce_failures_total", "node"), "{{node}}")], "cps"),
            lines("Interfaces not looked up", [(rate("weir_lookup_failures_total", "node"), "{{node}}")], "cps",
                  about="The kernel could not be asked: what was in force stays, and it is tried again."),
            lines("Age of what is in force", [(f"time() - max by (node) (weir_policy_enforced_timestamp_seconds{{{NODE}}})", "{{node}}")], "s"),
        ]),
        ("Kernel", [
            lines("Fill of the maps", [(f"max by (node, map) (weir_map_entries{{{NODE}}} / weir_map_capacity{{{NODE}}})", "{{map}} {{node}}")],
                  "percentunit", most=1, about="A full table denies new flows."),
            lines("Flows tracked", [(gauge("weir_tracked_flows"), "{{node}}")]),
            lines("Packets by result", [(rate("weir_datapath_packets_total", "result", ',result!~"drop_.*|lost_event"') + " > 0", "{{result}}")], "pps", stacked=True),
            lines("Packets dropped", [(rate("weir_datapath_packets_total", "result", ',result=~"drop_.*"') + " > 0", "{{result}}")], "pps",
                  about="docs/troubleshooting.md says what each means."),
        ]),
        ("Proxy", [
            lines("Connections open", [(gauge("weir_proxy_connections_open"), "{{node}}")]),
            lines("New connections", [(rate("weir_proxy_connections_total", "node"), "{{node}}")], "cps"),
            lines("Connections refused and reset", [
                (rate("weir_proxy_connections_refused_total", "reason"), "refused: {{reason}}"),
                (rate("weir_proxy_connections_reset_total", "side"), "reset by {{side}}"),
                (rate("weir_proxy_accept_errors_total", "node"), "not accepted on {{node}}")], "cps"),
            lines("Failures of servers", [
                (rate("weir_proxy_upstream_failures_total", "node"), "not reached, {{node}}"),
                (rate("weir_proxy_response_faults_total", "node"), "malformed answers, {{node}}")], "reqps"),
            lines("Malformed requests", [
                (rate("weir_proxy_parse_errors_total", "node"), "all on {{node}}"),
                (rate("weir_proxy_parse_errors_total", "reason") + " > 0", "{{reason}}")], "reqps",
                about="Answered with 400, 408, 417 or 431, and not forwarded whole."),
            lines("Ports", [(f"sum by (direction) (weir_proxy_time_wait{{{NODE}}})", "TIME_WAIT {{direction}}"),
                            (rate("weir_proxy_port_fallbacks_total", "node"), "port not kept a second, {{node}}")],
                  about="Connections stall where sockets in TIME_WAIT use up a client's ports: about 28,000 for each server."),
            lines("DNS trouble", [(rate("weir_dns_queries_dropped_total", "reason"), "dropped: {{reason}}"),
                                  (rate("weir_dns_names_late_total", "node"), "enforced late on {{node}}"),
                                  (rate("weir_dns_names_refused_total", "reason"), "not learnt: {{reason}}")], "reqps",
                  about="What is not learnt opens nothing: a server that the pod may not ask, or an address that is no host elsewhere."),
        ]),
        ("Weir's own servers", [
            lines("Connections of clients", [(gauge("weir_server_connections", "server"), "{{server}}")]),
            lines("Connections not taken", [(rate("weir_server_connections_refused_total", "server, reason"), "{{server}}: {{reason}}")], "cps",
                  about="full: too many in all; peer: too many of one address or user. Enforcement has descriptors of its own."),
        ]),
        ("Observing", [
            lines("Events lost", [(rate("hubble_lost_events_total", "source"), "{{source}}"),
                                  (rate("weir_proxy_records_dropped_total", "node"), "from the proxy of {{node}}")], "cps",
                  about="Traffic is judged all the same; counts and records are short of these."),
            lines("Verdicts checked", [(rate("weir_verdicts_checked_total", "node"), "{{node}}"),
                                       (rate("weir_flow_repeats_total", "node"), "packets that came again, {{node}}")], "cps"),
            lines("Agent: processor", [(rate("process_cpu_seconds_total", "node"), "{{node}}")], "percentunit"),
            lines("Agent: memory", [(gauge("process_resident_memory_bytes"), "{{node}}")], "bytes"),
            lines("Agent: file descriptors", [(f"max by (node) (process_open_fds{{{NODE}}} / process_max_fds{{{NODE}}})", "{{node}}")], "percentunit"),
            lines("Records in memory", [(gauge("weir_flow_records"), "{{node}}")]),
        ]),
    ])
