"""The workshop's clients: what they send in a lab, and what they count of it."""

import os
import subprocess
import tempfile
import time

from labcheck import WEIR, wait, weir
from scenarios import Scenario

LAB = "testdash"
S4 = Scenario("s4")
SLEEPS = "The same labels in another namespace are other pods"
HTTP = "Allow GET /headers and nothing else"
DENIED_CONNECTIONS = 3
HUNG = 2

# What the workshop's traffic does not show: names that DNS rules judge, and audit mode.
MORE = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: names, namespace: sleep}
spec:
  endpointSelector: {matchLabels: {app: visitor}}
  egress:
    - toEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": kube-system, k8s-app: kube-dns}}]
      toPorts: [{ports: [{port: "53"}], rules: {dns: [{matchPattern: "*.*.svc.cluster.local"}, {matchPattern: "*.*.*.svc.cluster.local"}]}}]
    - toEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": default}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nothing-out, namespace: sleep, annotations: {weir.dev/mode: audit}}
spec: {podSelector: {matchLabels: {app: sleep}}, policyTypes: [Egress]}
"""
# Requests that the server does not answer in time.
DELAYED = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: allow-delay}
spec:
  endpointSelector: {matchLabels: {app: httpbin}}
  ingress:
    - fromEndpoints: [{matchLabels: {app: sleep}}]
      toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{method: GET, path: "/delay/.*"}]}}]
"""


def command(pod, *words):
    return ["lab", "exec", "--name", LAB, pod, "--", *words]


def apply(text):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        weir("lab", "apply", "--name", LAB, "-f", file.name)


def play(name, lab=LAB):
    """Does what a step of the workshop does."""
    for verb, *words in S4.commands(S4.step(name)):
        weir("lab", verb, "--name", lab, *words)


def curl(pod, *words, seconds=5):
    """One request; what the client counts of it: its status (000: none) and its own port."""
    form = ["-o", "/dev/null", "-w", "%{http_code} %{local_port}"]
    said = weir(*command(pod, "curl", "-4", "-s", "-m", str(seconds), *form, *words), check=False)
    status, port = said.split()
    return status, int(port)


class Loops:
    """The three loops of the workshop, each with its log; no request is cut short when they stop."""

    def __init__(self, folder):
        self.folder = folder
        self.stopped = os.path.join(folder, "stop")
        self.running = []
        for number, (method, url) in enumerate(S4.load()):
            log = os.path.join(folder, str(number))
            text = (f"while [ ! -e {self.stopped} ]; do curl -4 -s -m 5 -o /dev/null -X {method} "
                    f"-w '{method} %{{http_code}} %{{local_port}}\\n' {url} >>{log}; sleep 0.3; done")
            open(log, "w").close()
            self.running.append((log, subprocess.Popen([WEIR, *command("deploy/sleep", "sh", "-c", text)])))

    def lines(self):
        return [[line.split() for line in open(log)] for log, _ in self.running]

    def wait_for(self, rounds):
        seen = [len(lines) for lines in self.lines()]
        wait(f"{rounds} rounds", lambda: all(len(now) >= was + rounds for now, was in zip(self.lines(), seen)), 90)

    def stop(self):
        open(self.stopped, "w").close()
        for _, process in self.running:
            assert process.wait(30) == 0, "a client's loop failed"
        return [(method, status, int(port)) for lines in self.lines() for method, status, port in lines]


def traffic(rounds):
    """Everything the clients do, and what they count of it."""
    with tempfile.TemporaryDirectory(prefix="weir-clients-") as folder:
        loops = Loops(folder)
        loops.wait_for(rounds)
        play(HTTP)
        loops.wait_for(rounds)
        denied = [curl("sleep/visitor", "httpbin.default:8000/headers", seconds=1) for _ in range(DENIED_CONNECTIONS)]
        assert {status for status, _ in denied} == {"000"}, denied
        refused = weir(*command("sleep/visitor", "dig", "+tries=1", "www.example.org", "A"))
        assert "status: REFUSED" in refused, refused
        weir(*command("sleep/deploy/sleep", "dig", "+tries=1", "httpbin.default.svc.cluster.local", "A"))
        # A request whose body has two lengths is refused before any rule is asked.
        lengths = ["-H", "Content-Length: 5", "-H", "Transfer-Encoding: chunked"]
        malformed = curl("deploy/sleep", *lengths, "httpbin:8000/headers")
        assert malformed[0] == "400", malformed
        counted, stopped = loops.stop(), time.time()
    apply(DELAYED)
    hung = [("GET", *curl("deploy/sleep", "httpbin:8000/delay/3", seconds=1)) for _ in range(HUNG)]
    assert {status for _, status, _ in hung} == {"000"}, hung
    return counted + hung, stopped
