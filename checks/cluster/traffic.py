"""What pods of the test send each other, and what must come of it."""
import collections
import concurrent.futures
import json
import os
import subprocess
import threading
import time

import nodes
from scenario import command
from settings import NODES, fail, kubectl, run, step, tool, wait

SPACE = "matrix"
# On each node a client that may ask for one path, a stranger who may ask for nothing, and a server
# whose probes the kubelet sends past the policy.
MANIFESTS = """
apiVersion: v1
kind: Namespace
metadata: {name: matrix}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: matrix}
spec: {selector: {app: server}, ports: [{name: http, port: 8000, targetPort: 80}]}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: only-headers, namespace: matrix}
spec:
  endpointSelector: {matchLabels: {app: server}}
  ingress:
    - fromEndpoints: [{matchExpressions: [{key: app, operator: In, values: [client, fresh]}]}]
      toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{method: GET, path: /headers}]}}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: to-servers-only, namespace: matrix}
spec:
  endpointSelector: {matchLabels: {app: fresh}}
  egress: [{toEndpoints: [{matchLabels: {app: server}}], toPorts: [{ports: [{port: "80"}]}]}]
"""
PODS = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: {name}, namespace: matrix}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{terminationGracePeriodSeconds: 0, containers: [{container}]}}
"""
CLIENT = '{name: client, image: curlimages/curl, command: ["/bin/sleep", infinity]}'
PROBE = "{httpGet: {port: 80, path: /ip}, periodSeconds: 2, failureThreshold: 2}"
SERVER = f"{{name: server, image: docker.io/kennethreitz/httpbin, readinessProbe: {PROBE}, livenessProbe: {PROBE}}}"
# Pods that ask at once, when they start: what may pass, what a rule refuses, and an address of no pod.
FRESH = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: matrix}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: client
          image: curlimages/curl
          command: [/bin/sh, -c, "for url in {service}:8000/headers {service}:8000/ip 172.30.0.1:5000/v2/; do curl -s -m 8 -o /dev/null -w '%{{http_code}} %{{time_total}}\\n' $url; done; sleep infinity"]
"""
EXPECTED = {"fresh": ("200", "403", "000"), "stranger": ("000", "000", "200")}


def up(apply):
    containers = {"client": CLIENT, "other": CLIENT, "server": SERVER}
    apply(MANIFESTS + "".join(f"---{PODS.format(name=name, container=container)}" for name, container in containers.items()))
    for name in containers:
        kubectl("-n", SPACE, "rollout", "status", f"daemonset/{name}", "--timeout=90s")


def pods():
    """(app, node): the pod's name and address."""
    items = json.loads(kubectl("-n", SPACE, "get", "pods", "-o", "json").stdout)["items"]
    return {(each["metadata"]["labels"]["app"], each["spec"]["nodeName"]): (each["metadata"]["name"], each["status"].get("podIP")) for each in items}


