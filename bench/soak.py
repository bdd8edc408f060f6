#!/usr/bin/env python3
"""Traffic through the HTTP proxy for a long time: no stall, no failed request, no dropped packet.

Two labs side by side, routed and bridge; in each both families, keep-alive connections and
connections for one request, closed first by the client and closed first by the server.
"""

import json
import os
import subprocess
import sys
import time

import lab

# A stream that makes no progress for so long has stalled; the machines we have are slow and shared.
STALL = 5.0
# Half of the ports that a client has for one server and port: 28,232 of each family, and sockets are
# counted over both.
PORTS = 28_000
# What the proxy must not have counted on a path where everything is allowed.
FAULTS = ("requests_denied", "not_http", "strangers", "no_policy", "upstream_failures",
          "response_faults", "accept_errors")
CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "soak_client.py")


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    name = sys.argv[2] if len(sys.argv) > 2 else "soak"
    weir, labs, wrong = lab.weir(), [], []
    try:
        for topology in ("routed", "bridge"):
            labs.append(lab.Lab(weir, f"{name}{topology}", lab.L7, image="kennethreitz/httpbin", topology=topology))
        before = [where.status() for where in labs]
        clients = [
            subprocess.Popen(where.command("client", "python3", CLIENT, str(seconds), *where.addresses),
                             stdout=subprocess.PIPE, text=True)
            for where in labs
        ]
        waiting = watch(labs, clients)
        for where, old, client in zip(labs, before, clients):
            said, _ = client.communicate()
            if client.returncode != 0:
                wrong.append(f"{where.name}: the client failed")
                continue
            wrong += judge(where, old, where.status(), json.loads(said))
        for place, most in waiting.items():
            print(f"most in TIME_WAIT: {place} {most}")
            if most > PORTS and not place.endswith("proxy"):
                wrong.append(f"{place}: {most} sockets in TIME_WAIT, more than half the ports")
    finally:
        for where in labs:
            where.down()
    for line in wrong:
        print(f"WRONG {line}")
    print(f"soak of {seconds} s: {'failed' if wrong else 'no stall, no failed request, no dropped packet'}")
    return 1 if wrong else 0


def watch(labs, clients):
    """Until the clients end: the most sockets in TIME_WAIT in each place."""
    most: dict[str, int] = {}
    while any(client.poll() is None for client in clients):
        for where in labs:
            counts = {f"{where.name} {pod}": where.time_wait(pod) for pod in ("client", "server")}
            counts[f"{where.name} proxy"] = where.status()["time_wait"].get("ingress", 0)
            for place, count in counts.items():
                most[place] = max(most.get(place, 0), count)
        time.sleep(2)
    return most


def judge(where, old, new, streams):
    wrong = []
    for name, stream in streams.items():
        rest = {key: value for key, value in stream.items() if key != "errors"}
        print(f"{where.name} {name}: " + ", ".join(f"{key} {value}" for key, value in rest.items()))
        if stream["failed"]:
            wrong.append(f"{where.name} {name}: {stream['failed']} failed: {stream['errors']}")
        if stream["longest_gap_s"] > STALL or stream["done"] == 0:
            wrong.append(f"{where.name} {name}: no progress for {stream['longest_gap_s']} s")
    grown = {name: count - old["counters"].get(name, 0) for name, count in new["counters"].items()}
    # The private networks' own multicast reports carry no mark and go nowhere, rightly.
    if grown.get("drop_unmarked", 0) <= reports(where):
        grown["drop_unmarked"] = 0
    print(f"{where.name} counters: " + json.dumps({name: count for name, count in grown.items() if count}))
    print(f"{where.name} proxy: " + json.dumps({n: c for n, c in new["proxy"]["counters"].items() if c}))
    wrong += [f"{where.name}: {name} {count}" for name, count in grown.items() if name.startswith("drop") and count]
    faults = new["proxy"]["counters"]
    return wrong + [f"{where.name}: proxy {name} {faults[name]}" for name in FAULTS if faults.get(name)]


def reports(where):
    """ICMPv6 messages that the kernel itself sent in the lab's private networks."""
    sent = 0
    for side in ("ingress", "egress"):
        netns = f"/run/netns/weir-lab-{where.name}-{side}"
        said = subprocess.run(["nsenter", f"--net={netns}", "cat", "/proc/net/snmp6"],
                              check=True, capture_output=True, text=True).stdout
        sent += next(int(line.split()[1]) for line in said.splitlines() if line.startswith("Icmp6OutMsgs"))
    return sent


if __name__ == "__main__":
    sys.exit(main())
