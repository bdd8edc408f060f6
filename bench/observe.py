#!/usr/bin/env python3
"""Measures what observing costs, and how it takes a flood.

Throughput: two labs with the same HTTP rule, wrk in the client pod, nginx in the server pod. In one
lab nothing is recorded (WEIR_FLOW_RECORDS=0); in the other all of it is: records, the flow log of
denials, metrics scraped each second, and with `follower` one client that reads every flow, at the
lowest priority, because it would be on another machine. The setups take turns within each round; a
number is the ratio within its round.

Flood: one pod sends datagrams that policy denies. The events that the kernel made must equal what was
recorded, counted as repeated, and counted as lost. Storm: the same packet, run through the pod's own
program by the kernel's test run (bpftool), which makes events faster than any sender could.
"""

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

import run

import lab

# Every datagram to another port: a flow of its own, which is the most work for the observer. Each is
# two events: no policy selects the client, and the server's denies it.
FLOOD = """
import socket, sys, time
to, seconds = sys.argv[1], float(sys.argv[2])
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
until, sent, port = time.monotonic() + seconds, 0, 0
while time.monotonic() < until:
    for _ in range(1000):
        port = (port + 1) % 60000
        try:
            out.sendto(b"x", (to, 1024 + port))
            sent += 1
        except OSError:
            pass
print(sent)
"""
METRICS = "http://127.0.0.1:9965/metrics"


def metrics(where):
    return where.run("@node", "curl", "-s", "-m", "20", METRICS)


def total(text, name, *labels):
    """Sum of the series of a metric whose labels hold all of these."""
    lines = (line for line in text.splitlines() if re.match(rf"{name}[{{ ]", line))
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(label in line for label in labels))


class Scraper:
    """Takes the metrics each second, as Prometheus would, while it is entered."""

    def __init__(self, where):
        self.where, self.stop, self.scrapes = where, threading.Event(), 0

    def run(self):
        while not self.stop.wait(1):
            metrics(self.where)
            self.scrapes += 1

    def __enter__(self):
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


class Follower:
    """Reads every flow while it is entered."""

    def __init__(self, where):
        self.where = where

    def __enter__(self):
        words = [self.where.weir, "observe", "--lab", self.where.name, "-f", "-o", "compact"]
        self.process = subprocess.Popen(["nice", "-n", "19", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def spent(where):
    """CPU time of the lab's agent and proxy, in seconds."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            part = words[1].decode() if len(words) > 1 else ""
            if part not in ("agent", "proxy") or f"weir-lab-{where.name}".encode() not in words:
                continue
            with open(f"/proc/{pid}/stat") as file:
                user, system = file.read().rsplit(")", 1)[1].split()[11:13]
            found[part] = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has ended meanwhile
    return found


def wrk(where, seconds):
    before, parts = run.busy(), spent(where)
    url = f"http://{where.addresses[0]}:80/small"
    said = where.run("client", "wrk", "-t1", "-c64", f"-d{seconds}", url)
    count, taken = run.found(r"(\d+) requests in ([\d.]+)s", said).groups()
    if re.search(r"Socket errors|Non-2xx", said):
        raise SystemExit(said)
    machine = run.busy() - before
    # What was recorded late is part of the cost.
    time.sleep(0.3)
    mine = {f"{part}_us": (used - parts[part]) / int(count) * 1e6 for part, used in spent(where).items()}
    return {"rps": int(count) / float(taken), "cpu_us": machine / int(count) * 1e6, **mine}


def throughput(weir, rounds, seconds):
    folder = tempfile.mkdtemp(prefix="weir-bench-")
    os.chmod(folder, 0o755)
    labs, servers, rows = {}, [], []
    try:
        for name, environment in (("off", {"WEIR_FLOW_RECORDS": "0"}), ("on", {})):
            os.environ.update(environment)
            labs[name] = lab.Lab(weir, f"benchobserve{name}", lab.L7)
            for variable in environment:
                del os.environ[variable]
            home = os.path.join(folder, name)
            os.makedirs(home)
            servers.append(run.nginx(labs[name], home, "server", run.SERVER % folder))
            ready = ["curl", "-sf", "--retry", "20", "--retry-connrefused", "--retry-delay", "1", "-o", "/dev/null"]
            labs[name].run("client", *ready, f"http://{labs[name].addresses[0]}:80/small")
            labs[name].run("client", "wrk", "-t1", "-c8", "-d1", f"http://{labs[name].addresses[0]}:80/small")
        for number in range(rounds):
            setups = ["off", "on", "follower"]
            for setup in setups if number % 2 == 0 else setups[::-1]:
                where = labs["off" if setup == "off" else "on"]
                if setup == "off":
                    row = wrk(where, seconds)
                elif setup == "on":
                    with Scraper(where):
                        row = wrk(where, seconds)
                else:
                    with Scraper(where), Follower(where):
                        row = wrk(where, seconds)
                rows.append({"round": number, "setup": setup, **row})
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
        text = metrics(labs["on"])
        seen = total(text, "hubble_http_requests_total", 'reporter="server"')
        lost = total(text, "hubble_lost_events_total") + total(text, "weir_proxy_records_dropped_total")
        off = total(metrics(labs["off"]), "hubble_http_requests_total")
        assert off == 0, f"{off} requests were counted where nothing should be"
        return {"rows": rows, "recorded": seen, "lost": lost}
    finally:
        for server in servers:
            server.terminate()
            server.wait()
        for where in labs.values():
            where.down()
        subprocess.run(["rm", "-r", folder], check=False)


def accounts(where):
    """Events that the kernel made, and what became of them."""
    text = metrics(where)
    packets = "weir_datapath_packets_total"
    return {
        "events": total(text, packets, '"drop_policy"') + total(text, packets, '"pass_new"'),
        "recorded": total(text, "hubble_flows_processed_total", 'type="PolicyVerdict"')
        + total(text, "hubble_flows_processed_total", 'type="Trace"'),
        "repeated": total(text, "weir_flow_repeats_total"),
        "lost in the kernel's ring": total(text, "hubble_lost_events_total", "perf_event_ring_buffer"),
        "lost before the recorder": total(text, "hubble_lost_events_total", "observer_events_queue"),
    }


DENY = """
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: client}
spec: {podSelector: {matchLabels: {app: client}}, policyTypes: [Egress]}
"""


def balance(where, before):
    """What became of the events since then. Some are still under way: until the books balance."""
    until = time.monotonic() + 60
    while True:
        now = {key: value - before[key] for key, value in accounts(where).items()}
        missing = now["events"] - sum(value for key, value in now.items() if key != "events")
        if missing == 0 or time.monotonic() > until:
            return {**now, "missing": missing}
        time.sleep(0.2)


def bpftool(*words):
    done = subprocess.run(["bpftool", "-j", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"bpftool {' '.join(words)}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def storm(weir, events):
    """The client's denied datagram, `events` times through the program at its interface."""
    if not shutil.which("bpftool"):
        raise SystemExit("bpftool is missing: apt-get install bpftool")
    where = lab.Lab(weir, "benchstorm", DENY)
    try:
        pins = f"/sys/fs/bpf/weir/weir-lab-{where.name}"
        version = next(name for name in os.listdir(pins) if name.startswith("v"))
        ring = bpftool("map", "show", "pinned", f"{pins}/{version}/EVENTS")["id"]
        program = next(one["id"] for one in bpftool("prog", "show")
                       if one.get("name") == "from_pod" and ring in one.get("map_ids", []))
        pod = next(pod for pod in json.loads(subprocess.run(
            [weir, "lab", "ls", "--name", where.name, "-o", "json"], check=True, capture_output=True).stdout) if pod["name"] == "client")
        index = json.loads(where.run("@node", "ip", "-j", "link", "show", "dev", pod["interface"]))[0]["ifindex"]
        datagram = struct.pack("!HHHH", 40000, 9999, 9, 0) + b"x"
        ends = [socket.inet_aton(address) for address in (pod["addresses"][0], where.addresses[0])]
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 1, 0, 64, socket.IPPROTO_UDP, 0, *ends)
        context = bytearray(192)  # struct __sk_buff
        struct.pack_into("=I", context, 40, index)  # its ifindex
        with tempfile.NamedTemporaryFile() as packet, tempfile.NamedTemporaryFile() as about:
            packet.write(bytes(12) + b"\x08\0" + header + datagram)
            about.write(context)
            packet.flush()
            about.flush()
            before = accounts(where)
            words = ["bpftool", "prog", "run", "id", str(program), "data_in", packet.name, "ctx_in", about.name, "repeat", str(events)]
            began = time.monotonic()
            where.run("@node", *words, timeout=120)
            taken = time.monotonic() - began
        result = balance(where, before)
        return {"seconds": taken, "events_a_second": result["events"] / taken, **result}
    finally:
        where.down()


