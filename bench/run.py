#!/usr/bin/env python3
"""Measures the same requests without Weir, under an L3/L4 policy, through the HTTP proxy and judged in the kernel.

Same-node ingress on the lab: wrk in the client pod, nginx in the server pod. The setups take turns
round by round, and every number is a ratio to `direct` of the same round, because absolute values
move with the machine. `nginx` is the same job done by nginx as a reverse proxy in the server pod.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

import lab

CACHE = os.environ.get("WEIR_CACHE", os.path.expanduser("~/.cache/weir"))
NGINX = os.path.join(CACHE, "tools/nginx/usr/sbin/nginx")

CONF = """
daemon off; worker_processes 1; pid %(dir)s/%(role)s.pid; error_log %(dir)s/%(role)s.log crit;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; sendfile on; tcp_nopush on; tcp_nodelay on;
  client_body_temp_path %(dir)s; proxy_temp_path %(dir)s; fastcgi_temp_path %(dir)s;
  uwsgi_temp_path %(dir)s; scgi_temp_path %(dir)s;
  %(body)s
}
"""
SERVER = 'server { listen 80 backlog=4096; root %s; location = /small { return 200 "ok\\n"; } }'
PROXY = """upstream server { server 127.0.0.1:80; keepalive 256; }
  server { listen 8080 backlog=4096; location / {
    if ($request_method != GET) { return 403; }
    proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host $host; } }"""

# What is measured: path, connections, more arguments of wrk. Connections that are opened for each
# request run a second only: the client has 28,000 ports for one server.
SCENARIOS = {
    "keep-alive c=1": ("/small", 1, []),
    "keep-alive c=64": ("/small", 64, []),
    "connection per request": ("/small", 16, ["-H", "Connection: close"]),
    "1 MiB bodies": ("/big", 8, []),
}
UNITS = {"us": 1, "ms": 1e3, "s": 1e6}


def nginx(where, folder, role, body):
    path = os.path.join(folder, f"{role}.conf")
    with open(path, "w") as conf:
        conf.write(CONF % {"dir": folder, "role": role, "body": body})
    return subprocess.Popen(where.command("server", NGINX, "-e", "stderr", "-c", path), stderr=subprocess.DEVNULL)


def busy():
    """CPU time spent on this machine, in seconds, all processes and interrupts."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _wait, irq, softirq = map(int, stat.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def found(pattern, said):
    """What a pattern finds in what wrk said; ends where it finds nothing."""
    return re.search(pattern, said) or sys.exit(f"{pattern} is not in what wrk said: {said}")


def measure(where, port, scenario, seconds):
    path, connections, arguments = SCENARIOS[scenario]
    if "close" in " ".join(arguments):
        seconds = min(seconds, 1)
    url = f"http://{where.addresses[0]}:{port}{path}"
    before, time_wait = busy(), None
    said = where.run("client", "wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", *arguments, url)
    used = busy() - before
    count, taken = found(r"(\d+) requests in ([\d.]+)s", said).groups()
    p50 = found(r"50%\s+([\d.]+)(us|ms|s)", said)
    wrong = re.search(r"Socket errors: .*|Non-2xx.*", said)
    if "close" in " ".join(arguments):
        time_wait = {pod: where.time_wait(pod) for pod in ("client", "server")}
    return {
        "rps": int(count) / float(taken),
        "p50_us": float(p50[1]) * UNITS[p50[2]],
        "cpu_us": used / max(int(count), 1) * 1e6,
        "errors": wrong[0] if wrong else None,
        "time_wait": time_wait,
    }


def ratios(rows, setup, scenario, key):
    """A setup against `direct`, round by round."""
    of = {(row["round"], row["setup"]): row[key] for row in rows if row["scenario"] == scenario}
    return [of[number, setup] / of[number, "direct"] for number, name in of if name == setup]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    options = parser.parse_args()
    weir = lab.weir()
    folder = tempfile.mkdtemp(prefix="weir-bench-")
    os.chmod(folder, 0o755)
    with open(os.path.join(folder, "big"), "wb") as big:
        big.write(os.urandom(1 << 20))
    labs, servers, rows = [], [], []
    try:
        for name, policy, agent, in_kernel in (
            ("benchdirect", "", False, False),
            ("benchfour", lab.L4, True, False),
            ("benchseven", lab.L7, True, False),
            ("benchkernel", lab.L7, True, True),
        ):
            labs.append(lab.Lab(weir, name, policy, agent=agent, kernel=in_kernel))
            os.makedirs(os.path.join(folder, name))
            servers.append(nginx(labs[-1], os.path.join(folder, name), "server", SERVER % folder))
        direct, four, seven, kernel = labs
        servers.append(nginx(direct, os.path.join(folder, "benchdirect"), "proxy", PROXY))
        setups = {
            "direct": (direct, 80),
            "weir L3/L4": (four, 80),
            "weir L7": (seven, 80),
            "L7 kernel": (kernel, 80),
            "nginx": (direct, 8080),
        }
        for where, port in setups.values():
            curl = ["curl", "-sf", "--retry", "20", "--retry-connrefused", "--retry-delay", "1", "-o", "/dev/null"]
            where.run("client", *curl, f"http://{where.addresses[0]}:{port}/big")
            where.run("client", "wrk", "-t1", "-c8", "-d1", f"http://{where.addresses[0]}:{port}/small")
        if any(server.poll() is not None for server in servers):
            raise SystemExit("nginx did not start in a server pod")
        for number in range(options.rounds):
            order = list(setups) if number % 2 == 0 else list(setups)[::-1]
            for scenario in SCENARIOS:
                for setup in order:
                    row = measure(*setups[setup], scenario, options.seconds)
                    rows.append({"round": number, "setup": setup, "scenario": scenario, **row})
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        drops = {where.name: {name: count for name, count in where.status()["counters"].items()
                              if name.startswith("drop") and count} for where in (four, seven, kernel)}
    finally:
        for server in servers:
            server.terminate()
            server.wait()
        for where in labs:
            where.down()
        subprocess.run(["rm", "-r", folder], check=False)
    if options.output == "json":
        json.dump({"rows": rows, "drops": drops, "kernel": os.uname().release, "cores": os.cpu_count()}, sys.stdout)
        return
    show(rows, setups, drops)


def show(rows, setups, drops):
    print("Median of the ratios to direct, in brackets the lowest and the highest round.\n")
    print(f"{'':24}{'':12}{'requests/s':>11}{'ratio':>21}{'p50 µs':>9}{'ratio':>21}{'CPU µs':>8}{'ratio':>21}")
    for scenario in SCENARIOS:
        for setup in setups:
            mine = [row for row in rows if row["scenario"] == scenario and row["setup"] == setup]
            line = f"{scenario:24}{setup:12}"
            for key, width in (("rps", 11), ("p50_us", 9), ("cpu_us", 8)):
                middle = statistics.median(row[key] for row in mine)
                against = ratios(rows, setup, scenario, key)
                line += f"{middle:{width}.0f}"
                line += f"{statistics.median(against):6.2f} ({min(against):.2f} to {max(against):.2f})".rjust(21)
            print(line)
            for row in mine:
                if row["errors"]:
                    print(f"    round {row['round'] + 1}: {row['errors']}")
        scenario_rows = [row for row in rows if row["scenario"] == scenario and row["time_wait"]]
        if scenario_rows:
            most = max(max(row["time_wait"].values()) for row in scenario_rows)
            print(f"    most sockets in TIME_WAIT in a pod: {most}")
    print(f"\ndrops: {json.dumps(drops)}")


if __name__ == "__main__":
    main()