def status(pod, url, seconds=2):
    words = ["curl", "-s", "-m", str(seconds), "-o", "/dev/null", "-w", "%{http_code}", url]
    return subprocess.run(command(f"{SPACE}/pod/{pod}", words), check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def containers():
    """(app, node): the container, as its runtime knows it."""
    items = json.loads(kubectl("-n", SPACE, "get", "pods", "-o", "json").stdout)["items"]
    return {(each["metadata"]["labels"]["app"], each["spec"]["nodeName"]): each["status"]["containerStatuses"][0]["containerID"].split("//")[1] for each in items}


def by_runtime(node, container, url):
    """As `status`, without the API server: by containerd on the node."""
    words = ["env", f"PATH={tool('runc', 'usr/sbin')}:{os.environ['PATH']}", tool("containerd", "usr/bin/ctr"), "-n", "k8s.io", "tasks", "exec",
             "--exec-id", f"check-{time.monotonic_ns()}", container, "curl", "-s", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}", url]  # fmt: skip
    return run(*nodes.inside(node), *words, ok=False).stdout


def matrix(there=None, by=None):
    """Every client against every server, on one node and across nodes; what differs from the policy.
    With `by`, containers are asked by their runtime."""
    there = there or pods()
    asked = {}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for app, path, expected in (("client", "headers", "200"), ("client", "ip", "403"), ("other", "headers", "000")):
            for source in NODES:
                for target in NODES:
                    url = f"http://{there['server', target][1]}/{path}"
                    future = pool.submit(by_runtime, source, by[app, source], url) if by else pool.submit(status, there[app, source][0], url)
                    asked[f"{app} of {source} to {target}, /{path}"] = (future, expected)
    return [f"{what}: {future.result()}, not {expected}" for what, (future, expected) in asked.items() if future.result() != expected]


def check_matrix(when):
    wait(f"{when}: all pairs of pods as the policy says; {matrix()}", lambda: not matrix(), 30)
    restarts = kubectl("-n", SPACE, "get", "pods", "-l", "app=server", "-o", "jsonpath={.items[*].status.containerStatuses[0].restartCount}").stdout
    step(f"{when}: 12 pairs of pods, one node and two, bridge and ptp: as the policy says")
    return restarts


class Load:
    """Requests of one pod, each on a new connection or all on one, until it is told to stop."""

    def __init__(self, pod, url, expected, kept, stop):
        self.pod, self.expected, self.lines = pod, expected, []
        # curl takes what stands after `#` for itself: one path, many requests.
        loop = f"curl -s -m 600 --rate 20/s -o /dev/null -w '%{{stderr}}%{{http_code}} %{{time_total}}\\n' '{url}#[1-100]'" if kept else \
            f"curl -s -m 10 -o /dev/null -w '%{{stderr}}%{{http_code}} %{{time_total}}\\n' {url}; sleep 0.05"
        words = command(f"{SPACE}/pod/{pod}", ["sh", "-c", f"while ! [ -e {stop} ]; do {loop}; done"])
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stderr or ():
            if len(words := line.split()) == 2:
                self.lines.append((words[0], float(words[1])))

    def wrong(self):
        return collections.Counter(code for code, _ in self.lines if code != self.expected)


def under_load(what, action):
    """Does something while every client asks every server; no answer may differ."""
    there = pods()
    clients = [there["client", node][0] for node in NODES]
    stop = f"/tmp/stop-{time.monotonic_ns()}"
    loads = [
        Load(pod, f"http://{there['server', node][1]}/{path}", expected, kept, stop)
        for pod in clients
        for node in NODES
        for path, expected, kept in (("headers", "200", False), ("headers", "200", True), ("ip", "403", False))
    ]
    wait("every client has answers", lambda: all(len(each.lines) > 5 for each in loads), 30)
    action()
    seen = [len(each.lines) for each in loads]
    wait("more answers after it", lambda: all(len(each.lines) > before + 10 for each, before in zip(loads, seen)), 60)
    for pod in clients:
        subprocess.run(command(f"{SPACE}/pod/{pod}", ["sh", "-c", f"> {stop}"]), check=False, stdin=subprocess.DEVNULL, capture_output=True)
    for each in loads:
        each.process.wait(60)
        each.reader.join(10)
    wrong = [f"{each.pod}, {each.expected} expected: {dict(each.wrong())} of {len(each.lines)}" for each in loads if each.wrong()]
    if wrong:
        fail(f"{what}: {wrong}")
    slowest = max(seconds for each in loads for _, seconds in each.lines)
    step(f"{what}: {sum(len(each.lines) for each in loads)} requests, none wrong, the slowest {slowest:.2f} s")


def check_fresh(apply, count=12):
    """Pods that ask the moment they start meet their policy, and that of whom they ask."""
    service = kubectl("-n", SPACE, "get", "service", "server", "-o", "jsonpath={.spec.clusterIP}").stdout
    apply("---".join(FRESH.format(name=name, service=service) for name in EXPECTED))
    kubectl("-n", SPACE, "scale", f"--replicas={count}", *(f"deployment/{name}" for name in EXPECTED))
    waited = []
    for name, expected in EXPECTED.items():
        kubectl("-n", SPACE, "rollout", "status", f"deployment/{name}", "--timeout=120s")
        for pod in kubectl("-n", SPACE, "get", "pods", "-l", f"app={name}", "-o", "name").stdout.split():
            def said():
                lines = [line.split() for line in kubectl("-n", SPACE, "logs", pod).stdout.splitlines()]
                return lines if len(lines) == 3 else None

            lines = wait(f"{pod} has asked", said, 60, 0.5)
            if tuple(code for code, _ in lines) != expected:
                fail(f"{pod}: {lines}, not {expected}")
            if name == "fresh":
                waited.append(float(lines[0][1]))
    step(f"{2 * count} new pods, judged from their first packet; allowed first requests took {min(waited):.2f} to {max(waited):.2f} s")
    kubectl("-n", SPACE, "delete", *(f"deployment/{name}" for name in EXPECTED))