def flood(weir, seconds, senders):
    where = lab.Lab(weir, "benchflood", lab.L4)
    try:
        before = accounts(where)
        words = where.command("client", sys.executable, "-c", FLOOD, where.addresses[0], str(seconds))
        began = time.monotonic()
        processes = [subprocess.Popen(words, stdout=subprocess.PIPE) for _ in range(senders)]
        sent = sum(int(process.communicate()[0]) for process in processes)
        taken = time.monotonic() - began
        result = balance(where, before)
        return {"sent": sent, "seconds": taken, "events_a_second": result["events"] / taken, **result}
    finally:
        where.down()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--senders", type=int, default=2, help="processes that flood")
    parser.add_argument("--events", type=int, default=1_000_000, help="of the storm")
    parser.add_argument("--only", choices=["throughput", "flood", "storm"])
    options = parser.parse_args()
    weir = lab.weir()
    if options.only in (None, "throughput"):
        result = throughput(weir, options.rounds, options.seconds)
        of = {(row["round"], row["setup"]): row for row in result["rows"]}
        print(f"{'':12}{'requests/s':>11}{'ratio':>22}{'CPU µs':>8}{'ratio':>22}{'proxy µs':>10}{'agent µs':>10}")
        for setup in ("off", "on", "follower"):
            line = f"{setup:12}"
            for key, width in (("rps", 11), ("cpu_us", 8)):
                mine = [of[number, setup][key] for number in range(options.rounds)]
                ratios = [of[number, setup][key] / of[number, "off"][key] for number in range(options.rounds)]
                line += f"{statistics.median(mine):{width}.0f}" + f"{statistics.median(ratios):6.3f} ({min(ratios):.2f} to {max(ratios):.2f})".rjust(22)
            for key in ("proxy_us", "agent_us"):
                line += f"{statistics.median(of[number, setup][key] for number in range(options.rounds)):10.1f}"
            print(line)
        print(f"requests recorded {result['recorded']:.0f}, records lost and counted {result['lost']:.0f}")
    floods = {"flood": lambda: flood(weir, options.seconds, options.senders), "storm": lambda: storm(weir, options.events)}
    for name, run_it in floods.items():
        if options.only not in (None, name):
            continue
        result = run_it()
        print(name, json.dumps({key: round(value, 1) for key, value in result.items()}))
        if result["missing"]:
            raise SystemExit("events are missing that nobody has counted as lost")


if __name__ == "__main__":
    main()
