"""A lab for measurements: client and server pods, commands inside them, what the agent counts.

All traffic is made inside a pod's network namespace: `weir lab exec` enters it or fails.
"""

import json
import os
import socket
import subprocess
import tempfile

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}}
spec: {containers: [{name: c, image: curlimages/curl}]}
---
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
spec: {containers: [{name: c, image: %s}]}
"""

L4 = """
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: client}}}]
    ports: [{port: 80}]
"""

L7 = """
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: server}
spec:
  endpointSelector: {matchLabels: {app: server}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: client}}]
    toPorts:
    - ports: [{port: "80", protocol: TCP}]
      rules: {http: [{method: GET, path: "/.*"}]}
"""


class Lab:
    def __init__(self, weir, name, policy, image="busybox", agent=True, topology="routed", kernel=False):
        self.weir, self.name = weir, name
        self.down()  # what a killed run has left
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as manifests:
            manifests.write(PODS % image + policy)
            manifests.flush()
            up = [weir, "lab", "up", "--name", name, "-f", manifests.name, "--topology", topology]
            more = ([] if agent else ["--no-agent"]) + (["--l7-kernel"] if kernel else [])
            subprocess.run(up + more, check=True, stdout=subprocess.DEVNULL)
        listed = subprocess.run(
            [weir, "lab", "ls", "--name", name, "-o", "json"], check=True, capture_output=True, text=True)
        pods = {pod["name"]: pod for pod in json.loads(listed.stdout)}
        self.addresses = pods["server"]["addresses"] if "addresses" in pods["server"] else pods["server"]["ips"]

    def command(self, pod, *words):
        return [self.weir, "lab", "exec", "--name", self.name, "--machine", pod, "--", *words]

    def run(self, pod, *words, timeout=60):
        done = subprocess.run(self.command(pod, *words), check=False, capture_output=True, text=True, timeout=timeout)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(words)} in {pod} of {self.name}: {done.stdout}{done.stderr}")
        return done.stdout

    def time_wait(self, pod):
        """Sockets in TIME_WAIT in a pod's network namespace."""
        words = self.run(pod, "cat", "/proc/net/sockstat").split("TCP:")[1].split()
        return int(words[words.index("tw") + 1])

    def status(self):
        """What the agent counts."""
        with socket.socket(socket.AF_UNIX) as agent:
            agent.connect(f"/run/weir/weir-lab-{self.name}/agent.sock")
            agent.sendall(b'{"command":"status"}\n')
            return json.loads(agent.makefile().readline())

    def down(self):
        subprocess.run([self.weir, "lab", "down", "--name", self.name], check=False, stdout=subprocess.DEVNULL)


def weir():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for build in ("release", "debug"):
        path = os.path.join(root, "target", build, "weir")
        if os.path.exists(path) and build in os.environ.get("WEIR_BUILD", "release debug"):
            return path
    raise SystemExit("weir is not built: make build")
